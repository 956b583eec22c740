"""The ideas that every room shares: a posterior, what it cost, and where its randomness came from."""

from educe.core.canonical import canonical_json, canonical_key, content_hash
from educe.core.dask_executor import DaskExecutor
from educe.core.errors import (
    BackendError,
    CapabilityError,
    DataError,
    EduceError,
    StoreError,
    UsageError,
    nearest,
)
from educe.core.executor import Executor, InProcess
from educe.core.executor_address import make_executor
from educe.core.ledger import Budget, Ledger
from educe.core.posterior import EvidenceKind, Interval, Posterior, Refusal
from educe.core.ray_executor import RayExecutor
from educe.core.report import TOPICS, Baseline, Card, Check, Control, Report, Scale
from educe.core.seed import Seed
from educe.core.settings import SETTINGS, Setting
from educe.core.store import Store, StoredUnit
from educe.core.sync import run_sync

__all__ = [
    "SETTINGS",
    "TOPICS",
    "BackendError",
    "Baseline",
    "Budget",
    "CapabilityError",
    "Card",
    "Check",
    "Control",
    "DaskExecutor",
    "DataError",
    "EduceError",
    "EvidenceKind",
    "Executor",
    "InProcess",
    "Interval",
    "Ledger",
    "Posterior",
    "RayExecutor",
    "Refusal",
    "Report",
    "Scale",
    "Seed",
    "Setting",
    "Store",
    "StoreError",
    "StoredUnit",
    "UsageError",
    "canonical_json",
    "canonical_key",
    "content_hash",
    "make_executor",
    "nearest",
    "run_sync",
]
