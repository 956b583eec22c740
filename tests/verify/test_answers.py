"""Answers against tables of what people and models write, and against the laws that keys and classes obey."""

from __future__ import annotations

import math
import sys
import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core.errors import UsageError
from educe.verify import AnswerKind, Verdict, canonical, check, equivalent, extract, group

CITIES = ("London", "Paris", "New York", "York")
LETTERED = ("12 cm", "24 cm", "-24 cm", "2.4 cm")
PLAIN_KINDS = [kind for kind in AnswerKind if kind is not AnswerKind.CHOICE]

NUMBERS = [
    # Announcements.
    (r"Thus \boxed{24}.", "24"),
    (r"\boxed{\frac{1}{2}}", "0.5"),
    (r"\boxed{\text{24 legs}}", "24"),
    (r"First \boxed{3}, then \boxed{4}.", "4"),
    (r"\fbox{7}", "7"),
    (r"The answer is $\boxed{5}$.", "5"),
    (r"\boxed{5}. The answer is correct.", "5"),
    (r"The sum is 9. \boxed{}", None),
    (r"cut off: \boxed{12", None),
    ("The answer is 24.", "24"),
    ("the final answer is: **24**", "24"),
    ("Answer: 24", "24"),
    ("**Answer:** 24 apples", "24"),
    ("Answer = -24", "-24"),
    ("## Answer\n\n24", "24"),
    ("The answer is:\n\n  24", "24"),
    ("<answer>24</answer>", "24"),
    ("3 dogs, 4 legs each.\n#### 12", "12"),
    ("#### Step 4: add\nSo we get 12.", "12"),
    ("#### 3. Add them\n#### 12", "12"),
    ("3 * 4 = 12, so it's 12. I checked it 3 times.", "12"),
    ("The answer to the question is 42.", "42"),
    ("The correct value is 42, since 6 * 7 = 42.", "42"),
    ("The answer is 24. There are 3 dogs.", "24"),
    ("The answer is 7. Wait, the answer is 8.", "8"),
    ("The answer is 8, because 3 of 24 is an 8th.", "8"),
    ("The answer is that John has 5 apples left.", "5"),
    ("The answer is not 5.", None),
    # The prompt's template said back.
    ("The answer is X.", None),
    ("3 + 4 = 7. The answer is X.", None),
    ('The answer is 42.\n\nEnd with "The answer is X."', "42"),
    ("The answer is [number].", None),
    (r"6 * 7 = 42. \boxed{answer}", None),
    ("The answer is ...", None),
    # Without an announcement: the last number.
    ("He buys 3 and then 4 more, 7 in all.", "7"),
    ("24", "24"),
    ("24.", "24"),
    ("no number here", None),
    ("", None),
    # Thousands and decimals.
    ("The answer is 1,234.", "1234"),
    ("The answer is 1 234", "1234"),
    ("The answer is 12\u202f345\u202f678", "12345678"),
    ("The answer is 1'234", "1234"),
    ("The answer is 1,234,567.89", "1234567.89"),
    ("The answer is 1{,}234", "1234"),
    ("The answer is 1.234", "1.234"),
    ("The answer is 1.234,5", "1234.5"),
    ("The answer is 1,5", None),
    ("The answer is 1234,567", None),
    ("The answer is 1,23,456", None),
    ("The answer is .5", "0.5"),
    ("The answer is 24.00", "24"),
    ("The answer is 007", "7"),
    # Units and currency go, the number stays.
    ("The answer is $12", "12"),
    ("The answer is -$12.50", "-12.5"),
    ("The answer is $-12", "-12"),
    ("The answer is \\$12", "12"),
    ("The answer is 12 €", "12"),
    ("The answer is USD 1,200", "1200"),
    ("The answer is 12 legs", "12"),
    ("The answer is 3 km", "3"),
    ("The answer is 3km/h", "3"),
    ("The answer is 12 m²", "12"),
    ("There are 12 m² of it", "12"),
    ("The answer is 50%", "50"),
    (r"The answer is 50\%", "50"),
    (r"The answer is 12\text{ cm}^2", "12"),
    (r"The answer is 90^\circ", "90"),
    ("The answer is 3rd", "3"),
    ("The answer is 1.5 million", "1500000"),
    ("The answer is 5k", None),
    ("The answer is 5 dozen", None),
    # Fractions.
    ("The answer is 1/2", "0.5"),
    ("The answer is 1 / 3", "1/3"),
    ("The answer is 2/6 of it", "1/3"),
    (r"The answer is $\frac{1}{3}$", "1/3"),
    (r"The answer is $-\dfrac{3}{4}$", "-0.75"),
    (r"The answer is \frac12", "0.5"),
    ("The answer is 1 1/2", "1.5"),
    ("The answer is -1 1/2", "-1.5"),
    (r"The answer is $2\frac{1}{3}$", "7/3"),
    ("The answer is ½", "0.5"),
    ("The answer is 1½ cups", "1.5"),
    ("The answer is 1/0", None),
    ("The answer is 5 and a half", None),
    ("The answer is one-half", None),
    # Signs and exponents.
    ("The answer is -0", "0"),
    ("The answer is -0.0", "0"),
    ("The answer is −5", "-5"),
    ("The answer is +5", "5"),
    ("The answer is - 5", None),
    ("The answer is 3e8", "300000000"),
    ("The answer is 3.5E-3", "0.0035"),
    (r"The answer is $3 \times 10^8$", "300000000"),
    ("The answer is 3 × 10⁸ m/s", "300000000"),
    ("The answer is 10²", "100"),
    ("The answer is 2^10", "1024"),
    ("The answer is -2**2", "-4"),
    ("The answer is 1e400", "1e400"),
    ("The answer is 9^9^9^9", None),
    ("The answer is 9^999999999", None),
    ("The answer is 1e" + "9" * 5000, None),
    ("The answer is ٣٤", "34"),
    ("The answer is １２", "12"),
    # Words.
    ("The answer is twenty-four.", "24"),
    ("Twelve.", "12"),
    ("The answer is zero", "0"),
    ("The answer is minus five", "-5"),
    ("The answer is one hundred and five", "105"),
    ("The answer is twelve thousand three hundred forty", "12340"),
    ("The answer is a thousand", "1000"),
    ("The answer is two three", None),
    ("The answer is twenty-first", None),
    ("The answer is 24 (twenty-four)", "24"),
    ("No one knows.", None),
    # What is not one number.
    ("The answer is 1, 2, 3", None),
    ("1, 2, 3", None),
    ("The answer is 1,2,3", None),
    ("The answer is 3 or 4", None),
    ("The answer is 3-5", None),
    ("The answer is between 3 and 5", None),
    ("The answer is 5 apples and 3 oranges", None),
    ("The answer is x = 3, y = 4", None),
    ("The answer is 2024-01-15", None),
    ("The answer is January 5, 2024", None),
    ("There were 5 on 01/15/2024.", "5"),
    ("We met at 10:30 and were 4.", "4"),
    ("The answer is 1.2.3", None),
    ("The answer is H2O", None),
    ("The answer is 0x1F", None),
    ("The answer is 2x", None),
    (r"The answer is $2\pi$", None),
    (r"The answer is $\sqrt{2}$", None),
    ("The answer is 5! ways", None),
    ("The answer is 5!", "5"),
    ("The answer is x > 5", None),
    ("The answer is 5 ± 2", None),
    # Equations.
    ("The answer is 2 + 3 = 5", "5"),
    ("2 + 3 = 5", "5"),
    ("The answer is 5 = 2 + 3", "5"),
    ("The answer is 2 + 3", None),
    ("The answer is 2 dogs * 4 legs = 8 legs.", "8"),
    ("The answer is x = 5", "5"),
    ("The answer is 20% of 50 = 10", "10"),
    ("The answer is 18 eggs/day * $2 = $36.", "36"),
    ("She makes $<<9*2=18>>18 every day.", "18"),
    (r"Hence \[ x = 18 \]", "18"),
    ("**Final Answer**: The final answer is $18$. I hope it is correct.", "18"),
    (r"The answer is $x \approx 3.5$", "3.5"),
    ("The answer is about 24", "24"),
    ("The answer is ~24", "24"),
    ("24 / 2 = 12 => 12", "12"),
]

