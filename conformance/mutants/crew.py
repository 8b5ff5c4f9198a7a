"""Several processes, each hunting one mutant after another. A process that dies of a bug counts as a kill."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from conformance.mutants.hunt import Verdict, hunt
from conformance.mutants.mutant import Mutant, all_mutants
from conformance.mutants.patches import Unapplied

__all__ = ["hunt_all"]

_SLOW = ("moto", "fakeredis", "ironmq", "memory")
"""Targets in the order in which they are begun: what takes long comes first, so that no process waits for the other."""


def hunt_all(
    mutants: Sequence[Mutant], beyond: Callable[[Mutant], tuple[str, ...]], processes: int
) -> Iterator[Verdict | tuple[Mutant, str]]:
    """Hunt mutants side by side, and give what came of each as it comes: a verdict, or the mutant and why there is none.

    Args:
        mutants: which.
        beyond: names of the scenarios that a mutant meets even when it is dead.
        processes: how many at a time.
    """
    waiting = sorted(mutants, key=lambda each: _SLOW.index(each.target))
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_begin) as pool:
        futures: dict[Future[Verdict], Mutant] = {pool.submit(_hunt, each.name, beyond(each)): each for each in waiting}
        for future in as_completed(futures):
            try:
                yield future.result()
            except Unapplied as error:
                yield futures[future], f"its change cannot be made: {error}"
            except BrokenProcessPool:
                yield futures[future], "its process died, or one beside it did"


def _begin() -> None:
    """Keep to oneself what bugs bring about by the thousand: warnings, and tasks that nobody waits for."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None


def _hunt(name: str, beyond: tuple[str, ...]) -> Verdict:
    (mutant,) = (each for each in all_mutants() if each.name == name)
    return hunt(mutant, beyond=beyond)
