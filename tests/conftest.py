"""Every test gets data and cache folders of its own; the fetched model is lent from the user's cache."""

import signal

import hypothesis
import pytest
from _pytest.doctest import DoctestModule

from educe.core import settings

# A shell that starts the tests in the background has interrupts ignored, and every child would inherit that: the tests
# of Ctrl-C then wait in vain. A Python handler here gives children the default again.
if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no defect: no deadline an example. Examples are drawn anew from one seed, so a failure repeats.
hypothesis.settings.register_profile("educe", deadline=None, derandomize=True)
hypothesis.settings.load_profile("educe")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """Look for examples in the package alone: to look here as well imports every file of tests twice."""
    return [found for found in (yield) if not isinstance(found, DoctestModule)]


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory, monkeypatch):
    """Keep tests away from the user's store and settings."""
    monkeypatch.setenv("EDUCE_DATA_DIR", str(tmp_path_factory.mktemp("data")))
    for name in ("EDUCE_LM", "EDUCE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def real_model():
    """Path of the default model; `make setup` and `educe models get` bring it, tests never fetch."""
    from educe.lm import zoo

    path = zoo.model_path("smollm2-135m")
    if path is None:
        pytest.fail(f"the model is not in {settings.cache_dir()}: run `make model`")
    return path