CHOICES = [
    ("B", CITIES, "Paris"),
    ("(B)", CITIES, "Paris"),
    ("b)", CITIES, "Paris"),
    ("B.", CITIES, "Paris"),
    ("**B**", CITIES, "Paris"),
    ("**(B)** Paris", CITIES, "Paris"),
    ("Option B", CITIES, "Paris"),
    ("option b is correct", CITIES, "Paris"),
    ("The answer is B.", CITIES, "Paris"),
    ("The answer is (b).", CITIES, "Paris"),
    ("The answer is b", CITIES, "Paris"),
    ("The answer is clearly (B).", CITIES, "Paris"),
    ("The answer is B because Paris is not as big as London.", CITIES, "Paris"),
    ("The correct option is B: Paris", CITIES, "Paris"),
    ("Answer: B) Paris", CITIES, "Paris"),
    (r"\boxed{\text{B}}", CITIES, "Paris"),
    (r"\boxed{B}", CITIES, "Paris"),
    ("<answer>B</answer>", CITIES, "Paris"),
    ("The answer is (B), not (A).", CITIES, "Paris"),
    ("The answer is B) London", CITIES, None),
    ("The answer is A or B", CITIES, None),
    ("The answer is both A and B.", CITIES, None),
    ("The answer is either (A) or (B).", CITIES, None),
    ("The answer is E.", CITIES, None),
    ("The answer is X.", CITIES, None),
    ("The answer is X.", ("X", "Y"), "X"),
    ("The answer is X.", tuple(f"choice number {n}" for n in range(24)), "choice number 23"),
    ("The answer is Paris.", CITIES, "Paris"),
    ("The answer is PARIS!", CITIES, "Paris"),
    ("so it's Paris", CITIES, "Paris"),
    ("The answer is not London but Paris.", CITIES, "Paris"),
    ("The answer is Paris, not London.", CITIES, "Paris"),
    ("The answer is Paris rather than London.", CITIES, "Paris"),
    ("The answer is Paris because London is smaller.", CITIES, "Paris"),
    ("The answer is London or Paris.", CITIES, None),
    ("The answer is London, Paris.", CITIES, None),
    ("The answer is London. No: the answer is Paris.", CITIES, "Paris"),
    ("The answer is New York.", CITIES, "New York"),
    ("The answer is York.", CITIES, "York"),
    ("The answer is Yorkshire.", CITIES, None),
    ("I weighed London. It must be Paris.", CITIES, None),
    ("I weighed them all. It must be Paris.", CITIES, "Paris"),
    ("B is correct.\nThe rest is noise.", CITIES, "Paris"),
    ("The answer is a dog.", ("a cat", "a dog"), "a dog"),
    ("The answer is A dog.", ("a cat", "a dog"), "a dog"),
    ("The answer is dog.", ("a cat", "a dog"), "a dog"),
    ("The answer is Vitamin C.", ("Vitamin B", "Vitamin C", "Iron"), "Vitamin C"),
    ("The answer is -24 cm.", LETTERED, "-24 cm"),
    ("The answer is 24 cm.", LETTERED, "24 cm"),
    ("The answer is 24.", LETTERED, "24 cm"),
    ("The answer is 2.4.", LETTERED, "2.4 cm"),
    ("The answer is <", ("<", ">"), "<"),
    ("The answer is same.", ("same", "Same!"), None),
    ("The answer is B.", ("same", "Same!"), "Same!"),
    ("The answer is None of the above.", ("red", "blue", "None of the above"), "None of the above"),
    ("", CITIES, None),
]

