"""Reserving: calls that wait for messages in threads, and that nobody may wait for any more when they bring some.

boto3 cannot be interrupted. A poll whose waiter is gone goes on in its thread, and whatever it brings is given back at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from taskq.backends.sqs.lanes import MOST
from taskq.backends.sqs.places import Place
from taskq.backends.sqs.service import LONGEST_POLL, Service
from taskq.backends.sqs.texts import UNTIL
from taskq.core.retry import backoff
from taskq.errors import BackendError

__all__ = ["Found", "Polls"]

_SYSTEM = ["ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SentTimestamp"]
_SYSTEM_FIFO = [*_SYSTEM, "MessageGroupId"]

_LOOK, _LOOK_MAX = 0.05, 1.0
"""Seconds between two looks where the service does not wait; each time twice as long."""

_SIDE_BY_SIDE = 8
"""Further calls at a time, once the first one came back full."""


class Found:
    """What one call brought.

    Attributes:
        messages: as boto3 returns them.
        asked: when it was asked for, by the consumer's monotonic clock: what it brought is reserved since then, or later.
        at: when it came, by the same clock; earlier if it was longer under way than it may.
        date: the service's own time when it answered, unix seconds cut off to whole ones; None if it did not say.
    """

    __slots__ = ("asked", "at", "date", "messages")

    def __init__(self, reply: dict[str, Any], asked: float, at: float) -> None:
        self.messages: list[dict[str, Any]] = reply.get("Messages", [])
        self.asked = asked
        self.at = at
        self.date = _date_of(reply)


def _date_of(reply: dict[str, Any]) -> float | None:
    text = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


class _Poll:
    """One call. Whoever of its thread and its waiter comes last knows what the other has done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._abandoned = False
        self._messages: list[dict[str, Any]] = []

    def brings(self, messages: list[dict[str, Any]]) -> bool:
        """Note what came; False if nobody waits for it."""
        with self._lock:
            self._messages = messages
            return not self._abandoned

    def abandon(self) -> list[dict[str, Any]]:
        """Note that nobody waits; return what came before."""
        with self._lock:
            self._abandoned = True
            messages, self._messages = self._messages, []
            return messages


class Polls:
    """The reserving of one queue.

    Args:
        service: what carries the calls.
        place: the queue.
        visibility: whole seconds that SQS keeps what it hands out from others.
        at_once: messages of one call at most.
    """

    def __init__(self, service: Service, place: Place, visibility: int, at_once: int = MOST) -> None:
        self._service = service
        self._place = place
        self._visibility = visibility
        self._at_once = at_once
        # A reservation counts from the beginning of its poll, which therefore must be short beside it.
        self._longest = min(LONGEST_POLL, visibility // 4) if service.settings.long_poll else 0
        self._monotonic = service.clock.monotonic

    async def take(self, n: int, wait: float) -> list[Found]:
        """Take up to `n` messages, waiting up to `wait` seconds for the first."""
        polls: list[_Poll] = []
        try:
            return await self._take(polls, n, wait)
        except BaseException:
            left_over = [message for poll in polls for message in poll.abandon()]
            if left_over:
                self._service.run_later(self._give_back, left_over)
            raise

    async def _take(self, polls: list[_Poll], n: int, wait: float) -> list[Found]:
        first = await self._first(polls, n, wait)
        found, left = [first], n - len(first.messages)
        while len(found[-1].messages) == self._at_once and left > 0:
            more = await self._more(polls, left)
            found += more
            left -= sum(len(each.messages) for each in more)
        return found

    async def _first(self, polls: list[_Poll], n: int, wait: float) -> Found:
        deadline, looks, left = self._monotonic() + wait, 0, wait
        while True:
            seconds = min(self._longest, max(0, int(left)))
            found = await self._call(polls, min(n, self._at_once), seconds)
            left = deadline - self._monotonic()
            if found.messages or left <= 0:
                return found
            if not seconds:
                looks += 1
                await asyncio.sleep(min(left, backoff(looks, _LOOK, _LOOK_MAX)))
                left = deadline - self._monotonic()

    async def _more(self, polls: list[_Poll], left: int) -> list[Found]:
        """Take more, several calls at a time; one that fails costs the others nothing."""
        sizes = [min(self._at_once, left - start) for start in range(0, left, self._at_once)][:_SIDE_BY_SIDE]
        results = await asyncio.gather(*(self._call(polls, size, 0) for size in sizes), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, BackendError):
                raise result
        found = [result for result in results if isinstance(result, Found)]
        return sorted(found, key=lambda each: -len(each.messages)) or [Found({}, 0.0, 0.0)]

    async def _call(self, polls: list[_Poll], n: int, seconds: int) -> Found:
        poll = _Poll()
        polls.append(poll)
        began = self._monotonic()
        reply = await self._service.run(self._place.where, self._receive, poll, n, seconds, polling=seconds > 0)
        return Found(reply, began, min(self._monotonic(), began + seconds + 1))

    # -- in threads

    def _receive(self, poll: _Poll, n: int, seconds: int) -> dict[str, Any]:
        reply: dict[str, Any] = self._place.ask(
            "receive_message",
            polling=seconds > 0,
            MaxNumberOfMessages=n,
            WaitTimeSeconds=seconds,
            VisibilityTimeout=self._visibility,
            AttributeNames=_SYSTEM_FIFO if self._place.fifo else _SYSTEM,
            MessageAttributeNames=[UNTIL],
        )
        messages = reply.get("Messages", [])
        if not poll.brings(messages):
            self._give_back(messages)
        return reply

    def _give_back(self, messages: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(messages), MOST):
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
                for number, message in enumerate(messages[start : start + MOST])
            ]
            self._place.ask("change_message_visibility_batch", Entries=entries)
