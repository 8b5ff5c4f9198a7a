"""Arguments as msgpack: what travels, what is refused, and that bombs stay small."""

import datetime as dt
import tracemalloc
from dataclasses import dataclass
from typing import Any

import attrs
import msgpack
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.errors import DecodeError, WireError
from taskq.wire import args

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(plain, max_size=5).map(tuple))
def test_round_trip(values):
    """Plain values come back as they left."""
    assert args.decode(args.encode(values)) == values


@given(st.lists(plain, max_size=5).map(tuple))
def test_agrees_with_another_msgpack(values):
    """An independent msgpack reads what we write and writes what we read."""
    assert tuple(msgpack.unpackb(args.encode(values))) == values
    assert args.decode(msgpack.packb(values)) == values


def test_none_and_empty_differ_on_the_wire():
    """No arguments at all is nil, an empty list of them is an empty array; both read as none."""
    assert (args.encode(None), args.encode(())) == (b"\xc0", b"\x90")
    assert args.decode(b"\xc0") == args.decode(b"\x90") == args.decode(b"") == ()


@given(st.datetimes(timezones=st.just(dt.UTC)))
def test_moments_round_trip(moment):
    """An aware datetime arrives as the same moment in UTC."""
    assert args.decode(args.encode((moment,))) == (moment,)


def test_text_that_is_no_utf8_survives():
    """Invalid UTF-8 from Go is kept as surrogates and written back unchanged, in nested places too."""
    data = b"\x92\xa2\xff\xfe\x81\x01\xa1\xff"
    values = args.decode(data)
    assert values == ("\udcff\udcfe", {1: "\udcff"})
    assert args.encode(values) == data


@dataclass(frozen=True)
class Tagged:
    tags: set
    name: str = "x"


class TaggedStruct(msgspec.Struct, frozen=True):
    tags: set
    name: str = "x"


@attrs.frozen
class TaggedAttrs:
    tags: set
    name: str = "x"


class TaggedModel(pydantic.BaseModel):
    tags: Any
    name: str = "x"


@pytest.mark.parametrize(
    "holding",
    [
        lambda found: found,
        frozenset,
        lambda found: [1, (found, 2)],
        lambda found: {"z": [found], "a": 1},
        lambda found: {frozenset(found), frozenset({1})},
        Tagged,
        TaggedStruct,
        TaggedAttrs,
        lambda found: TaggedModel(tags=found),
        lambda found: [Tagged([found])],
    ],
)
def test_sets_travel_in_one_order(holding):
    """The order that a process has a set in, which differs from the next one's, is not on the wire; that of a map is."""
    one, other = map(set, ([0, 8, 16], [16, 8, 0]))  # they collide, so that a set has them as they came
    assert one == other
    assert list(one) != list(other)
    assert args.encode((holding(one), 5)) == args.encode((holding(other), 5))
    assert args.decode(args.encode(({"b": [one], "a": 1},))) == ({"b": [[0, 8, 16]], "a": 1},)


def test_what_holds_no_set_is_not_copied():
    """An object is written as it is; nothing of it is changed where it holds a set."""
    value = Tagged({"b", "a"})
    assert args.decode(args.encode((value, Tagged([1])))) == ({"tags": ["a", "b"], "name": "x"}, {"tags": [1], "name": "x"})
    assert value == Tagged({"a", "b"})


def test_pydantic_models_travel_as_maps():
    """A pydantic model is written as its fields."""

    class Point(pydantic.BaseModel):
        x: int

    assert args.decode(args.encode((Point(x=1),))) == ({"x": 1},)


def recursive():
    values = []
    values.append(values)
    return values


@pytest.mark.parametrize(
    "value", [object(), object, 2**64, -(2**63) - 1, recursive(), "\ud800", ["\udc80", object()]], ids=lambda v: type(v).__name__
)
def test_what_cannot_travel_is_refused(value):
    """An object, a huge integer, a list that holds itself or a lone surrogate raises WireError with a sentence."""
    with pytest.raises(WireError, match=r"\w+ \w+"):
        args.encode((value,))


@pytest.mark.parametrize("data", [b"\x01", b"\x80", b"\x91", b"\x92\x01", b"\x91\xc1", b"\x91\xd4\xff\x00", b"\x90\x90", b"\xdc"])
def test_bad_arguments_are_refused(data):
    """Anything but one whole array raises DecodeError."""
    with pytest.raises(DecodeError):
        args.decode(data)


@pytest.mark.parametrize(
    "data",
    [b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff" + bytes(100), b"\x91\xdd\xff\xff\xff\xff"]
    + [b"\x91\xdf\xff\xff\xff\xff", b"\x91\xc6\xff\xff\xff\xff", b"\x91\xdb\xff\xff\xff\xff", b"\x91\xc9\xff\xff\xff\xff\x05"]
    + [b"\xdd\x00\x01\x00\x00" + b"\xdd\x00\x01\x00\x00" * 5000],
    ids=lambda d: f"{d[:6].hex()}x{len(d)}",
)
def test_bombs_stay_small(data):
    """Declared lengths and depths that the bytes cannot hold are refused below 64 MiB."""
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            args.decode(data)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    finally:
        tracemalloc.stop()