BOOLEANS = [
    ("Yes", "yes"),
    ("no", "no"),
    ("True.", "yes"),
    ("FALSE", "no"),
    ("The answer is yes.", "yes"),
    ("The answer is **No**.", "no"),
    ("Answer: false", "no"),
    (r"\boxed{\text{True}}", "yes"),
    ("No, it is not true.", "no"),
    ("It is not true.", "no"),
    ("It isn't true.", "no"),
    ("It's untrue.", "no"),
    ("It is not false.", "yes"),
    ("Yes, it is true.", "yes"),
    ("Yes, it is not true.", None),
    ("No, it is true.", None),
    ("The answer is either true or false.", None),
    ("true or false", None),
    ("The answer is neither true nor false.", None),
    ("There are no dogs.", None),
    ("No dogs can fly.", None),
    ("No, because dogs cannot fly.", "no"),
    ("Dogs bark. So the statement is true.", "yes"),
    ("Yes, dogs bark. They bark at no one.", "yes"),
    ("Yes, they do. So the statement is false.", None),
    ("The answer is X.", None),
    ("The answer is unknown.", None),
    ("Nothing.", None),
    ("", None),
]

TEXTS = [
    ("The answer is Paris.", "Paris"),
    ("The answer is Paris. I am sure.", "Paris"),
    ("The answer is Dr. John F. Kennedy. He was shot.", "Dr. John F. Kennedy"),
    (r"\boxed{\text{the Nile}}", "the Nile"),
    ('Answer: "to be"', "to be"),
    ("Paris.", "Paris"),
    ("Line one\nline two", None),
    ("The answer is X.", None),
    ("", None),
]

