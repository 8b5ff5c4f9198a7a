"""Which faults a run may meet, and when one does: every decision is a draw from the tape.

A run first draws which of the allowed faults it has at all (`on`), so that runs differ in kind and a failure shrinks to the
faults it needs. Then each *place* where something may go wrong asks once whether it does, and only then which fault, and for
how long: most draws say no, and cost one number.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Protocol

import msgspec

from taskq.errors import ConfigError
from taskq_testing.tape import Tape

__all__ = ["FAULTS", "PLACES", "Disturbing", "Fault", "Faults", "Places", "Undisturbed", "choose", "durations", "faults_of"]

Places = Mapping[str, tuple[float, tuple[str, ...]]]
"""Where faults happen: how often a place has one, and which it can have."""

PLACES: Places = {
    "network": (0.02, ("slow_network", "lost_request", "lost_reply", "partition", "storage_error", "crash")),
    "handler": (0.15, ("slow_handler", "suspend", "crash")),
    "delivery": (0.05, ("duplicate", "reorder", "corrupt")),
    "spawn": (0.5, ("clock_skew", "clock_jump", "memory_pressure")),
    "broker": (0.5, ("broker_restart", "broker_rollback")),
}
"""Where the faults of the in-memory broker, its network and the processes happen."""


def faults_of(places: Places) -> tuple[str, ...]:
    """Return the name of every fault that some place has."""
    return tuple(dict.fromkeys(name for _, names in places.values() for name in names))


FAULTS = faults_of(PLACES)
"""The name of every fault of these."""

_SPREAD = 40
_AROUND = (0.5, 0.9, 0.999, 1.0, 1.001, 1.1, 2.0)


class Fault(msgspec.Struct, frozen=True):
    """One fault that happens now.

    Attributes:
        name: one of `FAULTS`.
        seconds: how long it takes, or takes effect.
        variant: which of the ways in which it can happen, from 0 (see `network`).
    """

    name: str
    seconds: float
    variant: int = 0


def choose(names: str | Collection[str], known: Collection[str] = FAULTS) -> frozenset[str]:
    """Return the faults that a setting allows: "all", "none", one name, or several; "-name" takes one from all.

    Args:
        names: the setting.
        known: the faults that there are.

    Raises:
        ConfigError: a name is unknown.
    """
    asked = [names] if isinstance(names, str) else list(names)
    chosen: set[str] = set()
    if any(name.startswith("-") for name in asked) and not any(not name.startswith("-") for name in asked):
        chosen.update(known)
    for name in asked:
        plain = name.removeprefix("-")
        if plain not in ("all", "none", *known):
            raise ConfigError(f"there is no fault {plain!r}; there are: all, none, {', '.join(known)}")
        if name == "all":
            chosen.update(known)
        elif name.startswith("-"):
            chosen.discard(plain)
        elif name != "none":
            chosen.add(name)
    return frozenset(chosen)


def durations(boundaries: Iterable[float]) -> list[float]:
    """Return seconds from short to long: spread evenly by their logarithm, and dense just before and after each boundary.

    Args:
        boundaries: the times at which a queue changes its mind: reservations, backoffs, times to live.
    """
    edges = sorted({edge for edge in boundaries if 0 < edge < math.inf}) or [1.0]
    low, high = math.log(edges[0] / 1000), math.log(edges[-1] * 3)
    spread = [math.exp(low + (high - low) * step / (_SPREAD - 1)) for step in range(_SPREAD)]
    return sorted({round(seconds, 9) for seconds in (*spread, *(edge * factor for edge in edges for factor in _AROUND))})


class Disturbing(Protocol):
    """What may go wrong, as the places see it where something may."""

    @property
    def fired(self) -> Counter[str]:
        """How often each fault happened."""

    def at(self, place: str, key: str) -> Fault | None:
        """Return the fault that happens at a place now, or None; `key` says what it happens to."""


class Undisturbed:
    """Nothing goes wrong."""

    def __init__(self) -> None:
        self.fired: Counter[str] = Counter()

    def at(self, place: str, key: str) -> Fault | None:  # noqa: ARG002 - nowhere
        """Return None."""
        return None


_durations = lru_cache(maxsize=64)(durations)
"""The same for every run of a scenario."""


class Faults:
    """The faults of one run.

    Args:
        tape: what decides.
        allowed: the faults that a run may have.
        boundaries: see `durations`.
        places: where they happen.

    Attributes:
        on: the faults that this run may have.
        fired: how often each happened.
        quiet: no more faults from now on.
    """

    def __init__(self, tape: Tape, allowed: Collection[str], boundaries: Iterable[float], places: Places = PLACES) -> None:
        self._tape = tape
        self._places = places
        self._durations = _durations(tuple(boundaries))
        self.on = frozenset(name for name in faults_of(places) if name in allowed and tape.draw("on", 2, name, 0.6))
        self.fired: Counter[str] = Counter()
        self.quiet = False
        self._visits: dict[tuple[str, str], int] = {}
        # What is not allowed is not drawn: else a run that is asked for one fault would have it a few times less often.
        self._allowed = {place: tuple(name for name in names if name in allowed) for place, (_, names) in places.items()}
        self._open = {place for place, names in self._allowed.items() if self.on.intersection(names)}

    def at(self, place: str, key: str) -> Fault | None:
        """Return the fault that happens at a place now, or None.

        Args:
            place: one of the run's places.
            key: what it happens to: process, operation, message, attempt; the same in every run that repeats this one.
        """
        if place not in self._open or self.quiet:
            return None
        likely, names = self._places[place][0], self._allowed[place]
        # All draws of one visit share a key, so that leaving one visit out of a tape moves nothing of the next.
        visits = self._visits[place, key] = self._visits.get((place, key), 0) + 1
        key = f"{key} @{visits}" if visits > 1 else key
        if not self._tape.draw(place, 2, key, likely):
            return None
        name = names[self._tape.pick("fault", len(names), key)]
        if name not in self.on:
            return None
        seconds = self._durations[self._tape.pick("span", len(self._durations), key)]
        return Fault(name, seconds, self._tape.pick("variant", 3, key))
