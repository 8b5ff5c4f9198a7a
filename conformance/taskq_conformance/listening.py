"""Writing down what the processes of scenarios do in real time; the oracle judges it, with the service's word if there is one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from taskq.backends.base import Broker, Clock
from taskq_conformance.place import Place
from taskq_conformance.profile import Connect
from taskq_testing.history import History
from taskq_testing.oracle import judge
from taskq_testing.recording import Journal, gather
from taskq_testing.recording.policy import queue_policy
from taskq_testing.recording.watching import watch_queue

__all__ = ["JUDGED", "Breach", "Kept", "Listening", "listening"]

JUDGED = frozenset({2, 3, 4, 5, 8, 9, 12, 13, 19, 23, 24})
"""The invariants of a broker: conservation, fencing, finality, names, order. Those of runs take a record of the runs.

What only clients tell is judged by 4, 5, 9, 12 and 13 of them: it does not say when a service made something due or ready again.
"""

_FENCING = frozenset({8, 9})
"""Those that take a service's word for it that a message was settled in time."""

_RESOLUTION = 0.5
"""Seconds that are not told apart: more than a round trip takes on a busy machine."""


class Breach(NamedTuple):
    """What the oracle found.

    Attributes:
        queue: of which queue.
        sentence: what it is.
    """

    queue: str
    sentence: str


class Kept(NamedTuple):
    """What connects processes to a Redis server that writes down all that it does.

    Attributes:
        connect: makes their brokers.
        server: the directory of the server, which keeps an append-only file.
    """

    connect: Connect
    server: Path

    def __call__(self, clock: Clock) -> Broker:
        """Make the broker of a process."""
        return self.connect(clock)


class Listening:
    """What connects processes to a service, and listens.

    Args:
        connect: makes their brokers.
        folder: where journals are written.
    """

    def __init__(self, connect: Connect, folder: Path) -> None:
        self._connect = connect
        self._folder = folder
        self._journals: dict[str, Journal] = {}
        self._places: list[Place] = []

    def __call__(self, clock: Clock) -> Broker:
        """Make the broker of a process."""
        return self._connect(clock)

    def watch(self, place: Place) -> None:
        """Write down what a place does from now on."""
        self._places.append(place)
        name = f"{place.queue.name}@{place.process.name}"
        journal = self._journals[name] = Journal(self._folder, name)
        backend = place.backend
        owner = getattr(backend, "consumer", b"").decode()
        data = queue_policy(place.options, backend.capabilities, _RESOLUTION)
        journal.write("queue", queue=place.queue.name, data=data, owner=owner)
        watch_queue(journal, place.queue)

    def breaches(self, *, fenced: bool) -> list[Breach]:
        """Return what was wrong, when all has ended.

        Args:
            fenced: late settlements say that they are; otherwise nobody can tell from an answer that a message is done.
        """
        self.close()
        history = gather(self._folder, server=self._connect.server if isinstance(self._connect, Kept) else None)
        unclear = _unclear(history, {place.queue.name for place in self._places if place.foreign})
        found = [each for each in judge(history, only=JUDGED if fenced else JUDGED - _FENCING) if each.message not in unclear]
        return [Breach(_queue_of(history, each.events), each.sentence) for each in found]

    def close(self) -> None:
        """End all journals."""
        while self._journals:
            self._journals.popitem()[1].close()


@contextmanager
def listening(connect: Connect) -> Iterator[Listening]:
    """Give what connects processes and listens for the time of a `with` block."""
    with tempfile.TemporaryDirectory(prefix="taskq-journals-") as folder:
        listener = Listening(connect, Path(folder))
        try:
            yield listener
        finally:
            listener.close()


def _unclear(history: History, foreign: set[str]) -> set[str]:
    """Return the messages of which the record cannot tell what happened to them.

    A body that was made by hand may take the place of another, or be known by nothing but what it says, so that equal ones of
    two queues are taken for one message. And the server's file does not tell a dead letter that was dropped from a message that
    was purged.
    """
    queues: dict[str, set[str]] = {}
    dead: set[str] = set()
    unclear: set[str] = set()
    for event in history.events:
        if event.message and event.queue:
            queues.setdefault(event.message, set()).add(event.queue)
            if event.queue in foreign:
                unclear.add(event.message)
        if event.kind == "dead":
            dead.add(event.message)
        elif event.kind == "purged" and event.message in dead:
            unclear.add(event.message)
    return unclear | {message for message, found in queues.items() if len(found) > 1}


def _queue_of(history: History, numbers: tuple[int, ...]) -> str:
    wanted = set(numbers)
    return next(event.queue for event in history.events if event.seq in wanted and event.queue)