EXPRESSIONS = [
    (r"The answer is $x^2+1$.", "x^2+1"),
    (r"Thus \boxed{\frac{x}{\sqrt{2}}}.", r"\frac{x}{\sqrt{2}}"),
    (r"So \(a\) is \(2\pi\)", r"2\pi"),
    ("x + 1", "x + 1"),
    ("The answer is 2x + 1.", "2x + 1"),
    ("The answer is X.", None),
    ("", None),
]

EQUAL_NUMBERS = [
    ["0.5", "1/2", "50/100", ".5", r"\frac{1}{2}", "½", "+0.50", "5e-1", "0.5000"],
    ["24", "24.", "24.0", "twenty-four", "$24", "24 legs", "2.4e1", "48/2"],
    ["1000", "1,000", "1 000", "10^3", "1e3", "a thousand", "1'000"],
    ["1/3", "2/6", r"\frac{1}{3}", "-1/-3"],
    ["-1.5", "−1.5", "-1 1/2", "-3/2", "-$1.50"],
    ["0", "-0", "0.000", "0/7", "-0e5", "zero"],
    ["1e400", "10^400", "1" + "0" * 400],
    ["0.3333"],
    ["1e-50", "0." + "0" * 49 + "1"],
]

EQUAL_TEXTS = [
    ("The Eiffel Tower!", "eiffel tower"),
    ("“Romeo & Juliet”", "romeo & juliet"),
    ("U.S.", "us"),
    ("well-known", "well known"),
    ("don’t", "dont"),
    ("ﬁne", "fine"),
    ("straße", "STRASSE"),
    ("1,234 people", "1234 people"),
    ("an  apple\n", "apple"),
]
DIFFERENT_TEXTS = [
    ("-5", "5"),
    ("3.5", "35"),
    ("x+1", "x-1"),
    ("x+1", "x 1"),
    ("50%", "50"),
    ("?", "!"),
    ("the", "an"),
    ("की", "का"),
    ("1,5", "15"),
]


def test_tables_are_large_enough() -> None:
    assert len(NUMBERS) + len(CHOICES) + len(BOOLEANS) + len(TEXTS) + len(EXPRESSIONS) >= 120


@pytest.mark.parametrize(("text", "expected"), NUMBERS)
def test_number_is_extracted(text: str, expected: str | None) -> None:
    assert extract(text, AnswerKind.NUMBER) == expected


@pytest.mark.parametrize(("text", "choices", "expected"), CHOICES)
def test_choice_is_extracted(text: str, choices: tuple[str, ...], expected: str | None) -> None:
    assert extract(text, "choice", choices) == expected


@pytest.mark.parametrize(("text", "expected"), BOOLEANS)
def test_truth_value_is_extracted(text: str, expected: str | None) -> None:
    assert extract(text, "boolean") == expected


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_text_is_extracted(text: str, expected: str | None) -> None:
    assert extract(text, "text") == expected


@pytest.mark.parametrize(("text", "expected"), EXPRESSIONS)
def test_expression_is_extracted(text: str, expected: str | None) -> None:
    assert extract(text, "expression") == expected


def test_equal_numbers_share_a_key_and_others_do_not() -> None:
    keys = [{canonical(text, "number") for text in texts} for texts in EQUAL_NUMBERS]
    assert all(len(key) == 1 for key in keys), keys
    assert len(set.union(*keys)) == len(EQUAL_NUMBERS)


@pytest.mark.parametrize(("a", "b"), EQUAL_TEXTS)
def test_equal_texts(a: str, b: str) -> None:
    assert equivalent(a, b, "text")


@pytest.mark.parametrize(("a", "b"), DIFFERENT_TEXTS)
def test_signs_that_carry_a_meaning_keep_texts_apart(a: str, b: str) -> None:
    assert check(a, b, "text") is Verdict.REFUTED


