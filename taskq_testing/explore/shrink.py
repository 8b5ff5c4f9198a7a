"""Makes a failure small: takes draws out of its tape and lowers the others, as long as it fails in the same way.

Deterministic, and each step is smaller than the one before: fewer draws that are not boring, then a smaller sum of them.
Source of the removal: Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", TSE 2002 (ddmin).
"""

from __future__ import annotations

from collections.abc import Callable

from taskq_testing.explore.replay import NotReproducible, difference, replay
from taskq_testing.outcome import Outcome, Run
from taskq_testing.tape import Draw, Entries

__all__ = ["BUDGET", "Shrinker", "shrink"]

BUDGET = 400
"""How many runs a failure is worth, unless said otherwise."""


class Shrinker:
    """Shrinks one failure.

    Args:
        run: the scenario that failed.
        outcome: its failure.
        budget: how many runs at most.
        on_progress: told the number of runs so far and the smallest failure, each time a smaller one is found.

    Attributes:
        best: the smallest failure so far.
        runs: how many runs were carried out.
        complete: whether nothing smaller was left to try; False until then, and when the budget ended first.
    """

    def __init__(
        self, run: Run, outcome: Outcome, *, budget: int = BUDGET, on_progress: Callable[[int, Outcome], None] | None = None
    ) -> None:
        self.best = outcome
        self.runs = 0
        self.complete = False
        self._run = run
        self._budget = budget
        self._on_progress = on_progress
        self._signature = outcome.signature
        self._tried: set[frozenset[tuple[Draw, int]]] = set()
        self._spent = budget < 1

    def shrink(self) -> Outcome:
        """Return the smallest failure that the budget allows.

        Raises:
            NotReproducible: the recorded draws do not lead to the recorded failure.
            RunBroken: the run raised instead of returning its outcome.
        """
        if self._spent:
            return self.best
        self._reproduce()
        improved = True
        while improved and not self._spent:
            before = _size(self.best.entries)
            self._accepts({})
            self._remove_groups(lambda draw: draw[0])
            self._remove_groups(lambda draw: draw[1])
            self._remove_chunks()
            self._lower()
            improved = _size(self.best.entries) < before
        self.complete = not self._spent
        return self.best

    def _reproduce(self) -> None:
        found, again = self.best, replay(self._run, self.best.seed, self.best.entries)
        self.runs += 1
        if again.signature != self._signature:
            raise NotReproducible(_why_not(found, again))
        self.best = again
        self._tried.add(frozenset(again.entries.items()))

    def _accepts(self, entries: Entries) -> bool:
        """Try a smaller tape; True if it fails in the same way, and is the best from now on."""
        candidate = frozenset(entries.items())
        if candidate in self._tried:
            return False
        if self.runs >= self._budget:
            self._spent = True
            return False
        self._tried.add(candidate)
        self.runs += 1
        outcome = replay(self._run, self.best.seed, entries)
        if outcome.signature != self._signature:
            return False
        self.best = outcome  # what was drawn counts, not what was offered: a draw that the run never came to is gone
        self._tried.add(frozenset(outcome.entries.items()))
        if self._on_progress is not None:
            self._on_progress(self.runs, outcome)
        return True

    def _remove_groups(self, group: Callable[[Draw], str]) -> None:
        """Take out all draws of a group at once, for one group after the other."""
        for name in dict.fromkeys(group(draw) for draw in self.best.entries):
            self._accepts({draw: value for draw, value in self.best.entries.items() if group(draw) != name})

    def _remove_chunks(self) -> None:
        """Take out draws that follow each other, half of them at first and single ones in the end."""
        size = len(self.best.entries) // 2
        while size:
            start = 0
            while start < len(self.best.entries):
                items = list(self.best.entries.items())
                if not self._accepts(dict(items[:start] + items[start + size :])):
                    start += size
            size //= 2

    def _lower(self) -> None:
        """Bring all values to 1, or else each as near to it as halving the distance finds."""
        self._accepts(dict.fromkeys(self.best.entries, 1))
        for draw in list(self.best.entries):
            low = 0  # the highest value known not to do
            while (value := self.best.entries.get(draw, 0)) - low > 1:
                middle = 1 if low == 0 else (low + value) // 2
                if not self._accepts({**self.best.entries, draw: middle}):
                    low = middle


def shrink(
    run: Run, outcome: Outcome, *, budget: int = BUDGET, on_progress: Callable[[int, Outcome], None] | None = None
) -> Outcome:
    """Return the smallest failure of the same signature that `budget` runs find; see `Shrinker`, which also says why it ended.

    Raises:
        NotReproducible: the recorded draws do not lead to the recorded failure.
        RunBroken: the run raised instead of returning its outcome.
    """
    return Shrinker(run, outcome, budget=budget, on_progress=on_progress).shrink()


def _size(entries: Entries) -> tuple[int, int]:
    return len(entries), sum(entries.values())


def _why_not(found: Outcome, again: Outcome) -> str:
    """Return in a sentence how a replay differs from what it repeats."""
    begin = f"the failure of seed {found.seed} does not come again when its draws are repeated: {_came_out(again)}"
    for draw, value in found.entries.items():
        if again.entries.get(draw) != value:
            then = again.entries.get(draw, 0)
            return f"{begin}; the first draw that differs is {draw}, which was {value} and then {then}"
    for draw, value in again.entries.items():
        if draw not in found.entries:
            return f"{begin}; the first draw that differs is {draw}, which was not there and then {value}"
    where = difference(found.history, again.history)
    return f"{begin}; every draw was the same, so something random is not drawn from the tape; {where or 'no event differs'}"


def _came_out(outcome: Outcome) -> str:
    return f"it comes out as {' '.join(outcome.signature)}" if outcome.failed else "nothing is wrong then"
