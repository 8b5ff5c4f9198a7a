"""Runs a scenario under many seeds, counts what happened, shrinks what failed and says it in words.

The first run is one without any fault and in the plainest order: what fails there needs no exploration, and its length tells
strategies over how many choices to spread theirs. It is the same for every choice of seeds, so that a seed alone repeats a run.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, TypedDict, Unpack

import msgspec

from taskq.errors import ConfigError
from taskq.options import build
from taskq.runtime.clock import SystemClock
from taskq_testing.explore.progress import Progress
from taskq_testing.explore.replay import NotDeterministic, RunBroken, carry_out, difference
from taskq_testing.explore.shrink import BUDGET, Shrinker
from taskq_testing.explore.strategies import Explorer, named
from taskq_testing.explore.tapes import sentence, words
from taskq_testing.outcome import Outcome, Run
from taskq_testing.tape import Quiet, Tape

__all__ = ["Exploration", "ExploreOptions", "ExploreSettings", "Failure", "explore", "failure_text"]

_EVERY = 20
_EVENTS = 40  # lines of a failure's timeline


class ExploreSettings(TypedDict, total=False):
    """The keywords of `explore`; see `ExploreOptions`."""

    stop_on_failure: bool
    shrink_budget: int
    progress: Progress | None
    check_determinism: bool | int


class ExploreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to explore.

    Args:
        stop_on_failure: whether the first failure ends it.
        shrink_budget: how many runs a failure is worth; 0 leaves it as it was found.
        progress: what is told meanwhile.
        check_determinism: every how many seeds one is run twice, and both runs compared; True means every 20th, False none.

    Raises:
        ConfigError: a number is negative.
    """

    stop_on_failure: bool = True
    shrink_budget: int = BUDGET
    progress: Any = None
    check_determinism: bool | int = True

    def __post_init__(self) -> None:
        for name in ("shrink_budget", "check_determinism"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise ConfigError(f"{name}={value!r} is out of range; give a whole number of at least 0")

    @property
    def check_every(self) -> int:
        """Every how many seeds one is run twice; 0: none."""
        return _EVERY if self.check_determinism is True else int(self.check_determinism)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A run that went wrong.

    Attributes:
        outcome: as it was found.
        smallest: as small as shrinking made it.
        runs: how many runs shrinking took.
        complete: whether nothing smaller was left to try; False if the budget ended first.
    """

    outcome: Outcome
    smallest: Outcome
    runs: int = 0
    complete: bool = True

    @property
    def effort(self) -> str:
        """Say how the smallest form was found; empty if nothing can be smaller."""
        if not self.outcome.entries:
            return ""
        if not self.runs:
            return "as it was found, nothing was made smaller"
        begin = f"shrunk from {len(self.outcome.entries):,} by {_count(self.runs, 'run')}"
        return (
            f"{begin}, and nothing smaller fails" if self.complete else f"{begin}, which was the budget: a smaller one may exist"
        )


class Exploration(msgspec.Struct, frozen=True, kw_only=True):
    """What came of many runs. The first run, which has no faults, counts only if it fails.

    Attributes:
        seeds: how many seeds were run.
        failures: those that went wrong.
        virtual_hours: how much time passed in the runs.
        seconds: how much real time they took, shrinking and second runs included.
        seeds_per_s: seeds per second of real time, shrinking and second runs left out.
        fired: how often each fault fired, and each `sometimes` mark was met.
        draws: how many draws each label had.
        coverage: which states of messages, faults and phases were met together.
    """

    seeds: int
    failures: list[Failure]
    virtual_hours: float
    seconds: float
    seeds_per_s: float
    fired: Mapping[str, int]
    draws: Mapping[str, int]
    coverage: frozenset[tuple[str, str, str]]

    def never_fired(self, expected: Iterable[str]) -> list[str]:
        """Return which of some faults and `sometimes` marks no run met."""
        return [name for name in expected if not self.fired.get(name)]


def explore(
    run: Run, *, seeds: int | Iterable[int], strategy: str | Explorer = "mixed", **settings: Unpack[ExploreSettings]
) -> Exploration:
    """Carry out a run for each seed.

    Args:
        run: the scenario.
        seeds: how many, from 0; or which.
        strategy: its name, or what makes one (see `strategies`).
        settings: see `ExploreOptions`.

    Raises:
        ConfigError: a setting cannot work.
        RunBroken: a run raised instead of returning its outcome.
        NotDeterministic: a seed run twice gave two different runs.
        NotReproducible: a failure does not come again when its draws are repeated.
    """
    options: ExploreOptions = build(ExploreOptions, dict(settings))
    if isinstance(seeds, int) and seeds < 1:
        raise ConfigError(f"seeds={seeds} is out of range; give a whole number of at least 1, or the seeds themselves")
    expedition = _Expedition(run, options)
    try:
        with _without_log():
            expedition.explore(range(seeds) if isinstance(seeds, int) else seeds, named(strategy))
    finally:
        if options.progress is not None:
            options.progress.close()
    return expedition.result()


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Keep taskq's own log still: that handlers fail by the thousand is no news here, and telling it takes long."""
    logger = logging.getLogger("taskq")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


class _Expedition:
    """One exploration while it goes on."""

    def __init__(self, run: Run, options: ExploreOptions) -> None:
        self._run = run
        self._options = options
        self._began = SystemClock.monotonic()
        self._exploring = 0.0
        self._seeds = 0
        self._virtual = 0.0
        self._failures: list[Failure] = []
        self._fired: Counter[str] = Counter()
        self._draws: Counter[str] = Counter()
        self._coverage: set[tuple[str, str, str]] = set()

    def explore(self, seeds: Iterable[int], explorer: Explorer) -> None:
        total = len(seeds) if isinstance(seeds, Sized) else None
        tape = Tape(0, Quiet())
        plain = carry_out(self._run, tape)
        if plain.failed:
            self._failures.append(self._shrunk(plain))
            if self._options.stop_on_failure:
                return
        explorer = explorer.calibrated(tape.drawn())
        for seed in seeds:
            outcome = self._one(seed, explorer)
            if self._options.check_every and (self._seeds - 1) % self._options.check_every == 0:
                self._again(outcome, explorer)
            if self._options.progress is not None:
                self._options.progress.update(self._seeds, total, self._fired)
            if outcome.failed:
                self._failures.append(self._shrunk(outcome))
                if self._options.stop_on_failure:
                    return

    def _one(self, seed: int, explorer: Explorer) -> Outcome:
        began = SystemClock.monotonic()
        tape = Tape(seed, explorer.for_run(seed))
        outcome = carry_out(self._run, tape)
        self._exploring += SystemClock.monotonic() - began
        self._seeds += 1
        self._virtual += outcome.virtual
        self._fired.update(outcome.fired)
        self._draws.update(tape.drawn())
        self._coverage |= outcome.coverage
        return outcome

    def _again(self, outcome: Outcome, explorer: Explorer) -> None:
        seed = outcome.seed
        again = carry_out(self._run, Tape(seed, explorer.for_run(seed)))
        if (outcome.trace, outcome.signature, outcome.entries) != (again.trace, again.signature, again.entries):
            where = difference(outcome.history, again.history) or "their events are equal, and what came of them is not"
            raise NotDeterministic(
                f"seed {seed} was run twice and gave two different runs: {where}; something random is not drawn from the tape"
            )

    def _shrunk(self, outcome: Outcome) -> Failure:
        progress = self._options.progress

        def tell(runs: int, smallest: Outcome) -> None:
            progress.note(f"shrink  {runs}/{self._options.shrink_budget} runs  {len(smallest.entries)} draws are left")

        shrinker = Shrinker(
            self._run, outcome, budget=self._options.shrink_budget, on_progress=tell if progress is not None else None
        )
        try:
            smallest = shrinker.shrink()
        except RunBroken as error:
            error.add_note(f"It broke while the failure of seed {outcome.seed} was made smaller: {sentence(outcome)}")
            raise
        return Failure(outcome=outcome, smallest=smallest, runs=shrinker.runs, complete=shrinker.complete)

    def result(self) -> Exploration:
        return Exploration(
            seeds=self._seeds,
            failures=self._failures,
            virtual_hours=self._virtual / 3600,
            seconds=SystemClock.monotonic() - self._began,
            seeds_per_s=self._seeds / self._exploring if self._exploring > 0 else 0.0,
            fired=self._fired,
            draws=self._draws,
            coverage=frozenset(self._coverage),
        )


# -- a failure in words


def failure_text(outcome: Outcome, smallest: Outcome, *, effort: str = "", commands: Sequence[str] = ()) -> str:
    """Return everything that helps with a failure: what is wrong, what it takes, what happens, how to have it again.

    Args:
        outcome: the failure as it was found.
        smallest: the same, shrunk.
        effort: how it was shrunk; see `Failure.effort`.
        commands: what to type to have it again.
    """
    lines = [f"{sentence(smallest)}."]
    first = 0 if smallest.error is not None else 1
    others = {violation.invariant: None for violation in smallest.violations[first:]}
    if others:
        lines.append(f"Broken too: {_count(len(others), 'invariant')} ({', '.join(map(str, sorted(others)))}).")
    lines.append("")
    if smallest.entries:
        count = ", ".join(filter(None, [_count(len(smallest.entries), "draw"), effort]))
        lines += [f"It takes this ({count}):", *(f"  {line}" for line in words(smallest.entries))]
    else:
        lines.append("It takes no fault and no other order than the plainest.")
    lines += ["", "What happens:", *_timeline(smallest), ""]
    if commands:
        lines += ["To have it again:", *(f"  {command}" for command in commands)]
    lines.append(f"Seed {outcome.seed}.")
    return "\n".join(lines)


def _timeline(outcome: Outcome) -> list[str]:
    from taskq_testing.timeline import text  # noqa: PLC0415 - only failures need it

    lines = text(outcome.history, violations=outcome.violations, limit=_EVENTS).split("\n")
    return [f"  {line}".rstrip() for line in lines[len(outcome.violations) :]]  # their sentences come first, and are said


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