def test_truth_values_and_choices_have_one_name() -> None:
    assert equivalent("Yes", "true", "boolean")
    assert check("yes", "no", "boolean") is Verdict.REFUTED
    assert equivalent("(B)", "paris", "choice", CITIES)
    assert check("A", "B", "choice", CITIES) is Verdict.REFUTED


def test_unparsable_answer_equals_only_itself() -> None:
    assert equivalent("no idea", "no  idea", "number")
    assert check("no idea", "5", "number") is Verdict.REFUTED
    assert check("E", "A", "choice", CITIES) is Verdict.REFUTED


@pytest.mark.slow
@pytest.mark.parametrize("digits", ["1" * 1_000_000, "1." + "1" * 100_000, "1" + "0" * 100_000])
def test_million_digits_neither_hang_nor_raise(digits: str) -> None:
    found = extract(f"The answer is {digits}.", "number")
    assert found is not None
    assert canonical(digits, "number") == found
    assert extract(f"It came to {digits}", "number") == found


def test_huge_fractions_and_powers_are_refused() -> None:
    assert extract("The answer is " + "1" * 100_000 + "/" + "3" * 100_000, "number") is None
    assert extract("The answer is 7^" + "9" * 100_000, "number") is None


def test_keys_survive_the_smallest_integer_limit() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert canonical("1/" + "3" * 290, "number") == "1/" + "3" * 290
        # 2^-900 has 900 decimals, 630 digits of them significant, and its numerator on the way there has more than 640.
        assert canonical(f"1/{2**900}", "number") == f"{5**900}e-900"
        assert extract("The answer is " + "7" * 150 + "/" + str(2**480), "number") is not None
    finally:
        sys.set_int_max_str_digits(before)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**30), st.integers(1, 10**6))
def test_number_key_agrees_with_fraction(numerator: int, denominator: int, factor: int) -> None:
    value = Fraction(numerator, denominator)
    key = canonical(f"{numerator}/{denominator}", "number")
    assert Fraction(key) == value
    assert canonical(f"{numerator * factor}/{denominator * factor}", "number") == key


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40))
def test_decimal_key_agrees_with_fraction(value: Decimal) -> None:
    key = canonical(str(value), "number")
    assert Fraction(key) == Fraction(value)
    exact = Fraction(value)
    if max(map(len, (str(exact.numerator), str(exact.denominator)))) < 140:
        assert canonical(f"{exact.numerator}/{exact.denominator}", "number") == key


@given(st.integers(-999_999, 999_999))
def test_grouped_digits_are_one_number(value: int) -> None:
    for text in (f"{value:,}", f"{value:_}", f"{value:,}".replace(",", " "), f"{value:,}.00"):
        assert extract(f"The answer is {text}.", "number") == str(value)


