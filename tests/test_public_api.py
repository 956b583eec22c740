"""What is public is documented: every exported name, every command and option, every setting."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import click
import pytest

import educe
from educe.cli.main import COMMANDS, SUMMARIES, cli
from educe.core import SETTINGS

ROOT = Path(__file__).parents[1]
ROOMS = sorted(
    item.name for item in pkgutil.iter_modules(educe.__path__) if item.ispkg and item.name not in ("papers", "cli")
)
MODULES = [
    item.name
    for item in pkgutil.walk_packages(educe.__path__, "educe.")
    if not any(part.startswith("_") for part in item.name.split("."))
]
GUIDE = "\n".join(
    path.read_text(encoding="utf-8") for path in [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
)


def exported():
    for room in ["educe", *(f"educe.{room}" for room in ROOMS), "educe.testing", "educe.papers.catalogue"]:
        module = importlib.import_module(room)
        for name in module.__all__:
            yield pytest.param(room, name, id=f"{room}.{name}")


@pytest.mark.parametrize(("room", "name"), list(exported()))
def test_an_exported_name_exists_and_has_a_docstring(room, name):
    value = getattr(importlib.import_module(room), name)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return
    assert value.__doc__, f"{room}.{name} has no docstring"
    if inspect.isclass(value):
        for method, member in vars(value).items():
            if method.startswith("_") or not callable(member):
                continue
            assert inspect.getdoc(getattr(value, method)), f"{room}.{name}.{method} has no docstring"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_and_what_it_exports(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    is_paper = name.startswith("educe.papers.") and hasattr(module, "card")
    if name.endswith(".__main__") or is_paper or name in ("educe.papers", "educe.cli"):
        return
    assert hasattr(module, "__all__"), f"{name} does not say what it exports"
    assert all(hasattr(module, public) for public in module.__all__)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_re_exports_only(room):
    module = importlib.import_module(f"educe.{room}")
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__ != module.__name__, f"educe.{room}.{name} lives in an __init__"


def numpydoc_parameters(doc):
    """Names in the Parameters section, grouped ones split."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", doc, re.S | re.M)
    if not section:
        return set()
    heads = re.findall(r"^([\w*][\w*, ]*?)(?: :.*)?$", section.group(1), re.M)
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


@pytest.mark.parametrize(("room", "name"), list(exported()))
def test_parameters_are_documented(room, name):
    value = getattr(importlib.import_module(room), name)
    if not inspect.isfunction(value) and not (inspect.isclass(value) and not issubclass(value, BaseException)):
        return
    if inspect.isclass(value) and (
        issubclass(value, (str, tuple)) or inspect.isabstract(value) or getattr(value, "_is_protocol", False)
    ):
        return
    if inspect.isclass(value) and issubclass(value, dict):
        return
    try:
        parameters = inspect.signature(value).parameters
    except ValueError:
        return
    documented = numpydoc_parameters(inspect.getdoc(value) or "")
    missing = [
        item for item, parameter in parameters.items()
        if item not in documented and item not in ("self", "args", "kwds") and not item.startswith("_")
    ]  # fmt: skip
    assert not missing, f"{room}.{name} leaves {missing} undocumented; has {sorted(documented)}"


def commands(group, path=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize(
    ("path", "command"), list(commands(cli)), ids=lambda item: "-".join(item) if isinstance(item, tuple) else ""
)
def test_a_command_is_documented(path, command):
    assert command.help, f"educe {' '.join(path)} has no help"
    assert f"educe {' '.join(path)}" in GUIDE, f"docs do not mention `educe {' '.join(path)}`"
    for option in command.params:
        if isinstance(option, click.Option) and option.name != "help":
            name = max(option.opts, key=len)
            assert option.help or name == "--scale", f"educe {' '.join(path)} {name} has no help"
            assert name in GUIDE, f"docs do not mention {name} of `educe {' '.join(path)}`"


def test_the_list_of_commands_says_what_each_does():
    assert set(COMMANDS) == set(SUMMARIES)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_is_documented(setting):
    assert setting.name in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_every_setting_that_is_read_is_listed():
    known = {setting.name for setting in SETTINGS}
    for path in (ROOT / "src").rglob("*.py"):
        for name in re.findall(r"\bEDUCE_[A-Z_]+\b", path.read_text(encoding="utf-8")):
            assert name in known, f"{path.name} reads {name}, which settings.SETTINGS does not list"


def test_every_method_stands_in_the_guide():
    from educe.reason import methods

    for name in methods():
        assert f"`{name}`" in GUIDE, f"docs do not mention the method {name}"
