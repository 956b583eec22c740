"""educe: inference methods from sixty papers as one library.

    model + question + budget -> Posterior (weighted hypotheses) + Ledger (what it cost)

>>> import educe
>>> posterior = educe.ask_sync("How many legs do three spiders have?", "fake:The answer is 24.")
>>> posterior.mode().text, posterior.confidence
('24', 1.0)
"""

import importlib as _importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from educe.core import Budget, EduceError, Ledger, Posterior, Refusal, Seed
    from educe.lm import FakeLM, LanguageModel, Session, load
    from educe.reason import Answer, Question, Strategy, ask, ask_sync, methods

__version__ = _version("educe")

__all__ = [
    "Answer",
    "Budget",
    "EduceError",
    "FakeLM",
    "LanguageModel",
    "Ledger",
    "Posterior",
    "Question",
    "Refusal",
    "Seed",
    "Session",
    "Strategy",
    "__version__",
    "ask",
    "ask_sync",
    "load",
    "methods",
]

# Imported on first use: a room then loads only the rooms below it, and `educe --help` needs no torch.
_ROOMS = ("core", "lm", "reason")


def __getattr__(name: str) -> object:
    if name in __all__:
        for room in _ROOMS:
            module = _importlib.import_module(f"educe.{room}")
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module 'educe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
