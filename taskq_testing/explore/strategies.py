"""How runs explore: what decides the draws of a run. Strategies see labels, keys and likelihoods, never the program.

An `Explorer` is what a user names: frozen, and good for any number of runs. Its `for_run(seed)` makes the `Strategy` of one run,
with fresh state that depends on nothing but the seed and the explorer, so that a seed alone repeats a run.

A draw whose program would not have it other than boring (`likely` 0) stays boring under every strategy.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from taskq.errors import ConfigError
from taskq_testing.tape import Strategy, Tape

__all__ = ["SCHEDULE", "DelayBounded", "Explorer", "Mixed", "Pct", "Swarm", "Uniform", "by_name", "named"]

SCHEDULE = "schedule"
"""The label of the draws that choose which ready process goes on, the oldest being the boring one."""

_SHORTEST = 20  # choices of the schedule: what a run without faults has little of, a run with faults may have more of
_STRETCH = 2.0  # a run with faults may be so many times longer than one without
_PATIENCE = 1000  # times in a row that one process may go on while others are ready
_RARE = 0.5  # draws that are more likely than this to be other than boring are no faults
_SLOWEST, _FASTEST = 0.25, 4.0  # by how much a swarm makes faults rarer or more frequent


class Explorer(Protocol):
    """What makes one strategy per run."""

    def for_run(self, seed: int) -> Strategy:
        """Return the strategy of one run."""

    def calibrated(self, draws: Mapping[str, int]) -> Explorer:
        """Return an explorer for runs with about so many draws of each label."""


def _uniform(n: int, likely: float, rng: random.Random) -> int:
    return 0 if rng.random() >= likely else 1 + int(rng.random() * (n - 1))


def _horizon(length: int, rng: random.Random) -> int:
    """Return over how many choices of the schedule this run's special places are spread."""
    return int(max(length, _SHORTEST) * _STRETCH ** rng.random())


