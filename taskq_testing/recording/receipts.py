"""Numbers for what identifies something on a backend: a history tells reservations and adds apart by whole numbers."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from taskq.errors import DecodeError
from taskq.message import printable
from taskq.wire import envelope

__all__ = ["name_of", "number_of"]

_SEQUENCE_BITS = 20


def number_of(identifier: Any) -> int:
    """Return a number for an identifier, the same in each process and different from that of any other.

    A number stays what it is, the id of a stream's entry becomes its milliseconds and count, all else is hashed.
    """
    if isinstance(identifier, int):
        return identifier
    data = identifier if isinstance(identifier, bytes) else str(identifier).encode()
    milliseconds, dash, count = data.partition(b"-")
    if dash and milliseconds.isdigit() and count.isdigit():
        return int(milliseconds) << _SEQUENCE_BITS | int(count)
    return int.from_bytes(blake2b(data, digest_size=7).digest())


def name_of(body: bytes, fallback: bytes) -> tuple[str, str, int]:
    """Return the name of a message in the history, its task, and its count of attempts.

    Args:
        body: the encoded message.
        fallback: what names one that cannot be read, or has no id.
    """
    try:
        message = envelope.decode(body)
    except DecodeError:
        return printable(fallback), "", 1
    return printable(message.id or fallback), message.task, max(1, message.attempt)
