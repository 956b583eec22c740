"""The families' own checkers against independent computations."""

import ast
import operator
import re

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from educe.tasks import make
from educe.tasks._words import NAMES
from educe.tasks.brackets import evaluate
from educe.tasks.linear_equations import solve
from educe.tasks.list_programs import run_program
from educe.tasks.two_hop_facts import LEAVES, LINKS, fact

SIGNS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def by_python(node):
    if isinstance(node, ast.Constant):
        return node.value
    return SIGNS[type(node.op)](by_python(node.left), by_python(node.right))


EXPRESSIONS = st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner, st.booleans()).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})" if parts[3] else f"{parts[0]} {parts[1]} {parts[2]}"
    ),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS)
def test_expressions_have_the_value_that_python_gives(text):
    assert evaluate(text) == by_python(ast.parse(text, mode="eval").body)


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789+-*() x", max_size=30))
def test_any_text_has_a_value_or_none(text):
    value = evaluate(text)
    assert value is None or isinstance(value, int)


@pytest.mark.parametrize(
    "text", ["", "(", ")", "()", "1 2", "1 +", "* 3", "(1", "1)", "2 (3)", "-", "(" * 400, "1" * 401]
)
def test_what_is_no_expression_has_no_value(text):
    assert evaluate(text) is None


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_equations_have_the_solution_that_sympy_finds(level):
    x = sympy.Symbol("x")
    for problem in make("linear_equations", 20, "dev", seed=1, difficulty=level):
        for equation in [problem.key[1], *problem.steps]:
            left, right = (sympy.sympify(re.sub(r"(\d) ([x(])", r"\1*\2", side)) for side in equation.split("="))
            assert sympy.solve(left - right, x) == [int(problem.answer)]
            assert solve(equation) == int(problem.answer)


@pytest.mark.parametrize(
    "text", ["", "=", "x", "x = x", "3 x = x = 2", "x x = 2", "y = 2", "3 (x = 2", "x = 1 = 1", "+ = 3"]
)
def test_what_is_no_equation_has_no_solution(text):
    assert solve(text) is None


def test_a_true_equation_that_is_no_simpler_is_no_step():
    problem = make("linear_equations", 1, difficulty=3)[0]
    assert problem.check_steps(problem.key[1]) == [False]
    assert problem.check_steps(f"{problem.steps[0]}\n{problem.steps[0]}") == [True, False]


def test_a_chain_has_the_value_that_python_gives():
    words = {"Add": operator.add, "Subtract": operator.sub, "Multiply": operator.mul}
    for name, most in (("chain_arithmetic", 99), ("large_arithmetic", 999)):
        for problem in make(name, 50, "dev"):
            first, *rest = problem.text.removesuffix(" What is the result?").rstrip(".").split(". ")
            value = int(first.split()[-1])
            for sentence in rest:
                value = words[sentence.split()[0]](value, int(sentence.split()[-1]))
                assert 0 <= value <= most
            assert value == int(problem.answer)


def test_options_hold_the_result_once():
    for name in ("multiple_choice", "multiple_choice_at_once"):
        for problem in make(name, 50, "dev"):
            result = problem.choices["ABCD".index(problem.answer)]
            assert len(set(problem.choices)) == 4
            if problem.steps:
                assert problem.steps[-2].endswith(f"= {result}")
                assert problem.steps[-1] == f"So {result} is {problem.answer}."


def test_facts_are_a_function_of_their_question():
    assert all(fact(person, "friend") != person for person in NAMES)
    assert all(fact(person, leaf) in values for person in NAMES for leaf, values in LEAVES.items())
    assert len(set(NAMES)) == len(NAMES) == 120
    for problem in make("two_hop_facts", 30, "dev"):
        person = problem.key[1]
        for relation in problem.key[2]:
            person = fact(person, relation)
        assert person == problem.answer
        assert problem.check_steps(f"The {LINKS[0]} of Nobody is Ada.") == [False]


def test_claims_are_true_half_of_the_time():
    # 400 claims: six standard errors of a share of one half are 0.15.
    answers = [problem.answer for problem in make("claims", 400, "train")]
    assert abs(answers.count("yes") / 400 - 0.5) < 0.15


def entailed(rules, who, start):
    """Everything that follows, by running the rules to a fixed point."""
    known = {start}
    while True:
        new = set()
        for rule in rules:
            words = rule.rstrip(".").split()
            if words[0] == "Every" and f"a {words[1]}" in known:
                new.add(" ".join(words[3:]))
            if words[0] == "No" and f"a {words[1]}" in known:
                new.add("not " + " ".join(words[3:]))
        if new <= known:
            return {f"{who} is {item}." for item in known}
        known |= new


@pytest.mark.parametrize("level", range(1, 7))
def test_implications_follow_from_their_rules(level):
    for problem in make("implications", 20, "dev", difficulty=level):
        sentences = problem.text.split(". ")
        rules, given, asked = sentences[:-2], sentences[-2], sentences[-1]
        who, _, *start = given.split()
        closure = entailed(rules, who, " ".join(start))
        assert set(problem.steps) == closure - {given + "."}
        what = asked.rstrip("?").split()[-1]
        assert (f"{who} is {what}." in closure) == (problem.answer == "yes")
        assert (f"{who} is not {what}." in closure) == (problem.answer == "no")


def test_given_facts_can_be_looked_up():
    for problem in make("three_hop_facts", 20, "dev"):
        context, asked = problem.text.rsplit(". ", 1)
        known = {}
        for sentence in context.split(". "):
            _, relation, _, person, _, value = sentence.split()
            known[person, relation] = value
        *path, person = asked.removeprefix("What is the ").rstrip("?").replace(" of the ", " of ").split(" of ")
        for relation in reversed(path):
            person = known[person, relation]
        assert person == problem.answer


def test_programs_do_what_their_words_say():
    assert run_program("sort", [3, 1, 2]) == (1, 2, 3)
    assert run_program("reverse", [3, 1, 2]) == (2, 1, 3)
    assert run_program("rotate", [3, 1, 2]) == (1, 2, 3)
    assert run_program("swap", [3, 1, 2]) == (1, 3, 2)
    assert run_program("next", [9, 1]) == (0, 2)
    assert run_program("double", [9, 1]) == (8, 2)
    assert run_program("", [1]) is None
    assert run_program("sort " * 13, [1]) is None


def test_any_program_with_the_same_results_is_right():
    for problem in make("list_programs", 40, "dev"):
        assert problem.check_answer(problem.answer + " reverse reverse")
        assert problem.check_answer(problem.answer.replace(" ", ", "))
        assert not problem.check_answer(problem.answer + " next")
        assert not problem.check_answer("import os")


def test_a_trace_of_another_program_is_judged_by_its_own_words():
    problem = make("list_programs", 1, "dev")[0]
    first = problem.data["tests"][0][0]
    line = "reverse: " + " ".join(map(str, first[::-1]))
    assert problem.check_steps(line) == [True]
    assert problem.check_steps(line + "1") == [False]
