"""What travels: `Message`, and `Reservation`, the temporary ownership of one. Values only; nothing here does I/O.

A message knows its arguments as bytes. Who makes one says how they decode, so that this module stays below `wire`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from taskq.errors import ConfigError, DecodeError, DuplicateMessageError
from taskq.options import seconds

__all__ = ["Enqueued", "Message", "MessageBatch", "Once", "Reservation", "printable"]


def _no_decoder(data: bytes) -> tuple[Any, ...]:
    raise DecodeError(f"{len(data)} bytes of arguments came without a decoder; make messages with task.message(...)")


class Once(msgspec.Struct, frozen=True):
    """How a message is deduplicated; `core.dedup` turns it into a key and its time to live.

    Attributes:
        name: the caller's name, or None for "by its arguments" (or by `key`).
        period: seconds of the window that the key is tied to; None for a plain name.
        key: values that stand in for the arguments in a `once_in` key; None means the arguments.
        delayed: whether the message waits for the end of the period (Go: OnceWithDelay and OnceInPeriod).
    """

    name: str | bytes | None = None
    period: float | None = None
    key: tuple[Any, ...] | None = None
    delayed: bool = False


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One request to run a task. Frozen: `delayed`, `named` and the others return a changed copy.

    Attributes:
        task: name of the task.
        args_bytes: msgpack array of the arguments, uncompressed.
        id: bytes that identify the message; made by enqueue where empty.
        attempt: deliveries so far, from 1; 0 before the first (wire: ReservedCount).
        delay: seconds before it may run.
        run_at: not before this moment (aware); exclusive with `delay`.
        dedup: how it is deduplicated; None means every message is accepted.
        headers: small strings that travel beside the arguments; Go ignores them.
        decoder: turns `args_bytes` into values.
    """

    task: str
    args_bytes: bytes = b"\xc0"
    id: bytes = b""
    attempt: int = 0
    delay: float = 0.0
    run_at: datetime | None = None
    dedup: Once | None = None
    headers: dict[str, str] | None = None
    decoder: Callable[[bytes], tuple[Any, ...]] = _no_decoder

    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments as plain values, decoded anew at each access.

        Raises:
            DecodeError: `args_bytes` is not a msgpack array.
        """
        return self.decoder(self.args_bytes)

    @property
    def id_text(self) -> str:
        """The id for people and logs, as it is where it is printable text, else in hexadecimal."""
        return printable(self.id)

    def delayed(self, delay: float | timedelta) -> Message:
        """Return a copy that runs no earlier than `delay` seconds (or a timedelta) after it is enqueued."""
        return msgspec.structs.replace(self, delay=seconds(delay, "delay"), run_at=None)

    def at(self, moment: datetime) -> Message:
        """Return a copy that runs no earlier than `moment`, which needs a time zone."""
        return msgspec.structs.replace(self, run_at=_aware(moment), delay=0.0)

    def named(self, name: str | bytes) -> Message:
        """Return a copy that is accepted once while its name is remembered (the queue's `dedup_window`)."""
        if not name or not isinstance(name, str | bytes):
            raise ConfigError(f"name={name!r} is not a name; give text or bytes that are not empty")
        return msgspec.structs.replace(self, dedup=Once(name=name))

    def once_in(self, period: float | timedelta, *key: Any) -> Message:
        """Return a copy accepted once in each period, by its arguments or by `key`; it runs at the period's end.

        Source: Go taskq v3, `Message.OnceInPeriod`.
        """
        length = seconds(period, "period", zero=False)
        dedup = Once(period=length, key=key or None, delayed=True)
        return msgspec.structs.replace(self, dedup=dedup, delay=length, run_at=None)

    def once(self, delay: float | timedelta = 0.0) -> Message:
        """Return a copy that runs after `delay` and is accepted once while remembered, by its arguments.

        Source: Go taskq v3, `Message.OnceWithDelay`.
        """
        length = seconds(delay, "delay")
        return msgspec.structs.replace(self, dedup=Once(delayed=True), delay=length, run_at=None)

    def once_at(self, moment: datetime) -> Message:
        """Return a copy that runs at `moment` (aware) and is accepted once until then, by its arguments.

        Source: Go taskq v3, `Message.OnceWithSchedule`.
        """
        return msgspec.structs.replace(self, dedup=Once(delayed=True), run_at=_aware(moment), delay=0.0)

    def __repr__(self) -> str:
        """Leave the arguments out: they may be secrets."""
        return f"<Message {self.task!r} id={self.id_text} attempt={self.attempt} args={len(self.args_bytes)} bytes>"


def printable(identifier: bytes) -> str:
    """Return an id as text where it is printable ASCII, else in hexadecimal."""
    try:
        text = identifier.decode("ascii")
    except UnicodeDecodeError:
        return identifier.hex()
    return text if text.isprintable() else identifier.hex()


def _aware(moment: datetime) -> datetime:
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise ConfigError(f"{moment!r} has no time zone; give an aware datetime, in UTC for instance")
    return moment


class Reservation(msgspec.Struct, frozen=True):
    """The temporary ownership of one message, as a backend hands it out.

    Attributes:
        id: the message's id as the backend knows it.
        body: the encoded message; the body to put back where a release changed it.
        receipt: the backend's token of ownership; a stale one changes nothing.
        deliveries: how often it was delivered since its last outcome, from 1, counted by the backend.
        expires_at: when others may take it, by the consumer's monotonic clock, seconds.
        available_at: since when it could be reserved, at the latest, by the same clock; None where the backend cannot tell.
    """

    id: bytes
    body: bytes
    receipt: Any
    deliveries: int = 1
    expires_at: float = float("inf")
    available_at: float | None = None


class Enqueued(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one message.

    Attributes:
        message_id: the id it was accepted under (of the attempt that was refused, if it is a duplicate).
        duplicate: whether its name was taken, so that nothing was added.
        error: why the backend refused it; only `enqueue_many` reports errors this way.
    """

    message_id: bytes
    duplicate: bool = False
    error: Exception | None = None

    @property
    def accepted(self) -> bool:
        """Whether the message is in the queue because of this call."""
        return not self.duplicate and self.error is None

    def raise_if_duplicate(self) -> Enqueued:
        """Return self, or raise DuplicateMessageError."""
        if self.duplicate:
            raise DuplicateMessageError(printable(self.message_id))
        return self


class MessageBatch(Sequence[Message]):
    """The messages that a batch handler receives; it may fail them one by one.

    What is not failed when the handler returns is done. An exception from the handler fails all.
    """

    __slots__ = ("_failures", "_messages")

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = tuple(messages)
        self._failures: dict[int, BaseException] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def __getitem__(self, index: Any) -> Any:
        return self._messages[index]

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    @property
    def failures(self) -> dict[int, BaseException]:
        """The errors given to `fail`, by position."""
        return dict(self._failures)

    def fail(self, message: Message, error: BaseException) -> None:
        """Mark one message as failed; it is retried or given up as if its own handler had raised `error`.

        Raises:
            ValueError: the message is not of this batch.
        """
        for index, candidate in enumerate(self._messages):
            if candidate is message:
                self._failures[index] = error
                return
        raise ValueError(f"{message!r} is not of this batch; give one of the messages you received")
