"""Carries out one run from a tape, and says in a sentence where two runs that should be equal part."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

import msgspec

from taskq.errors import TaskqError
from taskq_testing.history import NANOSECONDS, Event, History
from taskq_testing.outcome import Outcome, Run
from taskq_testing.tape import Draw, Quiet, Tape

__all__ = ["NotDeterministic", "NotReproducible", "RunBroken", "carry_out", "difference", "event_text", "replay"]

_SHOWN = ("seq", "t", "kind", "process")


class RunBroken(TaskqError):  # noqa: N818 - what it says is not an error of the caller
    """The machinery of a run raised; nothing is known about what was to be tested. The cause is chained."""


class NotReproducible(TaskqError):  # noqa: N818 - the same
    """A recorded run, repeated, comes out otherwise; the text names where it parts from what was recorded."""


class NotDeterministic(TaskqError):  # noqa: N818 - the same
    """The same seed gave two different runs; the text names the first event that differs."""


def carry_out(run: Run, tape: Tape) -> Outcome:
    """Carry out one run.

    Raises:
        RunBroken: the run raised instead of returning its outcome.
    """
    try:
        return run(tape)
    except Exception as error:
        raise RunBroken(
            f"the run of seed {tape.seed} broke before it was judged, which is a fault of the simulator or of the scenario's"
            f" set-up, not a finding: {type(error).__name__}: {error}"
        ) from error


def replay(run: Run, seed: int, entries: Mapping[Draw, int]) -> Outcome:
    """Carry out one run in which every draw is boring but those of `entries`."""
    return carry_out(run, Tape(seed, Quiet(), recorded=entries))


def difference(first: History, second: History) -> str:
    """Return in a sentence where two histories part; empty if they are equal."""
    for number, (one, other) in enumerate(zip_longest(first, second)):
        if one != other:
            return f"event {number} was {_or_none(one)} and then {_or_none(other)}"
    return ""


def _or_none(event: Event | None) -> str:
    return "none, for the history ended" if event is None else f"`{event_text(event)}`"


def event_text(event: Event) -> str:
    """Return one event as a line: when, what, by whom, and every field that is not at its default."""
    fields = msgspec.to_builtins(event)
    rest = [f"{name}={value}" for name, value in fields.items() if name not in _SHOWN]
    words = [f"{event.t / NANOSECONDS:.6f} s", event.kind, event.process, *rest]
    return " ".join(word for word in words if word)
