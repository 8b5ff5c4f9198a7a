"""A message as bytes and back: the msgpack map of Go taskq v3, and our headers in a field that Go skips.

Written strictly, read tolerantly. The fast reader takes the form that we and Go write; whatever it refuses is read again
by the tolerant one, which decides.
"""

from __future__ import annotations

from typing import Any, Literal

import msgpack
import msgspec

from taskq.errors import DecodeError, WireError
from taskq.message import Message
from taskq.wire import args, s2

__all__ = ["COMPRESS_FROM", "decode", "encode"]

COMPRESS_FROM = 512
_INT64 = 1 << 63

_Absent = Literal["\0"] | msgspec.UnsetType
"""A field that no fast body has: its mere presence sends the body to the tolerant reader."""


class _Fields(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    id: str = msgspec.field(default="", name="1")
    compression: str = msgspec.field(default="", name="2")
    args: bytes = msgspec.field(name="3")
    attempt: int = msgspec.field(default=0, name="4")
    task: str = msgspec.field(name="5")
    headers: dict[str, str] | None = msgspec.field(default=None, name="h")
    alias_id: _Absent = msgspec.field(default=msgspec.UNSET, name="ID")
    alias_compression: _Absent = msgspec.field(default=msgspec.UNSET, name="ArgsCompression")
    alias_args: _Absent = msgspec.field(default=msgspec.UNSET, name="ArgsBin")
    alias_attempt: _Absent = msgspec.field(default=msgspec.UNSET, name="ReservedCount")
    alias_task: _Absent = msgspec.field(default=msgspec.UNSET, name="TaskName")


_KEYS = {
    b"1": 0, b"ID": 0, b"2": 1, b"ArgsCompression": 1, b"3": 2, b"ArgsBin": 2,
    b"4": 3, b"ReservedCount": 3, b"5": 4, b"TaskName": 4, b"h": 5,
}  # fmt: skip
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(_Fields).decode


class _Pairs(list[tuple[Any, Any]]):
    """A map as it stood on the wire: in order, with repeated keys."""


def encode(message: Message, *, compress_from: int | None = COMPRESS_FROM) -> bytes:
    """Return the body of a message.

    Args:
        message: what to write; its delay and dedup do not travel.
        compress_from: argument bytes from which compression is tried, and kept if smaller; None for never.

    Raises:
        WireError: an attempt outside 64 bits, or text that cannot be written.
    """
    data, compression = message.args_bytes, ""
    if compress_from is not None and len(data) >= compress_from:
        packed = s2.compress(data)
        if len(packed) < len(data):
            data, compression = packed, "s2"
    if not -_INT64 <= message.attempt < _INT64:
        raise WireError(f"attempt={message.attempt} does not fit 64 bits")
    try:
        fields = _Fields(
            id=message.id.decode(),
            compression=compression,
            args=data,
            attempt=message.attempt,
            task=message.task,
            headers=message.headers or None,
        )
        return _ENCODE(fields)
    except UnicodeError:
        return _encode_surrogates(message, data, compression)


def _encode_surrogates(message: Message, data: bytes, compression: str) -> bytes:
    """Write ids and names that are no UTF-8, such as the raw UUIDs that Go puts into text."""
    fields: dict[str, Any] = {"1": message.id.decode(errors="surrogateescape"), "2": compression, "3": data}
    fields |= {"4": message.attempt, "5": message.task, "h": message.headers}
    kept = {key: value for key, value in fields.items() if value or key in "35"}
    try:
        return bytes(msgpack.packb(kept, unicode_errors="surrogateescape"))
    except UnicodeEncodeError as error:
        raise WireError(f"task {message.task!r} or a header holds text that cannot be written: {error}") from None


def decode(body: bytes) -> Message:
    """Return the message in a body; its arguments stay bytes until `Message.args` is read.

    Raises:
        DecodeError: the body cannot be read; the text says why.
    """
    try:
        fields = _DECODE(body)
    except Exception:  # noqa: BLE001 - whatever the fast reader refuses, the tolerant one decides
        return _decode_tolerant(body)
    data = fields.args
    if fields.compression:
        data = _decompress(data, fields.compression)
    return Message(
        task=fields.task,
        args_bytes=data or args.NIL,
        id=fields.id.encode(),
        attempt=fields.attempt,
        headers=fields.headers,
        decoder=args.decode,
    )


def _decompress(data: bytes, compression: str) -> bytes:
    if compression == "s2":
        return s2.decompress(data)
    if compression == "zstd":
        return s2.decompress_zstd(data)
    raise DecodeError(f"compression {compression!r} is unknown; known are s2 and zstd")


def _decode_tolerant(body: bytes) -> Message:
    values: list[Any] = [None] * 6
    for position, value in _positions(_unpack(body)):
        values[position] = value
    compression = _text(values[1], "compression")
    data = _bytes(values[2], "arguments")
    attempt = values[3] if values[3] is not None else 0
    if isinstance(attempt, bool) or not isinstance(attempt, int) or attempt >= _INT64:
        raise DecodeError(f"the attempt count is a {type(attempt).__name__}, not a 64-bit integer")
    if compression and data:
        data = _decompress(data, compression)
    return Message(
        task=_text(values[4], "task name"),
        args_bytes=data or args.NIL,
        id=_bytes(values[0], "id"),
        attempt=attempt,
        headers=_headers(values[5]),
        decoder=args.decode,
    )


def _unpack(body: bytes) -> Any:
    if not body:
        raise DecodeError("the body is empty")
    unpacker = msgpack.Unpacker(
        raw=True, strict_map_key=False, object_pairs_hook=_Pairs, max_buffer_size=len(body), ext_hook=_skip, timestamp=0
    )
    unpacker.feed(body)
    try:
        return unpacker.unpack()  # what follows is left alone, as Go does
    except (msgpack.UnpackException, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise DecodeError(f"the body is no msgpack message: {str(error) or type(error).__name__}") from None


def _skip(code: int, data: bytes) -> None:
    """Stand for an extension value, which no field of ours holds."""


def _positions(top: Any) -> list[tuple[int, Any]]:
    """Return (field, value) in wire order; the last one of a field wins."""
    if top is None:
        return []
    if isinstance(top, _Pairs):
        found = []
        for key, value in top:
            if key is not None and not isinstance(key, bytes):
                raise DecodeError(f"the body has a key of type {type(key).__name__}; keys are text")
            if key in _KEYS:
                found.append((_KEYS[key], value))
        return found
    if isinstance(top, list) and len(top) in (0, 5):
        return list(enumerate(top))
    raise DecodeError(f"the body is a msgpack {type(top).__name__}; a map, or an array of 5, was expected")


def _bytes(value: Any, what: str) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, bytes):
        raise DecodeError(f"the {what} is a {type(value).__name__}, not bytes")
    return value


def _text(value: Any, what: str) -> str:
    return _bytes(value, what).decode(errors="surrogateescape")


def _headers(value: Any) -> dict[str, str] | None:
    """Return the headers that are text to text; a stranger's field of the same name is skipped, as Go skips ours."""
    if not isinstance(value, _Pairs):
        return None
    texts = [pair for pair in value if isinstance(pair[0], bytes) and isinstance(pair[1], bytes)]
    return {key.decode(errors="replace"): text.decode(errors="replace") for key, text in texts} or None
