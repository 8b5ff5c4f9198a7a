"""The matrix as values: for each guarantee and target, what its scenarios came to. Decisions only.

A cell is `passed` only if a scenario passed and none failed; where none was run it says so, and never that it passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from taskq_conformance.contract import GUARANTEES, Guarantee
from taskq_conformance.results import Result, Run, Target

__all__ = ["Cell", "State", "cell", "guarantees", "tally", "verdict"]

State = str
"""`passed`, `failed`, `expected failure`, `not run`, or `none` where there is no scenario."""


class Cell(msgspec.Struct, frozen=True):
    """What one guarantee came to on one target.

    Attributes:
        state: the worst that there is; see `State`.
        passed: how many results passed.
        run: how many were run.
        of: how many there are.
        seconds: how long they took in real time.
        reasons: why those that did not pass did not, each once.
    """

    state: State
    passed: int = 0
    run: int = 0
    of: int = 0
    seconds: float = 0.0
    reasons: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What stands in a table."""
        if self.state in ("none", "not run"):
            return {"none": "", "not run": "not run"}[self.state]
        mark = {"passed": "✓", "failed": "✗", "expected failure": "~"}[self.state]
        return f"{mark} {self.passed}/{self.run}" + (f" of {self.of}" if self.of != self.run else "")


def cell(results: Sequence[Result]) -> Cell:
    """Return what the results of one guarantee on one target come to."""
    count = Counter(result.status for result in results)
    state = next((each for each in ("failed", "expected failure", "passed", "not run") if count[each]), "none")
    reasons = dict.fromkeys(f"{each.scenario}: {each.reason or each.status}" for each in results if each.status != "passed")
    return Cell(
        state=state,
        passed=count["passed"],
        run=len(results) - count["not run"],
        of=len(results),
        seconds=sum(result.seconds for result in results),
        reasons=tuple(reasons),
    )


def guarantees(run: Run) -> list[Guarantee]:
    """Return the guarantees in their order, and behind them those of a run that this version does not know."""
    unknown = dict.fromkeys(
        result.guarantee for target in run.targets for result in target.results if result.guarantee not in GUARANTEES
    )
    return [*GUARANTEES.values(), *(Guarantee(number, "Unknown here", "") for number in unknown)]


def tally(target: Target) -> str:
    """Return what came of a target in a few words."""
    count = target.tally()
    words = ("passed", "failed", "expected failure", "not run")
    return ", ".join(f"{count[word]} {word}" for word in words if count[word]) or "nothing was run"


def verdict(run: Run) -> tuple[State, str]:
    """Return what a badge says of a run: a state and a few words."""
    count: Counter[str] = Counter()
    for target in run.targets:
        count.update(target.tally())
    if count["failed"]:
        return "failed", f"{count['failed']} of {sum(count.values()) - count['not run']} failed"
    if not count["passed"]:
        return "not run", "nothing was run"
    places = f"{len(run.targets)} backend" + ("s" if len(run.targets) > 1 else "")
    return "passed", f"{count['passed']} passed on {places}"