def _at_least_one(what: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{what}={value} is out of range; give a whole number of at least 1")


class Uniform(msgspec.Struct, frozen=True):
    """Not boring as often as the program would have it, and then any other value alike."""

    def for_run(self, seed: int) -> Strategy:  # noqa: ARG002 - it has no state
        """Return this very object."""
        return self

    def calibrated(self, draws: Mapping[str, int]) -> Uniform:  # noqa: ARG002 - nor does length matter to it
        """Return this very object."""
        return self

    def draw(self, label: str, key: str, n: int, likely: float, rng: random.Random) -> int:  # noqa: ARG002
        """Decide one draw."""
        return 0 if rng.random() >= likely else 1 + int(rng.random() * (n - 1))


class Pct(msgspec.Struct, frozen=True):
    """Probabilistic concurrency testing: the ready process of highest priority goes on, and priorities change at few places.

    A bug that needs `depth` ordering constraints among n processes is met by a run with a probability of at least
    1 / (n * k ** (depth - 1)), where k is over how many choices the changes are spread: one to two times `length`, for runs
    with faults may be longer than those without. Draws other than of the schedule are uniform.
    Source: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs",
    ASPLOS 2010.

    Args:
        depth: of the bugs looked for; `depth` - 1 changes of priority per run.
        length: about how many choices of the schedule a run has.

    Raises:
        ConfigError: either is below 1.
    """

    depth: int = 3
    length: int = 1000

    def __post_init__(self) -> None:
        _at_least_one("Pct.depth", self.depth)
        _at_least_one("Pct.length", self.length)

    def for_run(self, seed: int) -> Strategy:  # noqa: ARG002 - randomness comes with the draws
        """Return fresh priorities."""
        return _PctRun(self)

    def calibrated(self, draws: Mapping[str, int]) -> Pct:
        """Return the same for runs of another length."""
        return Pct(self.depth, max(1, draws.get(SCHEDULE, 0)))


class _Scheduling(ABC):
    """The state of a run whose strategy knows the processes by their names."""

    def __init__(self) -> None:
        self._tape: Tape | None = None
        self._step = 0

    def watch(self, tape: Tape) -> None:
        self._tape = tape

    def draw(self, label: str, key: str, n: int, likely: float, rng: random.Random) -> int:
        if label != SCHEDULE or likely <= 0:
            return _uniform(n, likely, rng)
        names = (self._tape is not None and self._tape.ready()) or key.split(",")
        if len(names) != n:
            listed = ", ".join(names) or "none"
            raise ValueError(f"a choice among {n} processes names {listed}; set `tape.ready`, or name them in its key")
        chosen = self._choose(names, rng)
        self._step += 1
        return chosen

    @abstractmethod
    def _choose(self, names: Sequence[str], rng: random.Random) -> int:
        """Return the index of the process that goes on."""


class _PctRun(_Scheduling):
    """The priorities of one run; the lowest is what was lowered last."""

    def __init__(self, explorer: Pct) -> None:
        super().__init__()
        self._explorer = explorer
        self._priorities: dict[str, float] = {}
        self._changes: frozenset[int] | None = None
        self._lowest = 0.0
        self._last = ""
        self._in_a_row = 0

    def _choose(self, names: Sequence[str], rng: random.Random) -> int:
        if self._changes is None:
            horizon = _horizon(self._explorer.length, rng)
            self._changes = frozenset(rng.randrange(horizon) for _ in range(self._explorer.depth - 1))
        for name in names:
            if name not in self._priorities:
                self._priorities[name] = 1.0 + rng.random()
        best = self._best(names)
        if self._step in self._changes or self._holds_up(names[best]):
            self._lowest -= 1.0
            self._priorities[names[best]] = self._lowest
            best = self._best(names)
        return best

    def _best(self, names: Sequence[str]) -> int:
        priorities = [self._priorities[name] for name in names]
        return priorities.index(max(priorities))

    def _holds_up(self, name: str) -> bool:
        """Return whether a process went on so often in a row that it may be waiting for one that it keeps from going on."""
        self._in_a_row = self._in_a_row + 1 if name == self._last else 1
        self._last = name
        return self._in_a_row > _PATIENCE


class DelayBounded(msgspec.Struct, frozen=True):
    """The oldest ready process goes on, but at most `bound` times in a run one is held back for a while.

    A while is a number of choices from 1 to the length of the run, drawn by its logarithm; meanwhile the others take turns.
    Draws other than of the schedule are uniform. Source: Emmi, Qadeer, Rakamaric, "Delay-Bounded Scheduling", POPL 2011.

    Args:
        bound: how many delays, from 0.
        length: about how many choices of the schedule a run has.

    Raises:
        ConfigError: a number is too small.
    """

    bound: int = 2
    length: int = 1000

    def __post_init__(self) -> None:
        if self.bound < 0:
            raise ConfigError(f"DelayBounded.bound={self.bound} is out of range; give a whole number of at least 0")
        _at_least_one("DelayBounded.length", self.length)

    def for_run(self, seed: int) -> Strategy:  # noqa: ARG002 - randomness comes with the draws
        """Return fresh delays."""
        return _DelayBoundedRun(self)

    def calibrated(self, draws: Mapping[str, int]) -> DelayBounded:
        """Return the same for runs of another length."""
        return DelayBounded(self.bound, max(1, draws.get(SCHEDULE, 0)))


class _DelayBoundedRun(_Scheduling):
    """The delays of one run: at which choices they begin, and until which each process is held back."""

    def __init__(self, explorer: DelayBounded) -> None:
        super().__init__()
        self._explorer = explorer
        self._horizon = 0
        self._places: frozenset[int] = frozenset()
        self._held: dict[str, int] = {}

    def _choose(self, names: Sequence[str], rng: random.Random) -> int:
        if not self._horizon:
            self._horizon = _horizon(self._explorer.length, rng)
            self._places = frozenset(rng.randrange(self._horizon) for _ in range(self._explorer.bound))
        if self._step in self._places:
            self._held[names[0]] = self._step + int(self._horizon ** rng.random())
        return next((index for index, name in enumerate(names) if self._held.get(name, 0) <= self._step), 0)


class Swarm(msgspec.Struct, frozen=True):
    """Runs that differ in kind: each has a random subset of the labels, and each of these at a rate of its own.

    A label is off with a probability of one half; what is on is between four times rarer and four times more frequent than the
    program would have it. Draws that are more often than not other than boring choose how, not whether, and stay as they are.
    Source: Groce, Zhang, Eide, Chen, Regehr, "Swarm Testing", ISSTA 2012.
    """

    def for_run(self, seed: int) -> Strategy:  # noqa: ARG002 - randomness comes with the draws
        """Return a fresh subset and fresh rates."""
        return _SwarmRun()

    def calibrated(self, draws: Mapping[str, int]) -> Swarm:  # noqa: ARG002 - length does not matter to it
        """Return this very object."""
        return self


class _SwarmRun:
    """The rates of one run: 0 for a label that is off, else by how much it is more frequent."""

    def __init__(self) -> None:
        self._rates: dict[str, float] = {}

    def draw(self, label: str, key: str, n: int, likely: float, rng: random.Random) -> int:  # noqa: ARG002
        if likely > _RARE:
            return _uniform(n, likely, rng)
        rate = self._rates.get(label)
        if rate is None:
            on = rng.random() < 0.5
            rate = self._rates[label] = _SLOWEST * (_FASTEST / _SLOWEST) ** rng.random() if on else 0.0
        return _uniform(n, likely * rate, rng)


class Mixed(msgspec.Struct, frozen=True):
    """Several explorers in turn: the seed says whose turn it is.

    Args:
        members: in the order of their turns.

    Raises:
        ConfigError: there is none.
    """

    members: tuple[Explorer, ...] = (Uniform(), Pct(), DelayBounded(), Swarm())

    def __post_init__(self) -> None:
        if not self.members:
            raise ConfigError("Mixed has no members; give at least one strategy")

    def for_run(self, seed: int) -> Strategy:
        """Return the strategy of the one whose turn it is."""
        return self.members[seed % len(self.members)].for_run(seed)

    def calibrated(self, draws: Mapping[str, int]) -> Mixed:
        """Return the same with each member calibrated."""
        return Mixed(tuple(member.calibrated(draws) for member in self.members))


def named(strategy: str | Explorer) -> Explorer:
    """Return the explorer of a name: uniform, pct, delay-bounded, swarm or mixed; "pct:5" and "delay-bounded:3" say how far.

    Raises:
        ConfigError: the name is unknown, or its number is none or out of range.
    """
    if not isinstance(strategy, str):
        return strategy
    name, colon, number = strategy.partition(":")
    plain: dict[str, Explorer] = {"uniform": Uniform(), "swarm": Swarm(), "mixed": Mixed(), "pct": Pct()}
    plain["delay-bounded"] = DelayBounded()
    if name not in plain or (colon and name not in ("pct", "delay-bounded")):
        raise ConfigError(f"there is no strategy {strategy!r}; there are: {', '.join(sorted(plain))}, pct:N, delay-bounded:N")
    if not colon:
        return plain[name]
    if not number.isdecimal():
        raise ConfigError(f"{number!r} in {strategy!r} is no number; give a whole one, such as {name}:3")
    return Pct(int(number)) if name == "pct" else DelayBounded(int(number))


def by_name(name: str, seed: int) -> Strategy:
    """Return the strategy of one run; see `named`."""
    return named(name).for_run(seed)
