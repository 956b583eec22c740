"""Expressions against identities of mathematics, and the worker against time-outs, crashes, code and threads."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core.errors import BackendError
from educe.verify import Verdict, canonical, check, equivalent, group
from educe.verify import _expressions as expressions
from educe.verify._expression_worker import components, to_latex

PROVED, REFUTED, LIMIT_HIT = Verdict.PROVED, Verdict.REFUTED, Verdict.LIMIT_HIT

PAIRS = [
    # Algebra.
    ("x+1", "1+x", PROVED),
    ("x^2-1", "(x-1)(x+1)", PROVED),
    ("x**2 - 1", "(x-1)*(x+1)", PROVED),
    ("x+1", "x-1", REFUTED),
    ("x^10", "x^{10}", PROVED),
    ("x^10", "x", REFUTED),
    ("x^-1", "1/x", PROVED),
    ("x^(1/2)", r"\sqrt{x}", PROVED),
    ("2^(x+1)", r"2\cdot 2^x", PROVED),
    (r"\sqrt{x^2}", "|x|", PROVED),
    (r"\sqrt{x^2}", "x", REFUTED),
    ("X+1", "x+1", REFUTED),
    (r"\pi r^2", r"\pi R^2", REFUTED),
    ("π r²", r"\pi r^2", PROVED),
    ("n!", r"n\cdot(n-1)!", PROVED),
    ("f(x)+1", "1+f(x)", PROVED),
    ("f(x)", "f(y)", REFUTED),
    ("f'(x)", "f(x)", LIMIT_HIT),
    # Constants.
    ("sqrt(2)/2", r"\frac{1}{\sqrt{2}}", PROVED),
    (r"\frac{\sqrt3}{3}", r"1/\sqrt{3}", PROVED),
    (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5+2\sqrt{6}}", PROVED),
    (r"2\pi", "6.283185307", REFUTED),
    (r"\frac{1}{3}", "0.333333", REFUTED),
    (r"\frac{1}{2}", "0.5", PROVED),
    ("1/2", "50/100", PROVED),
    (r"1\frac{1}{2}", "3/2", PROVED),
    ("11/2", "1 1/2", REFUTED),
    ("0.1x+0.2x", "0.3x", PROVED),
    ("3.5(x)", "7x/2", PROVED),
    ("10^{-25}x", "0", REFUTED),
    ("10^{200}+x-10^{200}", "x", PROVED),
    ("1e5x", "100000x", PROVED),
    (r"e^{i\pi}", "-1", PROVED),
    ("(1+i)(1-i)", "2", PROVED),
    (r"\mathrm{e}^x", "e^x", PROVED),
    (r"\infty", "5", REFUTED),
    (r"\infty", r"-\infty", REFUTED),
    (r"\frac{1}{0}", r"\frac{2}{0}", LIMIT_HIT),
    # Functions, sums, integrals.
    ("sin(x)^2+cos(x)^2", "1", PROVED),
    (r"\sin 2x", r"2\sin x\cos x", PROVED),
    (r"\log_2 8", "3x/x", PROVED),
    (r"\int_0^1 x dx", "1/2", PROVED),
    (r"\sum_{i=1}^{n} i", r"\frac{n(n+1)}{2}", PROVED),
    (r"\binom{5}{2}", "10x/x", PROVED),
    # Equations and inequalities.
    ("x=5", "5", PROVED),
    ("x = 5", "x=6", REFUTED),
    ("2x+z=1", "1", REFUTED),
    ("x+y=1", "2x+2y=2", PROVED),
    ("x+y=1", "x+y=2", REFUTED),
    ("x>5", "5<x", PROVED),
    (r"x \ge 5", "x>5", REFUTED),
    # Tuples, sets, intervals, matrices.
    ("(1,2)", r"(1,\frac{4}{2})", PROVED),
    ("(1,2)", "(2,1)", REFUTED),
    ("(3,1)", "(2,1)", REFUTED),
    ("(1,2)", "(1,2,3)", REFUTED),
    ("1,2", "2,1", PROVED),
    (r"\{1,2\}", "2, 1", PROVED),
    (r"\{1,2\}", r"\{1,2,3\}", REFUTED),
    (r"\{5\}", "5", PROVED),
    ("(1,2)", "1,2", LIMIT_HIT),
    ("[0,1)", "[0,2/2)", PROVED),
    ("[0,1)", "[0,1]", REFUTED),
    (r"(-\infty,2)\cup(3,\infty)", r"(3,\infty)\cup(-\infty,2)", PROVED),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&\frac{4}{2}\\3&4\end{pmatrix}", PROVED),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}", REFUTED),
    # Units and words.
    ("3t", "3", REFUTED),
    (r"5 \text{ cm}", "5", PROVED),
    (r"6\pi\text{ cm}^2", r"6\pi", PROVED),
    (r"50\%", "50", PROVED),
    (r"\text{Even}", "even", PROVED),
    ("listen", "silent", REFUTED),
    ("hello world", "world hello", LIMIT_HIT),
    (r"\frac{", "5", LIMIT_HIT),
    ("", "5", LIMIT_HIT),
]


@pytest.fixture(autouse=True, scope="module")
def _shared_worker() -> Iterator[None]:
    yield
    expressions._CHECKER.close()


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b", "verdict"), PAIRS)
def test_verdict_in_both_directions(a: str, b: str, verdict: Verdict) -> None:
    # The clock is generous, since a busy machine must not turn a proof into a time-out.
    assert check(a, b, "expression", seconds=20) is verdict
    assert check(b, a, "expression", seconds=20) is verdict


COEFFICIENTS = st.integers(-9, 9)


@pytest.mark.slow
@given(COEFFICIENTS, COEFFICIENTS, COEFFICIENTS)
def test_products_of_binomials_equal_their_expansion(a: int, b: int, c: int) -> None:
    product = f"(x+({a}))(x+({b}))"
    expansion = f"x^2+({a + b})x+({a * b + c})"
    assert check(product, expansion, "expression", seconds=20) is (REFUTED if c else PROVED)


@given(st.text(alphabet="x12 +-^{}()\\$.,;%/frac\u00b2\u00bd~", max_size=25))
def test_spelling_is_idempotent(text: str) -> None:
    key = canonical(text, "expression")
    assert canonical(key, "expression") == key


@pytest.mark.slow
def test_tower_of_powers_never_hangs() -> None:
    before = time.monotonic()
    assert check(r"9^{9^{9^9}}", "x", "expression", seconds=0.3) is LIMIT_HIT
    assert check("9**9**9**9", "5", "expression", seconds=0.3) in {LIMIT_HIT, REFUTED}
    assert not equivalent(r"((10^9)!)!", "x", "expression", seconds=0.3)
    # Three limits and two or three starts, on a machine that may be busy.
    assert time.monotonic() - before < 60
    assert equivalent("x+1", "1+x", "expression", seconds=20)


@pytest.mark.slow
def test_start_of_the_worker_is_not_charged_to_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "slow_start.py"
    script.write_text(
        "import time\ntime.sleep(1.5)\nprint('{\"ready\": true}', flush=True)\n"
        'input()\nprint(\'{"verdict": "proved"}\', flush=True)\ninput()\n'
    )
    monkeypatch.setattr(expressions, "WORKER_FILE", script)
    checker = expressions.ExpressionChecker()
    try:
        assert checker.check("x", "y", 1.0) == "proved"
    finally:
        checker.close()


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "print('{}', flush=True)\ninput()"])
def test_worker_that_does_not_start_is_an_error(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "broken.py"
    script.write_text(code)
    monkeypatch.setattr(expressions, "WORKER_FILE", script)
    checker = expressions.ExpressionChecker()
    with pytest.raises(BackendError, match="did not start"):
        checker.check("x", "y", 1.0)
    assert checker._worker is None


@pytest.mark.slow
def test_crashed_worker_is_replaced() -> None:
    checker = expressions._CHECKER
    assert checker.check("2x", "x+x", 20) == "proved"
    assert checker._worker is not None
    first = checker._worker.process
    first.kill()
    first.wait()
    # A death between two comparisons harms neither.
    assert checker.check("2x", "x+x", 20) == "proved"
    second = checker._worker.process
    assert second.pid != first.pid
    killer = threading.Timer(0.2, second.kill)
    killer.start()
    # One in the middle is a limit, and the next comparison finds a new worker.
    assert checker.check(r"9^{9^{9^9}}", "x", 20) == "limit hit"
    killer.join()
    assert checker.check("2x", "x+x", 20) == "proved"


@pytest.mark.slow
def test_interrupted_wait_leaves_no_stale_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    checker = expressions._CHECKER
    assert checker.check("2x", "x+x", 20) == "proved"
    with monkeypatch.context() as patched:
        patched.setattr(expressions._Worker, "_receive", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            checker.check("x", "x+1", 20)
    assert checker._worker is None
    assert checker.check("2x", "x+x", 20) == "proved"
    checker.close()
    assert checker._worker is None
    assert checker.check("2x", "x+x", 20) == "proved"


def _interrupt(worker: object, seconds: float) -> None:
    raise KeyboardInterrupt


def test_long_input_is_refused_without_a_worker() -> None:
    checker = expressions.ExpressionChecker()
    assert checker.check("x+" * 1001, "x", 20) == "limit hit"
    assert checker._worker is None
    assert check("x+" * 1001 + "x", "y", "expression") is LIMIT_HIT


def test_deep_nesting_is_a_limit_not_a_crash() -> None:
    assert check("(" * 900 + "x" + ")" * 900, "y", "expression", seconds=5) is LIMIT_HIT
    assert check("{" * 900 + "x", "y", "expression", seconds=5) is LIMIT_HIT


def test_python_code_is_never_run(tmp_path: Path) -> None:
    target = tmp_path / "made"
    payloads = [
        f"__import__('os').system('touch {target}')",
        f'__import__("os").system("touch {target}")',
        f"open('{target}','w')",
        f"exec(bytes([{','.join(str(byte) for byte in f'open({str(target)!r},chr(119))'.encode())}]))",
        "(lambda: exec(chr(49)))()",
        "1 if open else 2",
        "().__class__.__base__.__subclasses__()",
        r"\text{__import__('os').abort()}",
        r"\operatorname{exec}(1)",
        "x = [n for n in (1,2)]",
        "9.__class__",
    ]
    for payload in payloads:
        assert check(payload, "x+1", "expression", seconds=20) is not PROVED
        assert check("x+1", payload, "expression", seconds=20) is not PROVED
    assert not target.exists()


def test_threads_share_one_worker() -> None:
    results: dict[int, str] = {}

    def work(number: int) -> None:
        results[number] = check(f"{number}x+x", f"{number + 1 + number % 2}x", "expression", seconds=20)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: REFUTED if number % 2 else PROVED for number in range(8)}


def test_classes_of_expressions() -> None:
    answers = ["(x+1)^2", None, "x^2+2x+1", "0.5", "x^2", r"\frac{1}{2}", "1+2x+x^2", "5"]
    assert group(answers, "expression", seconds=20) == [0, None, 0, 1, 2, 1, 0, 3]
    assert group(["x+1", "y", "1+x", "y"], "expression", seconds=20) == [0, 1, 0, 1]


@pytest.mark.slow
def test_expression_that_never_ends_costs_its_time_twice_whatever_the_number_of_answers() -> None:
    answers = [*(f"x+{number}" for number in range(1, 10)), r"9^{9^{9^9}}", "x"]
    before = time.monotonic()
    assert group(answers, "expression", seconds=0.5) == list(range(11))
    # Ten comparisons with it and ten starts would take 10 s on an idle machine; two take 2 s there.
    assert time.monotonic() - before < 9


@pytest.mark.slow
def test_worker_ends_with_its_input() -> None:
    worker = Path(expressions.__file__).with_name("_expression_worker.py")
    done = subprocess.run(
        [sys.executable, "-P", str(worker)],
        input='{"a": "x", "b": "x+0", "seconds": 9}\n',
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stdout.splitlines() == ['{"ready": true}', '{"verdict": "proved"}']


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sqrt(2)x", r"\sqrt{2}x"),
        ("x^(a+(b))", "x^{a+(b)}"),
        ("x^-2", "x^{-2}"),
        ("0.25", r"(\frac{25}{100})"),
        ("word", r"\text{word}"),
        ("2pi", r"2\pi"),
        ("12%", "12"),
    ],
)
def test_plain_notation_becomes_latex(text: str, expected: str) -> None:
    assert to_latex(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(1,2)", ("()", ["1", "2"])),
        ("[0,1)", ("[)", ["0", "1"])),
        (r"\{1, 2\}", ("{}", ["1", "2"])),
        ("1,2", (",", ["1", "2"])),
        ("(x+1)", ("", ["(x+1)"])),
        ("f(1,2)", ("", ["f(1,2)"])),
        (r"(1,2)\cup(3,4)", ("", [r"(1,2)\cup(3,4)"])),
        ("(1,2),(3,4)", (",", ["(1,2)", "(3,4)"])),
    ],
)
def test_brackets_and_parts(text: str, expected: tuple[str, list[str]]) -> None:
    assert components(text) == expected
