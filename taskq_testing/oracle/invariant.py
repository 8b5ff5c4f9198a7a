"""What an invariant is, and how the checks say what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from taskq_testing.history import NANOSECONDS, Event
from taskq_testing.oracle.model import Copy, Model
from taskq_testing.outcome import Violation

__all__ = ["Check", "Invariant", "at", "broken", "invariant", "lasting", "named"]

Check = Callable[[Model], Iterator[Violation]]


class Invariant(msgspec.Struct, frozen=True):
    """One promise and how it is judged.

    Attributes:
        number: in the table of invariants.
        name: a word or two.
        promise: what holds in every run, in one sentence.
        when: the kinds of events that give occasion to judge it; without them there is nothing to break.
        needs: the kinds of events that have to be recorded (whether or not they happened) for silence to mean anything.
        licence: what excuses an apparent breach, in words.
        check: yields the breaches that a model shows.
    """

    number: int
    name: str
    promise: str
    when: frozenset[str]
    needs: frozenset[str]
    licence: str
    check: Check


def invariant(number: int, name: str, promise: str, events: str, licence: str) -> Callable[[Check], Invariant]:
    """Make an invariant of a check.

    Args:
        number: in the table.
        name: a word or two.
        promise: one sentence.
        events: the occasions, a semicolon, and what else has to be recorded; all as kinds with blanks between them.
        licence: what excuses an apparent breach.
    """
    occasions, _, others = events.partition(";")
    when = frozenset(occasions.split())

    def made(check: Check) -> Invariant:
        return Invariant(number, name, promise, when, when | frozenset(others.split()), licence, check)

    return made


def at(t: int) -> str:
    """Return a moment as people read it."""
    return f"{t / NANOSECONDS:.3f} s"


def lasting(nanoseconds: float) -> str:
    """Return a stretch of time as people read it."""
    return f"{nanoseconds / NANOSECONDS:.3f} s"


def named(copy: Copy) -> str:
    """Return what to call a copy."""
    name = f"message {copy.message.name}"
    return f"{name} (its copy {copy.number})" if copy.number else name


def broken(number: int, sentence: str, message: str, *events: Event | None) -> Violation:
    """Return a breach; the events are put in order, and None is left out."""
    seqs = sorted({event.seq for event in events if event is not None})
    return Violation(number, sentence, message, tuple(seqs))
