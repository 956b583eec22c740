"""Settings: what the environment says, what holds when it says nothing, and what is refused."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from educe.core import settings
from educe.core.errors import UsageError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for setting in settings.SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_every_variable_read_is_listed_and_every_listed_one_is_read() -> None:
    source = inspect.getsource(settings)
    for setting in settings.SETTINGS:
        assert source.count(f'_read("{setting.name}")') == 1
        assert setting.default
        assert setting.meaning.endswith(".")
    assert source.count('_read("') == len(settings.SETTINGS)


@pytest.mark.parametrize("unset", [None, "", "   "])
def test_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unset: str | None) -> None:
    if unset is not None:
        for setting in settings.SETTINGS:
            monkeypatch.setenv(setting.name, unset)
    assert settings.default_model() == "smollm2-135m"
    assert settings.data_dir() == tmp_path / ".local/share/educe"
    assert settings.cache_dir() == tmp_path / ".cache/educe"
    assert settings.threads() == len(os.sched_getaffinity(0))
    assert settings.api_key() is None
    assert not any(tmp_path.iterdir())  # asking makes no folder


def test_xdg_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert settings.data_dir() == tmp_path / "d/educe"
    assert settings.cache_dir() == tmp_path / "c/educe"


def test_own_folders_go_before_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
    monkeypatch.setenv("EDUCE_DATA_DIR", "~/mine")
    monkeypatch.setenv("EDUCE_CACHE_DIR", "relative")
    monkeypatch.chdir(tmp_path)
    assert settings.data_dir() == tmp_path / "mine"
    assert settings.cache_dir() == tmp_path / "relative"


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("EDUCE_DATA_DIR", settings.data_dir),
        ("EDUCE_CACHE_DIR", settings.cache_dir),
        ("EDUCE_LM", settings.default_model),
    ],
)
def test_home_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, read: object) -> None:
    monkeypatch.setenv(name, "~no-such-user-here/folder")
    with pytest.raises(UsageError, match=f"{name}='~no-such-user-here/folder'"):
        read()  # type: ignore[operator]


def test_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDUCE_LM", "hf:ORG/NAME")
    assert settings.default_model() == "hf:ORG/NAME"
    monkeypatch.setenv("EDUCE_LM", "~/model.gguf")
    assert settings.default_model() == str(tmp_path / "model.gguf")


def test_api_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDUCE_API_KEY", " secret ")
    assert settings.api_key() == "secret"


def test_threads_follow_the_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert settings.threads() == 1
        monkeypatch.setenv("EDUCE_THREADS", "3")  # the setting goes before what the machine says
        assert settings.threads() == 3
    finally:
        os.sched_setaffinity(0, allowed)


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_threads_are_a_whole_number_in_range(monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    text = str(value)
    monkeypatch.setenv("EDUCE_THREADS", text)
    if not text.strip():
        assert settings.threads() == len(os.sched_getaffinity(0))
    elif text.strip() in {str(n).zfill(len(text.strip())) for n in range(1, 1025)} and len(text.strip()) <= 9:
        assert settings.threads() == int(text)
    else:
        with pytest.raises(UsageError, match="EDUCE_THREADS"):
            settings.threads()
