"""`Question`: what a solver may see. `Answer`: what it may conclude. The reference answer is in neither.

How a question is put to a model stands here too, so that all methods ask in the same words and a
comparison between them is one of methods.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from educe.core.errors import UsageError
from educe.lm import Completion, Message
from educe.verify.answers import AnswerKind, canonical, extract, group

__all__ = ["Answer", "Question", "infer_kind", "read_answers"]

INSTRUCTIONS = {
    AnswerKind.NUMBER: "Think briefly, then finish with 'The answer is N.' where N is a number.",
    AnswerKind.CHOICE: "Finish with 'The answer is L.' where L is the letter of one option.",
    AnswerKind.BOOLEAN: "Think briefly, then finish with 'The answer is yes.' or 'The answer is no.'",
    AnswerKind.EXPRESSION: "Think briefly, then finish with 'The answer is E.' where E is an expression in LaTeX.",
    AnswerKind.TEXT: "Answer with the shortest exact answer.",
}
# Small models answer in the form that they were shown, and in no form when only told. On the example questions, shown
# turns take the default model from 17% of samples right to 41%.
EXAMPLES: dict[AnswerKind, tuple[tuple[str, str], ...]] = {
    AnswerKind.NUMBER: (
        ("How many eyes does a cat have?", "A cat has 2 eyes. The answer is 2."),
        ("How many legs do two dogs have?", "One dog has 4 legs. 2 x 4 = 8. The answer is 8."),
        ("What is 15 + 6?", "15 + 6 = 21. The answer is 21."),
    ),
    AnswerKind.CHOICE: (
        ("Which of these is a tool?\nA. apple\nB. hammer", "B. hammer"),
        ("Which is a number?\nA. nine\nB. green\nC. tall", "A. nine"),
    ),
    AnswerKind.BOOLEAN: (("Is a dog an animal?", "yes"), ("Is milk black?", "no")),
    AnswerKind.EXPRESSION: (
        ("Expand (x + 1)^2.", "(x + 1)^2 = x^2 + 2x + 1. The answer is $x^2 + 2x + 1$."),
        ("What is the derivative of x^3?", "The answer is $3x^2$."),
    ),
    AnswerKind.TEXT: (
        ("What is the capital of Italy?", "Rome"),
        ("Who painted the Mona Lisa?", "Leonardo da Vinci"),
        ("Which animal says moo?", "cow"),
    ),
}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NUMBER_WORDS = re.compile(
    r"\b(how (many|much|old|long|far|tall|deep)|what (number|is the (sum|product|total|value)))\b", re.I
)
_SUM = re.compile(r"\d\s*[-+*/x×÷^=]\s*\d")
_BOOLEAN_WORDS = re.compile(r"^\W*(is|are|was|were|do|does|did|can|could|has|have|had|will|would|should)\b", re.I)


def infer_kind(text: str, choices: Sequence[str] = ()) -> AnswerKind:
    """Guess the kind of answer that a question asks for, from its wording alone.

    Parameters
    ----------
    text : str
        The question.
    choices : sequence of str
        Options to pick from.

    Returns
    -------
    AnswerKind
        Choice where there are options; number after "how many" and the like or around a sum; boolean after a
        leading auxiliary verb without "or"; text otherwise.

    Examples
    --------
    >>> str(infer_kind("How many legs do three spiders have?")), str(infer_kind("Is ice cold?"))
    ('number', 'boolean')
    """
    if choices:
        return AnswerKind.CHOICE
    last = [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part][-1:] or [""]
    if _NUMBER_WORDS.search(last[0]) or _SUM.search(last[0]):
        return AnswerKind.NUMBER
    if _BOOLEAN_WORDS.match(last[0]) and not re.search(r"\bor\b", last[0], re.I):
        return AnswerKind.BOOLEAN
    return AnswerKind.TEXT


@dataclass(frozen=True)
class Answer:
    """A concluded answer; answers of one kind with equal canonical form are equal.

    Parameters
    ----------
    text : str
        As people should read it.
    kind : AnswerKind
        How it compares.
    choices : tuple of str
        The options it was picked from, if any.

    Examples
    --------
    >>> Answer("1/2", AnswerKind.NUMBER) == Answer("0.50", AnswerKind.NUMBER)
    True
    """

    text: str
    kind: AnswerKind = AnswerKind.TEXT
    choices: tuple[str, ...] = ()

    @property
    def canonical_key(self) -> tuple[str, str]:
        """What equality and hashing go by."""
        return (str(self.kind), canonical(self.text, self.kind, self.choices))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answer) and self.canonical_key == other.canonical_key

    def __hash__(self) -> int:
        return hash(self.canonical_key)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Question:
    """What a solver may see.

    Parameters
    ----------
    text : str
        The question, not empty.
    kind : AnswerKind or str, optional
        Kind of its answer; guessed by `infer_kind` when left out.
    choices : sequence of str
        Options to pick from, at most 26, distinct and not empty.
    examples : sequence of (str, str), optional
        Worked questions and answers to show first; the kind's own when left out, none when empty.
    instruction : str, optional
        How to answer, put after the question. When left out: the kind's own where no example is shown, else nothing.
    id : str, optional
        The caller's name for the question.

    Raises
    ------
    UsageError
        The text is empty, the kind unknown, or the choices unusable.

    Examples
    --------
    >>> Question("Which is red?", choices=("a rose", "the sea")).messages()[-1]["content"].splitlines()[1:3]
    ['A. a rose', 'B. the sea']
    """

    text: str
    kind: AnswerKind | str | None = None
    choices: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] | None = None
    instruction: str | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise UsageError("The question is empty. Give a text.")
        choices = tuple(self.choices)
        if any(not isinstance(choice, str) or not choice.strip() for choice in choices):
            raise UsageError(f"A choice of {choices!r} is empty or no text. Give texts.")
        if len(choices) == 1 or len(choices) > len(LETTERS):
            raise UsageError(f"{len(choices)} choices are not a choice. Give 2 to {len(LETTERS)}.")
        keys = {canonical(choice, AnswerKind.TEXT) for choice in choices}
        if len(keys) != len(choices):
            raise UsageError(f"Choices {choices!r} repeat one another. Give distinct texts.")
        try:
            kind = infer_kind(self.text, choices) if self.kind is None else AnswerKind(self.kind)
        except ValueError:
            known = ", ".join(AnswerKind)
            raise UsageError(f"Answer kind {self.kind!r} is unknown. Use one of: {known}.") from None
        if (kind is AnswerKind.CHOICE) != bool(choices):
            raise UsageError(
                f"Kind {str(kind)!r} with {len(choices)} choices does not fit. Give choices with kind 'choice' only."
            )
        object.__setattr__(self, "choices", choices)
        if self.examples is not None:
            object.__setattr__(self, "examples", tuple((str(q), str(a)) for q, a in self.examples))
        object.__setattr__(self, "kind", kind)

    @property
    def answer_kind(self) -> AnswerKind:
        """The kind, guessed or given."""
        return AnswerKind(self.kind or AnswerKind.TEXT)

    def messages(self) -> list[Message]:
        """Put the question as chat messages: examples as earlier turns, options by letter, the instruction last."""
        messages: list[Message] = []
        examples = EXAMPLES[self.answer_kind] if self.examples is None else self.examples
        for question, answer in examples:
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": answer})
        lines = [self.text.strip()]
        lines += [f"{letter}. {choice}" for letter, choice in zip(LETTERS, self.choices, strict=False)]
        instruction = self.instruction
        if instruction is None and not examples:
            instruction = INSTRUCTIONS[self.answer_kind]
        if instruction:
            lines.append(instruction)
        messages.append({"role": "user", "content": "\n".join(lines)})
        return messages

    def to_json(self) -> dict[str, Any]:
        """Return what tells this question apart from others (its id does not)."""
        return {
            "question": self.text,
            "kind": str(self.answer_kind),
            "choices": list(self.choices),
            "examples": None if self.examples is None else [list(pair) for pair in self.examples],
            "instruction": self.instruction,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Question:
        """Read a question from an object with ``question`` and perhaps ``id, kind, choices, examples, instruction``.

        Raises
        ------
        UsageError
            A field is missing, unknown or malformed.
        """
        if not isinstance(data, Mapping):
            raise UsageError(f'{str(data)[:60]!r} is no JSON object. Write {{"question": "..."}}.')
        known = {"id", "question", "kind", "choices", "examples", "instruction"}
        unknown = sorted(set(map(str, data)) - known)
        if unknown:
            raise UsageError(f"Field {unknown[0]!r} is unknown. Known: {', '.join(sorted(known))}.")
        if not isinstance(data.get("question"), str):
            raise UsageError("The field 'question' is missing or no text. Give a text.")
        choices = data.get("choices") or ()
        examples = data.get("examples")
        pairs = examples is None or (
            isinstance(examples, (list, tuple))
            and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in examples)
        )
        if not isinstance(choices, (list, tuple)) or not pairs:
            raise UsageError(
                "'choices' or 'examples' is malformed. Write a list of texts, and a list of pairs of texts."
            )
        identity = data.get("id")
        return cls(
            data["question"],
            data.get("kind"),
            tuple(choices),
            None if examples is None else tuple((q, a) for q, a in examples),
            data.get("instruction"),
            None if identity is None else str(identity),
        )


async def read_answers(question: Question, completions: Sequence[Completion]) -> list[Answer | None]:
    """Read the final answer out of each completion; equal answers come back as one and the same object.

    Comparing expressions may take seconds; it is done in a thread, so that other questions go on meanwhile.

    Parameters
    ----------
    question : Question
        What was asked.
    completions : sequence of Completion
        What came back.

    Returns
    -------
    list of Answer or None
        None where no answer can be read, and for rows that the budget cut.
    """
    kind = question.answer_kind
    texts = [
        None if completion.finish == "budget" else extract(completion.text, kind, question.choices)
        for completion in completions
    ]
    if kind is AnswerKind.EXPRESSION:
        owners = await asyncio.to_thread(group, texts, kind, question.choices)
    else:
        owners = group(texts, kind, question.choices)
    first: dict[int, Answer] = {}
    answers: list[Answer | None] = []
    for text, owner in zip(texts, owners, strict=True):
        if text is None or owner is None:
            answers.append(None)
        else:
            answers.append(first.setdefault(owner, Answer(text, kind, question.choices)))
    return answers
