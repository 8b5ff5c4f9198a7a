"""Reading what clients send: JSON objects and their fields, with limits. What cannot be read is refused with 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from taskq_testing.ironmq_server.values import Refused

__all__ = ["flag", "needed", "objects", "parse", "text", "whole", "whole_text"]


def parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a request; no body is an empty one.

    Raises:
        Refused: it is no JSON object.
    """
    if not body.strip():
        return {}
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(400, "the body is not valid JSON") from None
    except RecursionError:
        raise Refused(400, "the body is nested too deep") from None
    if not isinstance(value, dict):
        raise Refused(400, "the body has to be a JSON object")
    return value


def whole(fields: Mapping[str, Any], name: str, default: int, limits: tuple[int, int], *, zero: bool = False) -> int:
    """Return a whole number.

    Args:
        fields: where it is.
        name: its name.
        default: what a missing one stands for, and null.
        limits: the smallest and the largest.
        zero: whether 0 stands for the default too, as clients that send every field need it.

    Raises:
        Refused: it is something else, or out of range.
    """
    value = fields.get(name)
    if value is None or (zero and value == 0 and not isinstance(value, bool)):
        return default
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not limits[0] <= value <= limits[1]:
        raise Refused(400, f"{name} has to be a whole number from {limits[0]} to {limits[1]}")
    return value


def whole_text(query: Mapping[str, str], name: str, default: int, limits: tuple[int, int]) -> int:
    """Return a whole number of a query; see `whole`."""
    value = query.get(name, "")
    return whole({name: int(value) if value.isascii() and value.isdigit() else value or None}, name, default, limits)


def text(fields: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Return a text; without a default it has to be there.

    Raises:
        Refused: it is something else, or missing.
    """
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise Refused(400, f"{name} has to be a string")
    return value


def needed(fields: Mapping[str, Any], name: str, status: int) -> Any:
    """Return a field that has to be there.

    Raises:
        Refused: it is not; with this status.
    """
    if fields.get(name) is None:
        raise Refused(status, f"{name} is required")
    return fields[name]


def flag(fields: Mapping[str, Any], name: str) -> bool:
    """Return a truth value; a missing one is false.

    Raises:
        Refused: it is something else.
    """
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused(400, f"{name} has to be true or false")
    return bool(value)


def objects(fields: Mapping[str, Any], name: str, most: int | None = None) -> list[dict[str, Any]]:
    """Return a list of objects, which may not be empty.

    Raises:
        Refused: it is something else, empty, or longer than `most`.
    """
    value = fields.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        raise Refused(400, f"{name} has to be a list of at least one object")
    if most is not None and len(value) > most:
        raise Refused(400, f"{name} may hold {most} objects at most")
    return value
