"""How a message is written in SQS: its body as text, and what stands beside it. Values only, no I/O, no policy.

The body is Go's: ascii85 of the encoded message, `_` where that is empty. What is none of it stays what it is, so that it can
be put with the dead letters as it came. Source: Go taskq v3, azsqs/queue.go.
"""

from __future__ import annotations

import base64
import math
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from taskq.core.delay import postponed, rest_of
from taskq.errors import ConfigError, DecodeError
from taskq.message import Message
from taskq.wire import ascii85, envelope

__all__ = [
    "LONGEST_DELAY",
    "REASON",
    "UNTIL",
    "attribute",
    "body_of",
    "group_of",
    "in_group",
    "reason_of",
    "size_of",
    "text_of",
    "whole_seconds",
    "with_rest_of_go",
    "with_until",
]

LONGEST_DELAY = 900
"""Seconds that SQS keeps a new message back at most."""

UNTIL = "TaskqDelayUntil"
"""The attribute in which Go says until when a message has to wait; ours says it in the message, and here for Go."""

REASON = "TaskqReason"
"""The attribute of a dead letter that says why it is one."""

_EMPTY = "_"
_SHORT = 9
_GROUP, _ONCE = "sqs-group", "sqs-dedup"
_IDENTIFIER = re.compile(r"[\x21-\x7e]{1,128}")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_RFC3339 = "%Y-%m-%dT%H:%M:%SZ"

Attributes = dict[str, dict[str, str]]


def text_of(body: bytes) -> str:
    """Return the text for an encoded message."""
    return ascii85.encode(body) or _EMPTY


def body_of(text: str) -> bytes:
    """Return the encoded message in a text; the text itself as bytes, which is no message, where there is none in it."""
    if text == _EMPTY:
        return b""
    try:
        # Go, and our decoder with it, refuses texts that are too short for a message; what stands there is still what was sent.
        return base64.a85decode(text) if len(text) < _SHORT else ascii85.decode(text)
    except ValueError:
        return text.encode()


def attribute(text: str) -> dict[str, str]:
    """Return an attribute of a message as boto3 takes it."""
    return {"DataType": "String", "StringValue": text}


def reason_of(text: str) -> str:
    """Return a reason with what SQS takes in an attribute: no control characters, and never nothing."""
    return _FORBIDDEN.sub("\ufffd", text) or "(none)"


def size_of(text: str, attributes: Attributes) -> int:
    """Return the bytes that SQS counts for a message."""
    beside = sum(len(name) + len(each["DataType"]) + len(each["StringValue"].encode()) for name, each in attributes.items())
    return (len(text) if text.isascii() else len(text.encode())) + beside


def whole_seconds(seconds: float) -> int:
    """Return whole seconds, rounded up, for SQS knows no others: nothing is early, and a little is not nothing."""
    return math.ceil(round(seconds, 6))


# -- long delays, and Go


def with_until(body: bytes, delay: float, now: float) -> Attributes:
    """Return the attributes for a message that waits longer than SQS keeps it: until when, for Go's consumers.

    A Go consumer that gets it after 15 minutes puts it back for what it takes for the rest, but takes off 15 minutes twice at
    each further step (F20). So it is told a moment so late that this brings it to the right one, and a second for each of its
    roundings down.

    Args:
        body: the encoded message.
        delay: seconds that it is sent with.
        now: unix seconds.
    """
    if delay < LONGEST_DELAY:
        return {}
    try:
        rest = rest_of(envelope.decode(body))
    except DecodeError:
        return {}
    if not rest:
        return {}
    steps, left = divmod(rest, LONGEST_DELAY)
    until = now + LONGEST_DELAY + 2 * LONGEST_DELAY * steps + left + steps + 1
    return {UNTIL: attribute(datetime.fromtimestamp(math.ceil(until), UTC).strftime(_RFC3339))}


def with_rest_of_go(body: bytes, until: str, sent_at: float) -> bytes:
    """Return the body of a message that may have come from Go, with what it has to wait where Go said it beside.

    Go writes when it sends the delay from then on, less 15 minutes: that is what is left 15 minutes later, when SQS hands it
    out. Its seconds are cut off.

    Args:
        body: the encoded message.
        until: what Go said.
        sent_at: when the message was sent, by the service's clock, unix seconds.
    """
    try:
        message = envelope.decode(body)
        rest = datetime.fromisoformat(until).timestamp() + 1.0 - sent_at
    except (DecodeError, ValueError, OverflowError):
        return body
    if rest_of(message) or rest <= 0:
        return body
    return envelope.encode(postponed(message, rest))


# -- FIFO queues


def in_group(message: Message, group: str, dedup_id: str | None = None) -> Message:
    """Return a copy for a FIFO queue: SQS keeps the order of a group, and hands out one message of it at a time.

    Args:
        message: the message.
        group: the group's name: 1 to 128 printable ASCII characters without spaces.
        dedup_id: what SQS knows the message by: it drops another one with the same for five minutes, and says nothing. None
            means its own id, so that only a send that is repeated is dropped.

    Raises:
        ConfigError: a name that SQS does not take.
    """
    given = {_GROUP: group} if dedup_id is None else {_GROUP: group, _ONCE: dedup_id}
    for text in given.values():
        if not isinstance(text, str) or not _IDENTIFIER.fullmatch(text):
            raise ConfigError(f"{text!r} is no id for a FIFO queue; give 1 to 128 printable ASCII characters without spaces")
    return msgspec.structs.replace(message, headers={**(message.headers or {}), **given})


def group_of(body: bytes, group: str, dedup_id: str) -> dict[str, Any]:
    """Return the group and the dedup id that a message names, or these."""
    try:
        headers = envelope.decode(body).headers or {}
    except DecodeError:
        headers = {}
    return {"MessageGroupId": headers.get(_GROUP, group), "MessageDeduplicationId": headers.get(_ONCE, dedup_id)}
