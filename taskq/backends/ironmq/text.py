"""How a message's bytes are a text on IronMQ, and what a dead letter's text is. Pure.

The text is that of Go taskq v3: ascii85, `_` for no bytes. Behind it may stand spaces, one for each delivery that this copy
of the message does not know of; ascii85 as Go reads it skips them.
"""

from __future__ import annotations

import base64

import msgspec

from taskq.errors import DecodeError
from taskq.wire import ascii85

__all__ = ["DeadRecord", "bytes_of", "counted", "deliveries_in", "read", "read_dead", "size_in_json", "text_of", "write_dead"]

_EMPTY = "_"
_LONGEST_REASON = 1000


def text_of(body: bytes) -> str:
    """Return the text of a message."""
    return ascii85.encode(body) if body else _EMPTY


def read(text: str) -> bytes | None:
    """Return the bytes that a text stands for; None if it is no message's."""
    bare = text.rstrip(" ")
    if bare in ("", _EMPTY):
        return b"" if bare else None
    try:
        return ascii85.decode(bare)
    except DecodeError:
        return _read_short(bare)


def _read_short(text: str) -> bytes | None:
    """Read a text that is too short for a message, which Go refuses: what we have written comes back all the same."""
    try:
        body = base64.a85decode(text)
    except ValueError:
        return None
    return body if body and text_of(body) == text else None


def bytes_of(text: str) -> bytes:
    """Return the bytes that a text stands for; one that is no message's comes back as it is, for whoever decodes it to refuse."""
    body = read(text)
    return text.encode(errors="surrogatepass") if body is None else body


def deliveries_in(text: str) -> int:
    """Return how many deliveries a message's text says that there were before this copy."""
    return len(text) - len(text.rstrip(" "))


def counted(text: str, deliveries: int) -> str:
    """Return a message's text that says how many deliveries there were before its copy."""
    return text.rstrip(" ") + " " * deliveries


def size_in_json(text: str) -> int:
    """Return the bytes that a text of ours takes in a request: two of its characters are escaped."""
    return len(text) + text.count('"') + text.count("\\") + 2


class DeadRecord(msgspec.Struct, frozen=True):
    """What a dead letter's text says.

    Attributes:
        text: of the message, as it was.
        id: of the message.
        reason: one sentence.
    """

    text: str
    id: str = ""
    reason: str = ""


class _Head(msgspec.Struct):
    id: str
    reason: str


_read_head = msgspec.json.Decoder(_Head).decode


def write_dead(record: DeadRecord) -> str:
    """Return the text of a dead letter: a line of JSON, and the message's text as it was."""
    head = msgspec.json.encode(_Head(record.id, record.reason[:_LONGEST_REASON])).decode()
    return f"{head}\n{record.text}"


def read_dead(text: str) -> DeadRecord:
    """Return what a dead letter's text says; one that we have not written is all message."""
    head, line, rest = text.partition("\n")
    try:
        found = _read_head(head) if line else None
    except msgspec.MsgspecError:
        found = None
    return DeadRecord(rest, found.id, found.reason) if found is not None else DeadRecord(text)
