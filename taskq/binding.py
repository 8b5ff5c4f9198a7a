"""Signatures: what a handler takes, and how its arguments become bytes and back. Nothing is run here.

Arguments are checked twice: where they are enqueued, so that a mistake raises there, and where they are decoded.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from datetime import datetime
from types import GenericAlias
from typing import Any

import msgspec

from taskq.context import Context
from taskq.errors import ConfigError, DecodeError, WireError
from taskq.message import Message, MessageBatch
from taskq.wire import args as wire_args

__all__ = ["Binder"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_ZERO: dict[Any, Any] = {int: 0, float: 0.0, str: "", bytes: b"", bool: False}


class Binder:
    """The compiled signature of one handler.

    Attributes:
        form: "args" (typed arguments, maybe none), "message" or "batch".
        wants_context: whether a `Context` comes first.
        is_async: whether calling it gives a coroutine.
    """

    __slots__ = ("_decode", "_name", "_required", "_signature", "_types", "form", "is_async", "wants_context")

    def __init__(self, handler: Callable[..., Any], name: str) -> None:
        self._name = name
        self.is_async = _is_async(handler)
        parameters = _parameters(handler, name)
        self.wants_context = bool(parameters) and parameters[0].annotation is Context
        parameters = parameters[1:] if self.wants_context else parameters
        kinds = [parameter.annotation for parameter in parameters]
        self.form = "message" if kinds == [Message] else "batch" if kinds == [MessageBatch] else "args"
        self._signature = inspect.Signature(parameters)
        self._types = tuple(Any if kind is inspect.Parameter.empty else kind for kind in kinds)
        self._required = sum(parameter.default is inspect.Parameter.empty for parameter in parameters)
        if self.form == "args":
            self._decode = _decoder(self._types, name)

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the bytes of a call, checked against the signature.

        Raises:
            TypeError: wrong count, name or type of an argument, or a value that cannot travel.
        """
        if self.form != "args":
            if kwargs:
                raise TypeError(f"task {self._name!r} takes messages; give its arguments by position")
            return self._encode(args)
        if kwargs or len(args) != len(self._types):
            args = self._bind(args, kwargs)
        data = self._encode(args)
        try:
            decoded = self._decode(data)
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise TypeError(f"task {self._name!r}: {_located(error, self._signature)}") from None
        for value, back, kind in zip(args, decoded, self._types, strict=True):
            if kind is Any and not _same(value, back):
                raise TypeError(
                    f"task {self._name!r}: a {type(value).__name__} would arrive as {type(back).__name__}; annotate the parameter"
                )
            if kind is datetime and value.utcoffset() is None:
                raise TypeError(f"task {self._name!r}: {value!r} has no time zone; give an aware datetime")
        return data

    def _encode(self, args: tuple[Any, ...]) -> bytes:
        try:
            return wire_args.encode(args)
        except WireError as error:
            raise TypeError(f"task {self._name!r}: {error}") from None

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"task {self._name!r}: {error}; its handler takes {self._signature}") from None
        bound.apply_defaults()
        return tuple(bound.arguments.values())

    def decode(self, data: bytes) -> tuple[Any, ...]:
        """Return the arguments for the handler from bytes that anyone may have written.

        Raises:
            DecodeError: they cannot be read, or do not fit the signature.
        """
        try:
            return self._decode(data)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            return self._decode_tolerant(data)

    def _decode_tolerant(self, data: bytes) -> tuple[Any, ...]:
        """Read what Go sends: nil for a zero, text for bytes, fewer arguments where there are defaults."""
        if not self._types:
            return ()  # as in Go, a handler without arguments ignores them
        values = wire_args.decode(data)
        missing = len(self._types) - len(values)
        if missing < 0 or len(values) < self._required:
            count = f"{self._required} to {len(self._types)}" if self._required < len(self._types) else str(self._required)
            raise DecodeError(f"task {self._name!r} takes {count} arguments and got {len(values)}")
        parameters = list(self._signature.parameters.values())
        filled = [_lenient(value, kind, self._name) for value, kind in zip(values, self._types, strict=False)]
        return (*filled, *(parameter.default for parameter in parameters[len(values) :]))


def _parameters(handler: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(handler)
        target = handler if inspect.isroutine(handler) or isinstance(handler, functools.partial) else type(handler).__call__
        hints = typing.get_type_hints(target.func if isinstance(target, functools.partial) else target)
    except (NameError, TypeError, ValueError) as error:
        raise ConfigError(f"the signature of task {name!r} cannot be read: {error}") from None
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.kind not in _POSITIONAL:
            raise ConfigError(f"task {name!r}: parameter {parameter} cannot travel; list the arguments one by one")
        parameters.append(parameter.replace(annotation=hints.get(parameter.name, parameter.empty)))
    return parameters


def _is_async(handler: Callable[..., Any]) -> bool:
    while isinstance(handler, functools.partial):
        handler = handler.func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004 - the method itself is looked at


def _decoder(types: tuple[Any, ...], name: str) -> Callable[[bytes], tuple[Any, ...]]:
    try:
        return msgspec.msgpack.Decoder(GenericAlias(tuple, types), dec_hook=_from_plain).decode
    except TypeError as error:
        raise ConfigError(f"task {name!r}: an annotation cannot be used for arguments: {error}") from None


def _from_plain(kind: type, value: Any) -> Any:
    """Build what msgspec does not know: pydantic models, and classes given as they are."""
    validate = getattr(kind, "model_validate", None)
    if validate is not None:
        return validate(value)
    if isinstance(value, kind):
        return value
    raise TypeError(f"a {type(value).__name__} cannot become a {kind.__name__}")


def _lenient(value: Any, kind: Any, name: str) -> Any:
    if kind is Any:
        return value
    if value is None and kind in _ZERO:
        return _ZERO[kind]
    if kind is str and isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    if kind is bytes and isinstance(value, str):
        return value.encode(errors="surrogateescape")
    if kind is str and isinstance(value, str):
        return value
    try:
        return msgspec.convert(value, kind, dec_hook=_from_plain)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise DecodeError(f"an argument does not fit task {name!r}: {error}") from None


def _located(error: Exception, signature: inspect.Signature) -> str:
    """Name the parameter that msgspec numbers, as in `$[1].name`."""
    text = str(error)
    for index, parameter in enumerate(signature.parameters):
        text = text.replace(f"`$[{index}]", f"`{parameter}")
    return text


def _same(value: Any, back: Any) -> bool:
    """Return whether a value without annotation arrives as it left; tuples may arrive as lists."""
    if isinstance(value, list | tuple) and isinstance(back, list):
        return len(value) == len(back) and all(map(_same, value, back))
    if isinstance(value, dict) and isinstance(back, dict):
        return value.keys() == back.keys() and all(_same(item, back[key]) for key, item in value.items())
    return type(value) is type(back) and (value == back or value != value)  # noqa: PLR0124 - NaN
