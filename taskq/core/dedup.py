"""Which messages are the same: a dedup key and how long it stays taken. Nothing here claims anything.

A key is a hash of an injective encoding, so that crafted names cannot collide (in Go (a, bc) and (ab, c) do: F36).
`dedup_compatible` queues use Go's keys instead, to share names with Go processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from taskq.errors import WireError
from taskq.message import Message, Once
from taskq.options import QueueOptions
from taskq.wire import args as wire_args
from taskq.wire import names

__all__ = ["Claim", "canonical", "claim"]

_PREFIX = b"tq2:"
# Sets come out in an order of their own in each process unless they are sorted.
_ORDERED = msgspec.msgpack.Encoder(enc_hook=wire_args.plain, order="deterministic").encode


class Claim(msgspec.Struct, frozen=True):
    """A name to be taken together with its message.

    Attributes:
        key: what is taken.
        ttl: seconds that it stays taken; never less than the message's delay plus its period.
    """

    key: bytes
    ttl: float


def claim(queue: str, message: Message, delay: float, now: float, options: QueueOptions) -> Claim | None:
    """Return what a message claims, or None if it is not deduplicated.

    A name, and the arguments of `once`, stay taken for the queue's `dedup_window`, or until the message may run if that is
    later. A key of `once_in` belongs to one period and stays taken for the delay and a period, whatever the window.

    Args:
        queue: name of the queue.
        message: the message.
        delay: seconds until it may run.
        now: unix seconds; says which period this is.
        options: the queue's policy.

    Raises:
        WireError: a value of the key cannot travel, or is nested too deep.
        DecodeError: the message's arguments are not a msgpack array.
    """
    once = message.dedup
    if once is None:
        return None
    window = once.period if once.period is not None else options.dedup_window
    ttl = max(delay + (once.period or 0.0), window)
    if options.dedup_compatible:
        return Claim(names.go_dedup_key(queue, message.task, _go_name(message, once, now)), ttl)
    digest = hashlib.blake2b(digest_size=16)
    for part in (
        _utf8(queue),
        _utf8(message.task),
        *_identity(message, once, now),
    ):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return Claim(_PREFIX + digest.digest(), ttl)


def _identity(message: Message, once: Once, now: float) -> tuple[bytes, ...]:
    if once.name is not None:
        return (b"name", once.name if isinstance(once.name, bytes) else _utf8(once.name))
    values = canonical(list(once.key if once.key is not None else message.args))
    if once.period is None:
        return (b"args", values)
    return (b"period", values, canonical(once.period), canonical(int(now // once.period)))


def _utf8(text: str) -> bytes:
    # Lone surrogates have an encoding of their own here, so that no text is refused and no two give the same bytes.
    return text.encode(errors="surrogatepass")


def _go_name(message: Message, once: Once, now: float) -> bytes | str:
    if once.name is not None:
        return once.name
    values = message.args_bytes if once.key is None else wire_args.encode(once.key)
    if once.period is None:
        return names.once_delayed_name(values)
    return names.once_in_name(values, once.period, now)


def canonical(value: Any) -> bytes:
    """Encode a value so that equal ones give equal bytes: maps and sets are sorted at every depth (F35).

    What travels as the same plain data is equal: a list and a tuple, a dataclass and its map.

    Raises:
        WireError: the value cannot travel, is nested too deep, or is a set that cannot be sorted.
    """
    try:
        return _canonical(value)
    except RecursionError:
        raise WireError("a value to deduplicate by is nested too deep; give a key that is plain") from None
    except TypeError:
        raise WireError("a set to deduplicate by holds values of different kinds; give a key that can be sorted") from None


def _canonical(value: Any) -> bytes:
    if isinstance(value, dict):
        pairs = sorted((_canonical(key), _canonical(item)) for key, item in value.items())
        return b"m" + _framed(part for pair in pairs for part in pair)
    if isinstance(value, list | tuple):
        return b"l" + _framed(map(_canonical, value))
    data = wire_args.encode((value,))
    if value is None or isinstance(value, str | bytes | int | float):
        return b"v" + data
    plain = wire_args.decode(_ORDERED((value,)))[0]
    return _canonical(plain) if isinstance(plain, dict | list) else b"v" + data


def _framed(parts: Iterable[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)
