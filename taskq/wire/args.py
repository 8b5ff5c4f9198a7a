"""Arguments: a msgpack array, as Go taskq v3 writes it. Values to bytes and back; no signatures, no policy.

A datetime carries microseconds; of a Go time's nanoseconds the last three digits are cut off when it is read.
"""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

import msgpack
import msgspec

from taskq.errors import DecodeError, WireError

__all__ = ["NIL", "decode", "encode", "plain"]

NIL = b"\xc0"


def plain(value: Any) -> Any:
    """Return a stand-in for a value that msgpack does not know: pydantic models become maps.

    Raises:
        WireError: the type cannot travel.
    """
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return _ordered(dump())
    kind = type(value).__name__
    raise WireError(f"a value of type {kind} cannot travel; give plain data, a dataclass, or an id to load it by")


# What holds nothing else.
_FLAT = frozenset({type(None), bool, int, float, str, bytes, datetime})

_ENCODE = msgspec.msgpack.Encoder(enc_hook=plain).encode
_SETS, _ARRAYS = (set, frozenset), (list, tuple)
_FIELDS = ("__struct_fields__", "__dataclass_fields__", "__attrs_attrs__")
_DECODE = msgspec.msgpack.Decoder(list[Any]).decode


def encode(args: tuple[Any, ...] | None) -> bytes:
    """Return the arguments as msgpack; None (no arguments at all) is nil.

    Raises:
        WireError: a value that cannot travel, an integer beyond 64 bits, or nesting too deep; the text names it.
    """
    try:
        if args is not None and not _FLAT.issuperset(map(type, args)):
            args = tuple(map(_ordered, args))
        return _ENCODE(args)
    except UnicodeEncodeError:
        return _encode_surrogates(args)
    except WireError:
        raise
    except RecursionError:
        raise WireError("an argument is nested too deep, or holds itself; flatten it") from None
    except (OverflowError, TypeError, ValueError, msgspec.MsgspecError) as error:
        raise WireError(f"an argument cannot travel: {error}") from None


def _ordered(value: Any) -> Any:
    """Return a value with sorted lists for the sets in it, at any depth.

    Each process has a set in an order of its own, and messages that are accepted once are told apart by their bytes.
    """
    if type(value) in _FLAT:
        return value
    if isinstance(value, _SETS):
        return sorted(map(_ordered, value), key=_ENCODE)
    if isinstance(value, _ARRAYS):
        return value if _FLAT.issuperset(map(type, value)) else [_ordered(item) for item in value]
    if isinstance(value, dict):
        return value if _FLAT.issuperset(map(type, value.values())) else {key: _ordered(item) for key, item in value.items()}
    fields = next((found for name in _FIELDS if (found := getattr(type(value), name, None)) is not None), ())
    names = [field if isinstance(field, str) else field.name for field in fields]
    changed = {name: new for name in names if (new := _ordered(old := getattr(value, name, None))) is not old}
    if not changed:
        return value
    copied = copy.copy(value)
    force = msgspec.structs.force_setattr if isinstance(value, msgspec.Struct) else object.__setattr__
    for name, new in changed.items():
        force(copied, name, new)
    return copied


def _encode_surrogates(args: tuple[Any, ...] | None) -> bytes:
    """Write back text that came from Go as invalid UTF-8."""
    try:
        return bytes(msgpack.packb(args, unicode_errors="surrogateescape", datetime=True))
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError) as error:
        raise WireError(f"an argument cannot travel: {error}") from None


def decode(data: bytes) -> tuple[Any, ...]:
    """Return the arguments as plain values; nil gives no arguments.

    Raises:
        DecodeError: not one msgpack array, truncated, or nested too deep.
    """
    if data == NIL or not data:
        return ()
    if not (data[0] & 0xF0 == 0x90 or data[0] in (0xDC, 0xDD)):
        raise DecodeError("the arguments are no msgpack array")
    _check_count(data)
    try:
        return tuple(_DECODE(data))
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError, TypeError):
        return _decode_tolerant(data)


def _check_count(data: bytes) -> None:
    """Refuse an array that declares more items than it has bytes, before anything is allocated for it."""
    if data[0] in (0xDC, 0xDD):
        width = 2 if data[0] == 0xDC else 4
        if int.from_bytes(data[1 : 1 + width], "big") > len(data):
            raise DecodeError("the arguments declare more items than they have bytes")


def _decode_tolerant(data: bytes) -> tuple[Any, ...]:
    """Read what Go may have written and msgspec refuses: text that is not UTF-8, keys that are not text."""
    try:
        values = msgpack.unpackb(
            data, raw=False, unicode_errors="surrogateescape", strict_map_key=False, timestamp=3, use_list=True
        )
    except (msgpack.UnpackException, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise DecodeError(f"the arguments cannot be read: {str(error) or type(error).__name__}") from None
    return tuple(values)
