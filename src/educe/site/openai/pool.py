"""`ModelPool`: the models that a server offers, loaded when they are first asked for, shared, and bounded in number.

Only what the operator named can be loaded: a client's model name is looked up, never handed to `educe.load`. So no
request opens a file or calls another server that the operator did not choose.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from educe.core import BackendError, UsageError, content_hash, nearest
from educe.lm import LanguageModel, load

__all__ = ["ModelPool"]

_NAMED = re.compile(r"([A-Za-z0-9][\w./-]*)=(.+)", re.S)


@dataclass
class _Slot:
    """One offered model."""

    source: str | LanguageModel
    model: LanguageModel | None = None
    fingerprint: str = ""
    users: int = 0
    used: float = 0.0
    loading: asyncio.Task[None] | None = field(default=None, repr=False)


class ModelPool:
    """Models by the names under which they are served.

    Parameters
    ----------
    models : mapping of str to str or LanguageModel
        Served name, and what `educe.load` takes, or a model that is already loaded. A loaded one belongs to
        the caller: it is never closed here and does not count.
    most : int
        Most models loaded at the same time, >= 1. The one that was idle longest makes room for the next; while all
        are in use, the next waits.
    loader : callable
        Turns a source into a model; called in a thread.

    Attributes
    ----------
    created : int
        When the pool was made, in seconds since 1970.

    Raises
    ------
    UsageError
        There is no model, a name is unusable, or ``most`` is below 1.

    Examples
    --------
    >>> import asyncio
    >>> async def answer(pool):
    ...     async with pool.lease("tiny") as lm:
    ...         return (await lm.sample("2 + 2 ="))[0].text
    >>> asyncio.run(answer(ModelPool({"tiny": "fake:4"})))
    '4'
    """

    def __init__(
        self,
        models: Mapping[str, str | LanguageModel],
        *,
        most: int = 2,
        loader: Callable[[str], LanguageModel] = load,
    ) -> None:
        if not models:
            raise UsageError("The pool has no model. Name at least one.")
        if most < 1:
            raise UsageError(f"most={most} leaves no room for a model. Give a number >= 1.")
        for name in models:
            # The part after an @ is a method.
            if not name.strip() or "@" in name:
                raise UsageError(f"A model cannot be served as {name!r}. Give a name without '@'.")
        self.most, self.created = most, int(time.time())
        self._loader = loader
        self._slots = {name: _Slot(source) for name, source in models.items()}
        self._room = asyncio.Lock()
        self._freed = asyncio.Event()

    @classmethod
    def of(cls, items: Iterable[str], *, most: int = 2) -> ModelPool:
        """Make a pool from texts, as a command line gives them.

        Parameters
        ----------
        items : iterable of str
            Each ``NAME=SOURCE``, or a source that serves as its own name.
        most : int
            As for `ModelPool`.

        Examples
        --------
        >>> ModelPool.of(["smollm2-135m", "qwen=openai:http://127.0.0.1:9000/v1#Qwen/Qwen3-8B"]).names
        ('smollm2-135m', 'qwen')
        """
        models: dict[str, str | LanguageModel] = {}
        for item in map(str.strip, items):
            found = _NAMED.fullmatch(item)
            name, source = found.groups() if found else (item, item)
            if name in models:
                raise UsageError(f"Model {name!r} is named twice. Give each a name of its own.")
            models[name] = source
        return cls(models, most=most)

    @property
    def names(self) -> tuple[str, ...]:
        """Names under which models are served."""
        return tuple(self._slots)

    def check(self, name: str) -> None:
        """Refuse a name that is not served.

        Parameters
        ----------
        name : str
            Name of a model.

        Raises
        ------
        UsageError
            It is unknown.
        """
        if name not in self._slots:
            raise UsageError(f"Model {name[:100]!r} is not served here; {nearest(name[:100], self._slots)}")

    def fingerprint(self, name: str) -> str:
        """Return a short hash of a model's weights and number format, empty until it was loaded.

        Parameters
        ----------
        name : str
            Name of a model.
        """
        return self._slots[name].fingerprint

    @asynccontextmanager
    async def lease(self, name: str) -> AsyncIterator[LanguageModel]:
        """Lend a model, loading it first where need be.

        Parameters
        ----------
        name : str
            Name of a model.

        Yields
        ------
        LanguageModel
            It stays loaded until the lease ends.

        Raises
        ------
        UsageError
            The name is unknown.
        EduceError
            The model cannot be loaded; the next lease tries again.
        """
        self.check(name)
        slot = self._slots[name]
        slot.users += 1
        try:
            if slot.model is None:
                if slot.loading is None:
                    slot.loading = asyncio.create_task(self._load(name, slot))
                    # A client that has gone must not leave an error that nobody looks at.
                    slot.loading.add_done_callback(lambda task: task.cancelled() or task.exception())
                await asyncio.shield(slot.loading)
            assert slot.model is not None
            yield slot.model
        finally:
            slot.users -= 1
            slot.used = time.monotonic()
            self._freed.set()

    async def _load(self, name: str, slot: _Slot) -> None:
        try:
            if isinstance(slot.source, LanguageModel):
                slot.model = slot.source
                slot.fingerprint = await asyncio.to_thread(_short, slot.source)
                return
            async with self._room:
                await self._make_room()
                model = await asyncio.to_thread(self._loader, slot.source)
                slot.fingerprint = await asyncio.to_thread(_short, model)
                slot.model = model
        except UsageError as error:
            # The operator's mistake, not the client's.
            raise BackendError(f"Model {name!r} cannot be loaded: {error}") from error
        finally:
            slot.loading = None

    def _loaded(self) -> list[_Slot]:
        return [slot for slot in self._slots.values() if slot.model is not None and isinstance(slot.source, str)]

    async def _make_room(self) -> None:
        while len(self._loaded()) >= self.most:
            idle = [slot for slot in self._loaded() if not slot.users]
            if idle:
                oldest = min(idle, key=lambda slot: slot.used)
                model, oldest.model = oldest.model, None
                assert model is not None
                await model.aclose()
            else:
                self._freed.clear()
                await self._freed.wait()

    async def aclose(self) -> None:
        """Close what the pool has loaded; may be called twice."""
        loading = [slot.loading for slot in self._slots.values() if slot.loading is not None]
        await asyncio.gather(*loading, return_exceptions=True)
        for slot in self._loaded():
            model, slot.model = slot.model, None
            assert model is not None
            await model.aclose()


def _short(model: LanguageModel) -> str:
    # Hashed, because an upstream's fingerprint holds its address.
    return f"fp_{content_hash(model.fingerprint)[:12]}"
