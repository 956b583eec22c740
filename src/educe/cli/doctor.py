"""`educe doctor`: is this installation sound, and what is to be mended?"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click

from educe.core import CapabilityError, EduceError, Store, run_sync
from educe.core.settings import SETTINGS, cache_dir, data_dir, default_model, threads
from educe.lm import zoo
from educe.verify import check_isolation

__all__ = ["doctor"]

EXTRAS = {
    "hf": "transformers",
    "dask": "distributed",
    "ray": "ray",
    "figures": "matplotlib",
    "science": "sklearn",
    "site": "fastapi",
    "sandbox": "pyseccomp",
}


class Finding(NamedTuple):
    """One line of the examination: its state is "ok", "note" or "fault"."""

    state: str
    name: str
    text: str


def _versions() -> Finding:
    import torch

    text = f"educe {importlib.metadata.version('educe')}, Python {platform.python_version()}, torch {torch.__version__}"
    return Finding("ok", "versions", text)


def _processor() -> Finding:
    import torch

    load = os.getloadavg()[0]
    text = f"{threads()} threads, {torch.backends.cpu.get_cpu_capability()}, load {load:.2f}"
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    return Finding("note" if load > threads() else "ok", "processor", text + gpu)


def _folder(name: str, setting: str, find: Callable[[], Path]) -> Finding:
    folder = find()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("fault", name, f"{folder}: {error.strerror}. Set {setting} to a folder that can be written.")
    free = shutil.disk_usage(folder).free / 1e9
    return Finding("ok" if free > 1 else "note", name, f"{folder}, {free:.1f} GB free")


def _store() -> Finding:
    with Store() as store:
        return Finding("ok", "store", f"{store.path}: {'; '.join(store.check())}")


def _model() -> Finding:
    name = default_model()
    if name in zoo.ZOO and zoo.model_path(name) is None:
        return Finding("note", "model", f"{name} is not fetched yet. Run `educe models get {name}`.")
    return Finding("ok", "model", f"{name} is the default")


def _extras() -> Finding:
    here = [extra for extra, module in EXTRAS.items() if importlib.util.find_spec(module) is not None]
    return Finding("ok", "extras", f"installed: {', '.join(here) or 'none'}; known: {', '.join(EXTRAS)}")


def _sandbox() -> Finding:
    try:
        results = run_sync(check_isolation())
    except CapabilityError as error:
        return Finding("note", "sandbox", f"model-written programs cannot run here. {error}")
    open_ways = [f"{result.name} ({result.detail})" for result in results if not result.holds]
    if open_ways:
        return Finding("fault", "sandbox", f"lets through: {'; '.join(open_ways)}. Do not run programs of models here.")
    return Finding("ok", "sandbox", f"{len(results)} attempts to get out or past a limit failed, as they should")


def _settings() -> Finding:
    given = [setting.name for setting in SETTINGS if os.environ.get(setting.name)]
    return Finding("ok", "settings", f"set: {', '.join(given) or 'none'}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> int:
    """Check versions, processor, folders, store and models; exit code 1 when something must be mended."""
    checks: list[Callable[[], Finding]] = [
        _versions,
        _processor,
        lambda: _folder("cache folder", "EDUCE_CACHE_DIR", cache_dir),
        lambda: _folder("data folder", "EDUCE_DATA_DIR", data_dir),
        _store,
        _model,
        _extras,
        _sandbox,
        _settings,
    ]
    findings = []
    for check in checks:
        try:
            findings.append(check())
        except EduceError as error:
            findings.append(Finding("fault", getattr(check, "__name__", "check").strip("_<>"), str(error)))
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings], ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(f"{finding.state:<6} {finding.name:<13} {finding.text}")
    return int(any(finding.state == "fault" for finding in findings))
