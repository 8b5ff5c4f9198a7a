"""Several processes, each hunting one mutant after another."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
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
        beyond: names of the scenarios that a mutant meets even when it is dead; asked when its turn has come.
        processes: how many at a time.
    """
    waiting = deque(sorted(mutants, key=lambda each: _SLOW.index(each.target)))
    under_way: dict[Future[Verdict], Mutant] = {}
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_begin) as pool:
        while waiting or under_way:
            while waiting and len(under_way) <= processes:
                mutant = waiting.popleft()
                under_way[pool.submit(_hunt, mutant.name, beyond(mutant))] = mutant
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield _outcome(future, under_way.pop(future))


def _outcome(future: Future[Verdict], mutant: Mutant) -> Verdict | tuple[Mutant, str]:
    try:
        return future.result()
    except Unapplied as error:
        return mutant, f"its change cannot be made: {error}"
    except BrokenProcessPool:
        return mutant, "its process died, or one beside it did"


def _begin() -> None:
    """Keep to oneself what bugs bring about by the thousand: warnings, and tasks that nobody waits for."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None


def _hunt(name: str, beyond: tuple[str, ...]) -> Verdict:
    (mutant,) = (each for each in all_mutants() if each.name == name)
    return hunt(mutant, beyond=beyond)
