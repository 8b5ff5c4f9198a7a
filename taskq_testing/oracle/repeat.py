"""Invariant 32: two runs of one seed are the same run. It is the only one that takes two histories."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Protocol

import msgspec

from taskq_testing.history import Event, History
from taskq_testing.oracle.invariant import at, broken, invariant
from taskq_testing.oracle.model import Model
from taskq_testing.outcome import Violation

__all__ = ["Traced", "repeatable", "same"]


class Traced(Protocol):
    """What has a trace and a history, such as an `Outcome`."""

    @property
    def trace(self) -> str:
        """A hash that is equal for equal runs."""

    @property
    def history(self) -> History:
        """What happened."""


@invariant(
    32,
    "repeatable",
    "The same seed gives the same trace and the same outcome, run twice.",
    "",
    "None. It is judged by `same`, which takes two runs; `judge` never reports it.",
)
def repeatable(model: Model) -> Iterator[Violation]:  # noqa: ARG001 - every check takes a model
    """Yield nothing: one run cannot show it."""
    return iter(())


def same(first: Traced, second: Traced) -> Violation | None:
    """Return how two runs of one seed differ, by their first different events; None if they do not."""
    for before, after in zip_longest(first.history, second.history):
        if before != after:
            where = (before or after).seq
            sentence = f"two runs of one seed part at event {where}: first {_described(before)}, then {_described(after)}"
            return broken(32, sentence, (before or after).message, before, after)
    if first.trace != second.trace:
        return broken(32, f"two runs of one seed have equal histories and different traces: {first.trace}, {second.trace}", "")
    return None


def _described(event: Event | None) -> str:
    """Return an event in a few words: its kind and every field that is set."""
    if event is None:
        return "nothing more"
    fields = {name: value for name, value in msgspec.to_builtins(event).items() if name not in ("seq", "t", "kind")}
    return " ".join([f"{event.kind} at {at(event.t)}", *(f"{name}={value}" for name, value in fields.items())])
