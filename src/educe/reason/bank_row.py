"""`BankRow`: all samples of one question, as arrays; what every estimator over samples reads.

Live methods put what they have just drawn into a row, a `SampleBank` holds stored ones: both go through the same code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from educe.core import Posterior
from educe.lm import Completion
from educe.reason.question import Answer

__all__ = ["RIGHT", "UNDECIDED", "UNREAD", "WRONG", "BankRow", "path_key"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

RIGHT, WRONG, UNDECIDED = 1, 0, -1
UNREAD = -1


def path_key(completion: Completion) -> int:
    """Return a number that tells a token path from others, for finding repeated paths.

    Parameters
    ----------
    completion : Completion
        A row; its text stands in where the backend tells no token ids.

    Returns
    -------
    int
        63 bits. Two paths of one bank meet by chance with probability below 1e-8 for up to 400,000 samples.

    Examples
    --------
    >>> path_key(Completion("ab", (1, 2))) == path_key(Completion("ab", (3,)))
    False
    """
    data = np.asarray(completion.tokens, dtype="<i8").tobytes() if completion.tokens else completion.text.encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") >> 1


@dataclass(frozen=True)
class BankRow:
    """All samples of one question.

    Parameters
    ----------
    classes : tuple of Answer
        The distinct answers, in order of first appearance.
    answers : (samples,) int64
        Index of each sample's answer in `classes`, -1 where none could be read.
    logprobs : (samples,) float64
        Log-probability of the whole row at temperature 1; NaN where not served.
    sampling_logprobs : (samples,) float64
        Under the law that it was drawn from; NaN where not known.
    tokens : (samples,) int64
        Number of tokens drawn.
    paths : (samples,) int64
        See `path_key`.
    verdicts : (samples,) int64
        1 right, 0 wrong, -1 undecided.
    scores : mapping of str to (samples, ...) float64
        Scores by name; a second axis is that of steps or checkpoints, NaN where a row has none.

    Examples
    --------
    >>> row = BankRow.of([Completion("The answer is 4.", (1, 2), (-0.5, -0.25))], [Answer("4", "number")])
    >>> row.answers.tolist(), row.logprobs.tolist()
    ([0], [-0.75])
    """

    classes: tuple[Answer, ...]
    answers: Integers
    logprobs: Floats
    sampling_logprobs: Floats
    tokens: Integers
    paths: Integers
    verdicts: Integers
    scores: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.answers)

    @classmethod
    def of(
        cls,
        completions: Sequence[Completion],
        answers: Sequence[Answer | None],
        verdicts: Sequence[int] | None = None,
        scores: Mapping[str, Sequence[float]] | None = None,
    ) -> BankRow:
        """Put samples that were just drawn into a row, so that live methods and replays share their code.

        Parameters
        ----------
        completions : sequence of Completion
            What came back.
        answers : sequence of Answer or None
            From `read_answers`, which gives equal answers as one object.
        verdicts : sequence of int, optional
            1 right, 0 wrong, -1 undecided; all undecided when left out.
        scores : mapping of str to sequence of float, optional
            Scores by name.
        """
        classes: list[Answer] = []
        index: dict[int, int] = {}
        codes = []
        for answer in answers:
            if answer is None:
                codes.append(UNREAD)
                continue
            code = index.setdefault(id(answer), len(classes))
            if code == len(classes):
                classes.append(answer)
            codes.append(code)
        return cls(
            tuple(classes),
            np.array(codes, dtype=np.int64),
            np.array([np.nan if row.logprobs is None else row.logprob for row in completions], dtype=np.float64),
            np.array([_sum(row.sampling_logprobs) for row in completions], dtype=np.float64),
            np.array([len(row.tokens) for row in completions], dtype=np.int64),
            np.array([path_key(row) for row in completions], dtype=np.int64),
            np.array([UNDECIDED] * len(codes) if verdicts is None else verdicts, dtype=np.int64),
            {name: np.asarray(values, dtype=np.float64) for name, values in (scores or {}).items()},
        )

    def take(self, index: npt.ArrayLike) -> BankRow:
        """Return the row with these samples only, in this order; the classes stay.

        Parameters
        ----------
        index : array-like of int
            Positions of samples.
        """
        chosen = np.asarray(index, dtype=np.int64)
        return BankRow(
            self.classes,
            self.answers[chosen],
            self.logprobs[chosen],
            self.sampling_logprobs[chosen],
            self.tokens[chosen],
            self.paths[chosen],
            self.verdicts[chosen],
            {name: values[chosen] for name, values in self.scores.items()},
        )

    @property
    def class_verdicts(self) -> Integers:
        """Verdict of each class, (classes,): right where any of its samples is, undecided where none was decided."""
        verdicts = np.full(len(self.classes), UNDECIDED, dtype=np.int64)
        read = self.answers >= 0
        np.maximum.at(verdicts, self.answers[read], self.verdicts[read])
        return verdicts

    def credit(self, posterior: Posterior[Answer], verdicts: npt.ArrayLike | None = None) -> float:
        """Whether the most probable answer is right; tied answers share the credit equally.

        Parameters
        ----------
        posterior : Posterior of Answer
            Over the classes of this row.
        verdicts : (classes,) array-like of int, optional
            Taken from the samples of this row when left out; a whole bank row knows more than its subset does.

        Returns
        -------
        float
            In [0, 1]; 0 for a posterior without mass.
        """
        known = self.class_verdicts if verdicts is None else np.asarray(verdicts)
        positions = {id(answer): code for code, answer in enumerate(self.classes)}
        weights = posterior.log_weights.numpy()
        if not len(weights) or weights.max() == -np.inf:
            return 0.0
        sums = np.full(len(self.classes), -np.inf)
        for answer, weight in zip(posterior.values, weights, strict=True):
            code = positions.get(id(answer))
            code = self.classes.index(answer) if code is None else code
            sums[code] = np.logaddexp(sums[code], weight)
        # Sums of equal weights in different orders differ by rounding; a tie must stay one.
        best = sums >= sums.max() - 1e-9
        return float((known[best] == RIGHT).mean())


def _sum(values: Sequence[float] | None) -> float:
    return np.nan if values is None else float(sum(values))
