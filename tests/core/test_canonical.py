"""Canonical JSON: exact, refusing, and equal exactly for equal contents."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
import pathlib
import subprocess
import sys
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core.canonical import canonical_json, content_hash
from educe.core.errors import UsageError
from educe.core.ledger import Budget
from educe.core.seed import Seed

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    A = "a"


@dataclasses.dataclass(frozen=True)
class Method:
    n: int = 4
    rate: float = 0.1
    names: tuple[str, ...] = ("b", "a")
    cache: Any = dataclasses.field(default=None, compare=False)


def same(a: Any, b: Any) -> bool:
    """Equality of JSON values that tells 1 from 1.0 and True, and 0.0 from -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))


@given(values)
def test_reads_back_exactly(value: Any) -> None:
    text = canonical_json(value)
    assert text.isascii()
    assert same(json.loads(text), value)
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(), scalars), st.randoms(use_true_random=False))
def test_order_of_keys_does_not_count(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert canonical_json({key: value[key] for key in keys}) == canonical_json(value)
    assert canonical_json(MappingProxyType(value)) == canonical_json(value)


@given(values, values)
def test_hashes_are_equal_exactly_for_equal_contents(a: Any, b: Any) -> None:
    assert (content_hash(a) == content_hash(b)) == same(a, b)


@pytest.mark.slow
@given(st.lists(values, max_size=3), st.lists(values, max_size=3))
def test_boundaries_of_parts_count(a: list[Any], b: list[Any]) -> None:
    assert content_hash(a, b) != content_hash(a + b)
    assert (content_hash(*a) == content_hash(*b)) == same(a, b)


def test_dataclass_carries_its_name_and_the_fields_of_its_equality() -> None:
    assert json.loads(canonical_json(Method())) == {
        "type": "Method",
        "fields": {"n": 4, "rate": 0.1, "names": ["b", "a"]},
    }
    assert content_hash(Method(cache=object())) == content_hash(Method())
    assert content_hash(Method(n=5)) != content_hash(Method())
    assert json.loads(canonical_json(Seed(7, ("particles", 3)))) == {
        "type": "Seed",
        "fields": {"root": 7, "path": ["particles", 3]},
    }
    assert content_hash(Budget(samples=4)) != content_hash(Budget(calls=4))


def test_special_values() -> None:
    assert canonical_json((1, 1.0, True, -0.0, 1e22, 5e-324, 2**70)) == (
        "[1,1.0,true,-0.0,1e+22,5e-324,1180591620717411303424]"
    )
    assert canonical_json([Colour.RED, Level.HIGH, {Colour.RED: 1}]) == '["red",3,{"red":1}]'
    assert canonical_json({3, 10, "a"}) == canonical_json(frozenset(["a", 10, 3])) == '["a",10,3]'
    assert canonical_json([np.int64(3), np.float64(0.1), np.bool_(True), np.float32(0.1), np.str_("é")]) == (
        '[3,0.1,true,0.10000000149011612,"\\u00e9"]'
    )
    assert canonical_json("\ud800") == '"\\ud800"'


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (math.nan, "nan"),
        ({"a": [0, -math.inf]}, r"\['a'\]\[1\] is -inf"),
        (np.float64("nan"), "nan"),
        (Method(rate=math.inf), r"\.rate is inf"),
        (b"bytes", "bytes"),
        ({1: "a"}, "key 1"),
        ({(1, 2): "a"}, "key"),
        ({None: "a"}, "key None"),
        (pathlib.Path("model.gguf"), "Give the text of the path"),
        (Plain.A, "enumeration"),
        (object(), "object"),
        (Method, "type"),
        (1j, "complex"),
        ([math.sqrt], "builtin"),
        (np.zeros(2), "ndarray"),
        (np.longdouble(1), "longdouble"),
        (np.datetime64("2024-01-01"), "date"),
    ],
)
def test_refuses_what_has_no_canonical_form(value: Any, place: str) -> None:
    with pytest.raises(UsageError, match=place):
        canonical_json(value)
    with pytest.raises(UsageError, match=place):
        content_hash("part", value)


def test_refuses_a_number_that_python_will_not_write() -> None:
    with pytest.raises(UsageError, match="digits"):
        canonical_json(10**5000)


def test_refuses_what_contains_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UsageError, match="contains itself"):
        canonical_json(loop)


@pytest.mark.slow
def test_hash_is_the_same_in_every_process() -> None:
    """The order of a set of texts changes with the hash seed of the process; the content hash must not."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import importlib.util as u\n"
        # The module alone: loading torch with the package would cost seconds.
        "import types; [sys.modules.setdefault(n, types.ModuleType(n)) for n in ('educe', 'educe.core')]\n"
        "def load(name):\n"
        "    spec = u.spec_from_file_location('educe.core.' + name, sys.argv[1] + '/' + name + '.py')\n"
        "    module = sys.modules[spec.name] = u.module_from_spec(spec); spec.loader.exec_module(module); return module\n"
        "load('errors'); print(load('canonical').content_hash({str(i) for i in range(50)}, {'b': 1, 'a': 2.5}))"
    )
    folder = str(pathlib.Path(sys.modules["educe.core.canonical"].__file__ or "").parent)
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script, folder],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == content_hash({str(i) for i in range(50)}, {"b": 1, "a": 2.5})


def test_hash_is_blake2b_of_the_canonical_text() -> None:
    """Written out by hand, because a changed hash would orphan every stored unit."""
    text = b'["answer",{"n":16,"temperature":0.7},7]'
    assert content_hash("answer", {"temperature": 0.7, "n": 16}, 7) == hashlib.blake2b(text, digest_size=20).hexdigest()
