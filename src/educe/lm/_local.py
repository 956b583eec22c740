"""What models that compute in this process have in common: a worker thread, a fingerprint of their files, limits."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch

from educe.core.errors import UsageError
from educe.core.settings import threads
from educe.lm._worker import Worker
from educe.lm.model import LanguageModel

__all__ = ["DTYPES", "LocalModel"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@functools.cache
def _set_threads() -> None:
    """Set torch's thread count, once."""
    torch.set_num_threads(threads())


class LocalModel(LanguageModel):
    """Base of `Engine` and `TransformersModel`; subclasses set ``context`` and write the three methods.

    Parameters
    ----------
    name : str
        What results call it.
    path : Path or None
        Its file or folder, None for a model on a hub.
    dtype : str
        The number format.
    max_rows : int
        Most rows computed together, >= 1; more wait.
    known : iterable of str
        Which number formats there are.

    Raises
    ------
    UsageError
        A parameter is out of range.
    """

    capabilities = LanguageModel.all_capabilities - LanguageModel.sampling_capabilities
    context: int

    def __init__(
        self, name: str, path: Path | None, dtype: str, max_rows: int, known: Iterable[str] = tuple(DTYPES)
    ) -> None:
        if dtype not in known:
            raise UsageError(f"dtype {dtype!r} is unknown. Use {' or '.join(map(repr, known))}.")
        if max_rows < 1:
            raise UsageError(f"max_rows={max_rows} leaves no row to compute. Give a number >= 1.")
        _set_threads()
        self.name, self.path = name, path
        self.dtype, self.max_rows = dtype, max_rows
        self._worker = Worker(name)

    @functools.cached_property
    def fingerprint(self) -> str:
        """What results depend on: the name, the SHA-256 of the model's files, and the number format."""
        return f"{self.name}:{self._revision()}:{self.dtype}"

    def _revision(self) -> str:
        """What tells the weights apart from other weights of the same name."""
        assert self.path is not None
        files = [self.path] if self.path.is_file() else sorted(file for file in self.path.iterdir() if file.is_file())
        digest = hashlib.sha256()
        for file in files:
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()

    def _check_length(self, length: int, room: int) -> None:
        """Refuse a text that is empty, or too long to leave room for so many tokens."""
        if not length:
            raise UsageError("The text has no character that the model knows. Give another text.")
        if length + room > self.context:
            raise UsageError(
                f"The prompt has {length} tokens, and {self.name} has a context of {self.context}. "
                f"Shorten it to at most {self.context - room} tokens."
            )

    async def aclose(self) -> None:
        """End what runs within one step and free the worker thread; may be called twice."""
        await self._worker.aclose()
