"""Signatures: values travel by annotation, and what Go sends is read as Go would."""

import dataclasses
import enum
import functools
import json
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from taskq.binding import Binder
from taskq.context import Context
from taskq.errors import ConfigError, DecodeError
from taskq.message import Message
from taskq.wire import args as wire_args

VECTORS = json.loads((Path(__file__).parent / "data" / "go_v3_public.json").read_text())["handler_args"]


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


@attrs.define
class Line:
    a: int


class Typed(TypedDict):
    name: str


class Model(pydantic.BaseModel):
    name: str


class Struct(msgspec.Struct):
    tags: list[str]


def binder(kind):
    def handler(value): ...

    handler.__annotations__ = {"value": kind}
    return Binder(handler, "t")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 7),
        (float, 2),
        (str, "é"),
        (bytes, b"\xff"),
        (Colour, Colour.RED),
        (Point, Point(1, 2.5)),
        (Line, Line(3)),
        (Typed, {"name": "n"}),
        (Model, Model(name="m")),
        (list[Model], [Model(name="m")]),
        (Struct, Struct(["a"])),
        (uuid.UUID, uuid.UUID(int=5)),
        (Decimal, Decimal("1.50")),
        (datetime, datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)),
        (timedelta, timedelta(seconds=90)),
        (dict[str, set[int]], {"a": {1, 2}}),
        (int | None, None),
        (Any, [1, {"a": (2, 3)}]),
    ],
    ids=str,
)
def test_values_travel_by_annotation(kind, value):
    """A value of an annotated type arrives equal, of the same type."""
    bound = binder(kind)
    (back,) = bound.decode(bound.encode((value,), {}))
    if kind is Any:
        assert back == [1, {"a": [2, 3]}]
    else:
        assert back == value
        assert type(back) is (float if kind is float else type(value))


@pytest.mark.parametrize(
    "value", [uuid.UUID(int=7), Decimal(1), datetime(2030, 1, 1), {1, 2}, Colour.RED, Point(1), (1, {2})], ids=repr
)
def test_values_that_would_change_need_an_annotation(value):
    """Without annotation a value that would arrive as something else is refused at enqueue."""
    bound = Binder(lambda value: None, "t")
    with pytest.raises(TypeError, match="annotate"):
        bound.encode((value,), {})


def test_keywords_and_defaults_become_positions():
    """Keyword arguments travel by position, and defaults are filled in."""

    def handler(a: int, b: str = "b", c: float = 1.5): ...

    bound = Binder(handler, "t")
    assert wire_args.decode(bound.encode((1,), {"c": 2.5})) == (1, "b", 2.5)
    assert bound.decode(wire_args.encode((1,))) == (1, "b", 1.5)
    with pytest.raises(DecodeError, match="takes 1 to 3 arguments and got 4"):
        bound.decode(wire_args.encode((1, "b", 2.0, 4)))
    with pytest.raises(DecodeError, match="got 0"):
        bound.decode(wire_args.encode(None))


def test_messages_of_message_handlers_take_any_positions():
    """A handler that takes the message as it is has no signature to check against, but no names either."""

    def handler(message: "Message"): ...

    bound = Binder(handler, "t")
    assert bound.form == "message"
    assert bound.encode((1, "x"), {}) == wire_args.encode((1, "x"))
    with pytest.raises(TypeError, match="by position"):
        bound.encode((), {"a": 1})


def test_partials_methods_and_callables_are_read():
    """functools.partial, bound methods and objects with an async call have the signature one expects."""

    class Service:
        def work(self, context: Context, x: int) -> None: ...

        async def __call__(self, x: int) -> None: ...

    async def add(a: int, b: int) -> None: ...

    method, called, partial = Binder(Service().work, "m"), Binder(Service(), "c"), Binder(functools.partial(add, 1), "p")
    assert (method.wants_context, method.is_async, called.is_async, partial.is_async) == (True, False, True, True)
    for bound in (method, called, partial):
        assert bound.decode(bound.encode((5,), {})) == (5,)
        with pytest.raises(TypeError):
            bound.encode(("x",), {})


def test_annotations_that_cannot_be_decoded_are_refused():
    """An annotation that no decoder can serve raises where the handler is registered."""
    with pytest.raises(ConfigError, match="annotation"):
        binder(int | str | list[int] | list[str])


@pytest.mark.parametrize("value", [7, "x"])
def test_a_model_that_does_not_fit_is_refused(value):
    """Validation of a model runs at the worker too."""
    with pytest.raises(DecodeError, match="does not fit"):
        binder(Model).decode(wire_args.encode((value,)))


class Custom:
    pass


def test_classes_of_ones_own_cannot_be_built():
    """A class that no library describes is refused at enqueue."""
    with pytest.raises(TypeError, match="Custom"):
        binder(Custom).encode((Custom(),), {})
    with pytest.raises(DecodeError, match="Custom"):
        binder(Custom).decode(wire_args.encode((1,)))


KINDS = {"func(int)": int, "func(string)": str, "func(bool)": bool}


@pytest.mark.parametrize(
    "vector",
    [v for v in VECTORS if v["handler"] in KINDS],
    ids=lambda v: f"{v['handler']} {v['desc']}",
)
def test_go_handler_vectors_are_read_alike(vector):
    """Where Go calls its handler with a value that ours can have, ours gets the same; where ours refuses, nothing wraps."""
    bound = binder(KINDS[vector["handler"]])
    data = bytes.fromhex(vector["args_bin_hex"])
    try:
        (value,) = bound.decode(data)
    except DecodeError:
        # We are stricter than Go nowhere but here: out of range, and numbers that are no truth values.
        called = vector.get("called_with")
        assert (
            called is None
            or called[0]["v"] in ("", "false", "true", "0")
            or not called[0]["v"].isdigit()
            or len(called[0]["v"]) < 21
        )
        return
    assert "called_with" in vector
    expected = vector["called_with"][0].get("v")
    if isinstance(value, bool):
        assert str(value).lower() == str(expected).lower()
    elif isinstance(value, int):
        assert value in (int(expected), int(expected) % 2**64)