def _spoken(value: int) -> str:
    """English words for 0 to 999,999, written the long way, independent of the reader."""
    words = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen"""
    ones = words.split()
    tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    if value < 20:
        return ones[value]
    if value < 100:
        return tens[value // 10 - 2] + (f"-{ones[value % 10]}" if value % 10 else "")
    if value < 1000:
        return f"{ones[value // 100]} hundred" + (f" and {_spoken(value % 100)}" if value % 100 else "")
    return f"{_spoken(value // 1000)} thousand" + (f" {_spoken(value % 1000)}" if value % 1000 else "")


@given(st.integers(0, 999_999))
def test_number_words(value: int) -> None:
    assert canonical(_spoken(value), "number") == str(value)


@given(st.text(max_size=60), st.sampled_from(list(AnswerKind)))
def test_key_of_a_key_is_the_key(text: str, kind: AnswerKind) -> None:
    key = canonical(text, kind, CITIES)
    assert canonical(key, kind, CITIES) == key


PIECES = st.lists(
    st.sampled_from(
        [
            *"0123456789.,-+/^{}()[]$%=:;!?'\"*_#<>xXaABn \n\\",
            "\\boxed{",
            "\\frac{",
            "answer is ",
            "Answer:",
            "####",
            "not ",
            "yes",
            "no,",
            "and",
            " or ",
            "twenty",
            "hundred",
            "½",
            "²",
            "−",
            "London",
            "(B)",
            "<answer>",
            "\\text{",
            "e5",
            "\u0301",
            " million",
        ]
    ),
    max_size=25,
).map("".join)


@given(st.one_of(st.text(max_size=200), PIECES), st.sampled_from(list(AnswerKind)))
def test_extract_never_raises_and_gives_a_stable_answer(text: str, kind: AnswerKind) -> None:
    answer = extract(text, kind, CITIES)
    if answer is None:
        return
    assert answer.strip()
    key = canonical(answer, kind, CITIES)
    assert canonical(key, kind, CITIES) == key
    if kind in {AnswerKind.NUMBER, AnswerKind.CHOICE, AnswerKind.BOOLEAN}:
        assert key == answer


@given(
    st.lists(st.text(alphabet="bcdfghjklm", min_size=3, max_size=8), min_size=2, max_size=26, unique=True),
    st.integers(0, 25),
    st.sampled_from(
        [
            "{}",
            "({})",
            "{}.",
            "**{}**",
            "Option {}",
            "The answer is {}.",
            "Answer: ({})",
            "so it's {}.",
            r"\boxed{{{}}}",
        ]
    ),
)
def test_letter_names_its_choice(choices: list[str], index: int, template: str) -> None:
    index %= len(choices)
    assert extract(template.format(chr(ord("A") + index)), "choice", choices) == choices[index]
    assert extract(template.format(choices[index]), "choice", choices) == choices[index]


@given(
    st.lists(
        st.one_of(
            st.none(), st.sampled_from(["1/2", "0.5", "3", "3.0", "x", "no", "Yes", "London", "A"]), st.text(max_size=5)
        )
    )
)
def test_classes_are_the_classes_of_keys(answers: list[str | None]) -> None:
    for kind in (AnswerKind.NUMBER, AnswerKind.TEXT, AnswerKind.BOOLEAN, AnswerKind.CHOICE):
        classes = group(answers, kind, CITIES)
        keys = [None if answer is None else canonical(answer, kind, CITIES) for answer in answers]
        assert [index is None for index in classes] == [answer is None for answer in answers]
        for i, key in enumerate(keys):
            assert all((classes[i] == classes[j]) == (key == keys[j]) for j in range(i))
        present = [index for index in classes if index is not None]
        assert list(dict.fromkeys(present)) == list(range(len(set(present))))


ADVERSARIAL = {
    "digits": "1",
    "spaced digits": "1 ",
    "blocks": "123 ",
    "commas": "1,",
    "blanks": " ",
    "braces": "\\boxed{",
    "open braces": "{",
    "answers": "answer is ",
    "answer blanks": "answer" + " " * 50,
    "hashes": "#### ",
    "stops": ". ",
    "dollars": "$x",
    "tags": "<a",
    "marks": "\u0315\u0300",
    "hidden marks": "\u0f73",
    "words": "one ",
    "no": "no ",
    "not": "not true ",
    "letters": "(A) ",
    "cities": "London ",
    "dashes": "1-",
    "slashes": "1/",
    "powers": "9^",
    "frac": "\\frac{1",
    "text": "\\text{",
    "months": "may 1 ",
    "quotes": '"',
    "stars": "**",
    # One character that folds into eighteen.
    "expands": "\ufdfa" + " " * 17,
    "newlines": "\n",
    "colons": "answer:\n",
}


def _seconds(text: str, kind: AnswerKind) -> float:
    start = time.process_time()
    extract(text, kind, CITIES)
    return time.process_time() - start


@pytest.mark.slow
@pytest.mark.parametrize("piece", ADVERSARIAL.values(), ids=ADVERSARIAL.keys())
def test_time_grows_with_the_length_not_with_its_square(piece: str) -> None:
    for prefix in ("", "The answer is "):
        for kind in AnswerKind:
            text = prefix + piece * (1 + 3_000 // len(piece))
            short, long = _seconds(text, kind), _seconds(text * 4, kind)
            # Four times the text costs 4 times the time, or 16 times if it is quadratic; short times are noise.
            assert long < max(9 * short, 0.1), (kind, short, long)


def test_bad_input_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'number'"):
        extract("5", "numbr")
    with pytest.raises(UsageError, match="choices"):
        extract("B", "choice")
    for seconds in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="seconds"):
            check("1", "2", "number", seconds=seconds)


def test_kind_may_be_given_by_name() -> None:
    assert [extract("The answer is 24.", kind.value) for kind in PLAIN_KINDS] == ["24", None, "24", "24"]
