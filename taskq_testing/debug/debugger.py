"""Time travel through one run: step forwards and back, ask why, and ask what would have been.

A run is repeated once from its tape; from then on going back costs nothing, for its history is complete. Only `what_if` runs
anything again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from taskq.message import printable
from taskq_testing.explore.replay import NotReproducible, carry_out, difference, replay
from taskq_testing.explore.tapes import sentence
from taskq_testing.history import KINDS, Event, History
from taskq_testing.outcome import Outcome, Run
from taskq_testing.tape import Draw, Quiet, Tape
from taskq_testing.timeline import why
from taskq_testing.timeline.facts import STATES, gather

__all__ = ["Choice", "Debugger", "Journey", "NotingTape", "Situation"]


class Choice(msgspec.Struct, frozen=True):
    """One draw of a run, with its place in it.

    Attributes:
        number: which draw of the run it was, from 0.
        draw: its label, key and count.
        value: what was drawn; 0 is boring.
        n: how many values it could have had.
        position: how many events had happened.
        names: what the values are called, where they have names.
    """

    number: int
    draw: Draw
    value: int
    n: int
    position: int
    names: tuple[str, ...] = ()


class Situation(msgspec.Struct, frozen=True):
    """How things stand after some events.

    Attributes:
        t: the time of the last of them (ns).
        counts: how many messages are ready, delayed, reserved and dead, by queue; queues without any are left out.
        running: the handlers that run: message, process and attempt of each.
        trouble: the processes that crashed, stand still or are cut off, and how.
    """

    t: int
    counts: dict[str, dict[str, int]]
    running: list[tuple[str, str, int]]
    trouble: dict[str, str]


class NotingTape(Tape):
    """A tape that repeats `entries`, all else boring, and keeps every draw, boring ones too, with its place in the history.

    Args:
        seed: of the run.
        entries: the draws that are not boring.
        names: returns what the values of a label's draws are called.

    Attributes:
        choices: every draw so far.
    """

    def __init__(self, seed: int, entries: Mapping[Draw, int], names: Callable[[str], tuple[str, ...]] = lambda _: ()) -> None:
        super().__init__(seed, Quiet(), recorded=entries)
        self.choices: list[Choice] = []
        self._names = names

    def draw(self, label: str, n: int, key: str = "", likely: float = 1.0) -> int:
        """Choose a number below `n` and keep it."""
        value = super().draw(label, n, key, likely)
        if n > 1:
            draw = (label, key, self._counts[label, key])
            self.choices.append(Choice(len(self.choices), draw, value, n, self.position(), self._names(label)))
        return value


class Journey:
    """A place in what happened, from 0 (nothing yet) to the number of its events; these may become more meanwhile.

    Args:
        whole: everything that happened.
        choices: every draw of it, in order.
        repeat: carries the same out again with the draws that are given, all others being boring.

    Attributes:
        whole: everything that happened, whatever the place.
        choices: every draw of it, in order.
        position: how many events have happened here.
        verdict: what is wrong, in a sentence without its full stop; empty if nothing is.
        evidence: `seq` of the events that show it.
    """

    def __init__(self, whole: History, choices: list[Choice], repeat: Callable[[Mapping[Draw, int]], Outcome]) -> None:
        self.whole = whole
        self.choices = choices
        self.position = 0
        self.verdict = ""
        self.evidence: frozenset[int] = frozenset()
        self._events = whole.events
        self._repeat = repeat

    @property
    def event(self) -> Event | None:
        """What happened last; None at the very beginning."""
        return self._events[self.position - 1] if self.position else None

    def step(self, count: int = 1) -> Event | None:
        """Go forwards by some events, to the end at most; return what happened last."""
        return self.goto(min(self.position + count, len(self._events)))

    def back(self, count: int = 1) -> Event | None:
        """Go back by some events, to the beginning at most; return what happened last there."""
        return self.goto(max(self.position - count, 0))

    def goto(self, position: int) -> Event | None:
        """Go where so many events have happened; return the last of them.

        Raises:
            ValueError: the run has fewer events.
        """
        if not 0 <= position <= len(self._events):
            raise ValueError(
                f"there is no place {position} in a run of {len(self._events)} events; give 0 to {len(self._events)}"
            )
        self.position = position
        return self.event

    def until(self, *, message: str | bytes = "", kind: str = "") -> Event | None:
        """Go forwards until an event of this message or kind, or both, has happened, and return it.

        Where there is none any more, nothing moves and None is returned.

        Raises:
            ValueError: neither is given, or no event can be of that kind.
        """
        if not message and not kind:
            raise ValueError("say until what: message=..., kind=..., or both")
        if kind and kind not in KINDS:
            raise ValueError(f"no event is of kind {kind!r}; kinds are: {', '.join(sorted(KINDS))}")
        message = _text(message)
        for index in range(self.position, len(self._events)):
            event = self._events[index]
            if (not message or event.message == message) and (not kind or event.kind == kind):
                return self.goto(index + 1)
        return None

    def why(self, message: str | bytes) -> str:
        """Return how a message, given by its id, came to be where it is now.

        Raises:
            ValueError: nothing happened to such a message yet.
        """
        return why(self.history, _text(message))

    @property
    def history(self) -> History:
        """What happened up to here."""
        return History(self._events[: self.position])

    def state(self) -> Situation:
        """Return how things stand here."""
        facts = gather(self.history)
        counts = {queue: dict(zip(STATES, numbers, strict=True)) for _, queue, numbers in facts.counts}
        return Situation(
            t=max((event.t for event in self._events[: self.position]), default=0),
            counts={queue: numbers for queue, numbers in counts.items() if any(numbers.values())},
            running=[(run.begin.message, run.begin.process, run.begin.attempt) for run in facts.runs if run.end is None],
            trouble={span.begin.process: span.what for span in facts.spans if span.until is None},
        )

    # -- choices

    def choices_here(self) -> list[Choice]:
        """Return the draws between here and the next event."""
        return [choice for choice in self.choices if choice.position == self.position]

    def what_if(self, which: int | Draw, value: int | str) -> Outcome:
        """Return what comes of the run if one draw is another; everything else is repeated as far as it is still drawn.

        Args:
            which: the number of the draw in `choices`, or its label, key and count.
            value: what it is to be, by number, or by name where it has one (`Choice.names`).

        Raises:
            ValueError: the run has no such draw, or the draw no such value.
            RunBroken: the run raised instead of returning its outcome.
        """
        choice = self._choice(which)
        number = choice.names.index(value) if value in choice.names else value
        if not isinstance(number, int) or not 0 <= number < choice.n:
            raise ValueError(f"draw {choice.number} cannot be {value}; give {', '.join(choice.names) or f'0 to {choice.n - 1}'}")
        return self._repeat({**{each.draw: each.value for each in self.choices if each.value}, choice.draw: number})

    def _choice(self, which: int | Draw) -> Choice:
        if isinstance(which, int):
            if 0 <= which < len(self.choices):
                return self.choices[which]
        else:
            for choice in self.choices:
                if choice.draw == which:
                    return choice
        raise ValueError(f"the run has no draw {which}; it has {len(self.choices)}, numbered from 0")


def _text(message: str | bytes) -> str:
    return printable(message) if isinstance(message, bytes) else message


class Debugger(Journey):
    """A place in a simulated run.

    Args:
        run: the scenario.
        outcome: the run to look at; it is repeated once.

    Attributes:
        outcome: the same run, repeated.

    Raises:
        NotReproducible: repeated, it is another run.
        RunBroken: the run raised instead of returning its outcome.
    """

    def __init__(self, run: Run, outcome: Outcome) -> None:
        tape = NotingTape(outcome.seed, outcome.entries)
        self.outcome = carry_out(run, tape)
        if self.outcome.trace != outcome.trace:
            where = difference(outcome.history, self.outcome.history) or "their events are equal, and what came of them is not"
            raise NotReproducible(f"the run of seed {outcome.seed}, repeated, is another one: {where}")
        super().__init__(self.outcome.history, tape.choices, partial(replay, run, outcome.seed))
        self.verdict = sentence(self.outcome)
        self.evidence = frozenset(seq for violation in self.outcome.violations for seq in violation.events)
