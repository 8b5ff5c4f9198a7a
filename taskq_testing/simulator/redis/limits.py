"""Locks and rate limits in a Redis server, and what their keys tell of who has what."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Protocol

from taskq.core import rate_limit
from taskq.core.rate_limit import Grant
from taskq.options import QueueOptions, RateLimit
from taskq_testing.simulator.redis.commands import Command

__all__ = ["LimitWatcher"]

_GO_EPOCH = 1483228800
_NOTHING = 2e-6
"""Seconds by which an arrival time may be off: they are stored with six digits."""


class Scribe(Protocol):
    """What a watcher writes to, and looks through; the server."""

    def execute(self, *words: bytes) -> Any:
        """Carry out a command of nobody, which changes nothing."""

    def record(self, kind: str, process: str, **fields: object) -> None:
        """Write an event."""

    def now(self) -> int:
        """Return nanoseconds since the run began."""


class LimitWatcher:
    """The locks and rate limits of all queues.

    How many starts were granted is told from how far the arrival time moved. Of a refund the server sees less than the
    oracle asks for; so who makes one says which, and that is held against what the server sees.
    """

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self._limits: dict[bytes, RateLimit] = {}
        self._owners: dict[bytes, bytes] = {}
        self._refunds: dict[tuple[str, bytes], list[tuple[int, Grant]]] = {}
        self._granted: defaultdict[tuple[str, bytes, int, int], list[int]] = defaultdict(list)

    def add(self, queue: str, options: QueueOptions) -> None:
        """Watch the rate limit of a queue."""
        if options.rate_limit is not None:
            self._limits[f"rate:{queue}".encode()] = options.rate_limit

    @contextlib.contextmanager
    def refunding(self, process: str, key: str, unused: int, grant: Grant) -> Iterator[None]:
        """Take note that a process gives `unused` starts of a grant back; if that fails, it may still come about later."""
        refunds, refund = self._refunds.setdefault((process, key.encode()), []), (unused, grant)
        refunds.append(refund)
        yield
        if refund in refunds:
            refunds.remove(refund)

    def forget(self) -> None:
        """Know nothing of owners any more: the server went back."""
        self._owners = {key: self._owner(key) for key in self._owners}

    def look(self, command: Command, process: str, answer: Any) -> None:
        """Write down what a command did."""
        operation = command.operation
        if operation == "acquire":
            self._acquired(command.keys[0], command.args[0], process)
        elif operation == "unlock":
            self._unlocked(command.keys[0], command.args[0], process)
        elif operation == "take" and command.keys[0] in self._limits:
            self._read(command.keys[0], process, answer)
        elif operation == "swap" and answer == 1 and command.keys[0] in self._limits:
            self._swapped(command, process)

    # -- locks

    def _owner(self, key: bytes) -> bytes:
        return self._scribe.execute(b"GET", key) or b""

    def _acquired(self, key: bytes, owner: bytes, process: str) -> None:
        names = {"key": key.decode(), "owner": owner.decode()}
        if self._owner(key) != owner:
            self._scribe.record("lock_denied", process, **names)
            return
        left = self._scribe.execute(b"PTTL", key)
        expires = self._scribe.now() + left * 1_000_000 if left >= 0 else 0
        self._owners[key] = owner
        self._scribe.record("locked", process, expires=expires, **names)

    def _unlocked(self, key: bytes, owner: bytes, process: str) -> None:
        held = self._owners.get(key, b"")
        if held and not self._owner(key):
            del self._owners[key]
            self._scribe.record("unlocked", process, key=key.decode(), owner=owner.decode())

    # -- rates

    def _read(self, key: bytes, process: str, answer: Any) -> None:
        stored, now = answer[0] or b"", int(answer[1]) + int(answer[2]) / 1e6
        tat = _GO_EPOCH + float(stored) if stored else now
        if not rate_limit.take(tat, now, self._limits[key], 1)[0].allowed:
            self._scribe.record("grant", process, key=key.decode(), n=0)

    def _swapped(self, command: Command, process: str) -> None:
        """Tell a refund, which moves the arrival time back or leaves it, from a grant, which moves it on."""
        key, (stored, following, _, read) = command.keys[0], command.args
        new, now = _GO_EPOCH + float(following), float(read)
        old = _GO_EPOCH + float(stored) if stored else now
        if stored and new <= old:
            unused, granted_at = self._meant(process, key, old, new, now)
            self._scribe.record("refund", process, key=key.decode(), n=unused, due=granted_at)
        else:
            count = round((new - max(old, now)) / self._limits[key].interval)
            self._granted[process, key, round(now * 1e6), count].append(self._scribe.now())
            self._scribe.record("grant", process, key=key.decode(), n=count)

    def _meant(self, process: str, key: bytes, old: float, new: float, now: float) -> tuple[int, int]:
        """Return which of the refunds that a process makes this was: how many starts, and when they were granted if known."""
        limit, refunds = self._limits[key], self._refunds.get((process, key), [])
        for refund in reversed(refunds):
            unused, grant = refund
            if abs(rate_limit.refund(old, now, limit, unused, grant) - new) < _NOTHING:
                refunds.remove(refund)
                moments = self._granted[process, key, round(grant.granted_at * 1e6), grant.allowed]
                return unused, moments.pop(0) if moments else 0
        return math.ceil((old - new) / limit.interval), 0
