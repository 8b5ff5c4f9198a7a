"""What matches what, and how a difference is named."""

import dataclasses
import re
from typing import NamedTuple

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq_testing.harness.matching import ANY, Exactly, differences, show


@dataclasses.dataclass
class Dataclass:
    name: str
    tags: list


@attrs.define
class Attrs:
    name: str
    tags: list


class Struct(msgspec.Struct):
    name: str
    tags: list


class Model(pydantic.BaseModel):
    name: str
    tags: list


class Pair(NamedTuple):
    name: str
    tags: list


def pydantic_with_wildcards(**values):
    return Model.model_construct(**values)


OBJECTS = [
    (Dataclass, Dataclass),
    (Attrs, Attrs),
    (Struct, Struct),
    (Model, pydantic_with_wildcards),
    (Pair, Pair),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

MATCHING = [
    (1, 1),
    (1, 1.0),
    (ANY, None),
    (ANY, {"a": [1]}),
    ([ANY, 2], [1, 2]),
    (int, 7),
    (str, "text"),
    (re.compile("^ab"), "abc"),
    (re.compile(b"b"), b"abc"),
    (lambda value: value > 3, 4),
    (str.isupper, "ABC"),
    (pytest.approx(0.3), 0.1 + 0.2),
    ({}, {"a": 1}),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": {"b": int}}, {"a": {"b": 1, "c": 2}, "d": 3}),
    ([], []),
    ([1, [2, {"a": ANY}]], [1, [2, {"a": 3, "b": 4}]]),
    ((1, 2), [1, 2]),
    ([1, ...], [1]),
    ([1, ...], [1, 2, 3]),
    ([...], []),
    (Exactly({"a": 1}), {"a": 1}),
    ({"a": Exactly([1])}, {"a": [1], "b": 2}),
]
DIFFERING = [
    (1, 2, [("", "1", "2")]),
    (int, "7", [("", "any int", "'7'")]),
    (re.compile("^b"), "abc", [("", "/^b/", "'abc'")]),
    (re.compile("1"), 1, [("", "/1/", "1")]),
    (str.isupper, "abc", [("", "whatever isupper accepts", "'abc'")]),
    (str.isupper, 1, [("", "whatever isupper accepts", "1")]),
    ({"a": 1}, {"b": 2}, [("['a']", "1", "nothing")]),
    ({"a": ANY}, {}, [("['a']", "ANY", "nothing")]),
    ({"a": lambda value: True}, {}, [("['a']", "whatever <lambda> accepts", "nothing")]),
    ({"a": 1}, [1], [("", "{'a': 1}", "[1]")]),
    ([1, 2], [1, 3], [("[1]", "2", "3")]),
    ([1], [1, 2], [("[1]", "nothing", "2")]),
    ([1, 2], [1], [("[1]", "2", "nothing")]),
    ([1, ...], [2, 9], [("[0]", "1", "2")]),
    (["a"], "a", [("", "['a']", "'a'")]),
    ({"a": [{"b": 1}]}, {"a": [{"b": 2, "c": 3}]}, [("['a'][0]['b']", "1", "2")]),
    (Exactly({"a": 1}), {"a": 1, "b": 2}, [("", "Exactly({'a': 1})", "{'a': 1, 'b': 2}")]),
    (Exactly(int), 1, [("", "Exactly(any int)", "1")]),
    ({"a": 1, "b": 2}, {"a": 2, "b": 3}, [("['a']", "1", "2"), ("['b']", "2", "3")]),
]


@pytest.mark.parametrize(("expected", "actual"), MATCHING)
def test_it_matches(expected, actual):
    """A value, a wildcard, a subset of keys and an open sequence accept what they stand for."""
    assert differences(expected, actual) == []


@pytest.mark.parametrize(("expected", "actual", "found"), DIFFERING)
def test_it_differs(expected, actual, found):
    """A difference names the place, what was expected there and what is there."""
    assert differences(expected, actual) == found


@pytest.mark.parametrize(("build", "pattern"), OBJECTS)
def test_structured_objects_are_compared_by_field(build, pattern):
    """A dict stands for some fields of an object, and an object may hold wildcards; a difference names the field."""
    ada = build(name="ada", tags=["x"])
    assert differences({"name": "ada"}, ada) == []
    assert differences(pattern(name=re.compile("a"), tags=[ANY]), ada) == []
    assert differences({"name": "bob"}, ada, "user") == [("user.name", "'bob'", "'ada'")]
    assert differences(pattern(name="ada", tags=["y"]), ada, "user")[0][1:] == ("'y'", "'x'")
    assert differences({"age": ANY}, ada) == [("age", "ANY", "nothing")]


def test_objects_of_different_types_differ_as_a_whole():
    """An object is no stand-in for one of another type that happens to have the same fields."""
    assert differences(Dataclass("a", []), Struct("a", [])) == [("", "Dataclass(name='a', tags=[])", "Struct(name='a', tags=[])")]


def test_comparisons_that_raise_are_no_match():
    """A value whose == or repr raises is shown by its type, and does not end the comparison."""

    class Broken:
        __hash__ = None

        def __eq__(self, other):
            raise RuntimeError

        def __repr__(self):
            raise RuntimeError

    assert differences([Broken(), 2], [1, 3]) == [("[0]", "<Broken>", "1"), ("[1]", "2", "3")]


def test_long_values_are_cut():
    """What is shown of a value is at most 120 characters long."""
    assert show("x" * 500) == "'" + "x" * 116 + "..."
    assert len(show([1] * 500)) == 120
    assert show((1,)) == "(1,)"
    assert show([..., {"a": int}]) == "[..., {'a': any int}]"


def test_any_is_equal_to_everything_and_usable_in_sets():
    """ANY works in plain comparisons too."""
    assert {"a": ANY} == {"a": 4}
    assert len({ANY, ANY}) == 1
    assert repr([ANY]) == "[ANY]"


@given(JSON)
def test_every_value_matches_itself_any_and_its_own_type(value):
    """Plain data matches itself, ANY and its type, alone and inside of a list."""
    assert differences(value, value) == []
    assert differences([ANY], [value]) == []
    assert differences([type(value)], [value]) == []


@given(st.dictionaries(st.text(), JSON, max_size=4), st.dictionaries(st.text(), JSON, max_size=4))
def test_a_dict_matches_every_larger_one(some, more):
    """A dict matches whatever has its items and others beside them."""
    assert differences(some, more | some) == []


@given(JSON, JSON)
def test_plain_data_matches_only_by_equality_of_leaves(expected, actual):
    """Without dicts and wildcards, to match is to be equal."""
    if "{" not in repr(expected):
        assert (differences(expected, actual) == []) is (expected == actual)
