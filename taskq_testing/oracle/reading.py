"""From a history to a model, in one pass: a table of readers by kind of event, and the loop over it."""

from __future__ import annotations

from collections.abc import Callable

from taskq_testing.history import KINDS, Event, History
from taskq_testing.oracle import broker, workers, world
from taskq_testing.oracle.model import Model

__all__ = ["READERS", "read", "recorded"]

READERS: dict[str, Callable[[Model, Event], None]] = {**world.READERS, **broker.READERS, **workers.READERS}


def recorded(history: History) -> frozenset[str]:
    """Return the kinds of events that would be in the history if they had happened.

    A queue's `records` names them; a queue that does not say records everything. Without any `queue` event nobody says
    anything, and only what is there counts.
    """
    queues = [event.data or {} for event in history.events if event.kind == "queue"]
    if not queues:
        return frozenset(event.kind for event in history.events)
    kinds = KINDS
    for data in queues:
        if data.get("records") is not None:
            kinds &= frozenset(data["records"])
    return kinds


def read(history: History) -> Model:
    """Return what a history says, as a model."""
    model = Model(recorded(history))
    readers = READERS
    for event in history.events:
        readers[event.kind](model, event)
    return model
