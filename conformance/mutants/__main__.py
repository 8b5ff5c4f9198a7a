"""The command: hunts mutants with live progress, prints the kill matrix, and fails if one survives."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from taskq_conformance.run import why_not

from conformance.mutants.crew import hunt_all
from conformance.mutants.hunt import Verdict, profile_of, suite
from conformance.mutants.matrix import idle_of, line, matrix, summary
from conformance.mutants.mutant import Mutant, all_mutants


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m conformance.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="those whose names contain one of these, separated by commas")
    parser.add_argument("--target", default="", help="those of this target: memory, fakeredis, moto, ironmq")
    parser.add_argument("--quick", action="store_true", help="end with the first kill of each, so that the matrix has one a row")
    parser.add_argument("--full", action="store_true", help="run all scenarios against each, on slow targets too")
    parser.add_argument("--processes", type=int, default=2, help="how many processes (2)")
    parser.add_argument("--matrix", type=Path, help="write the kill matrix to this file, in Markdown")
    options = parser.parse_args(arguments)
    mutants = [
        each
        for each in all_mutants()
        if any(part in each.name for part in options.only.split(",")) and options.target in ("", each.target)
    ]
    verdicts, seconds = _hunted(mutants, _Beyond(quick=options.quick, full=options.full), options.processes)
    whole = not (options.quick or options.only or options.target)  # of a part nothing can be said of scenarios
    idle = idle_of(suite(), verdicts.values()) if whole else None
    table = matrix(mutants, verdicts)
    print("\n" + table)
    print(summary(mutants, verdicts, idle, seconds))
    if options.matrix is not None:
        options.matrix.write_text(table, encoding="utf-8")
    return 0 if mutants and all(each.name in verdicts and verdicts[each.name].killed for each in mutants) else 1


class _Beyond:
    """Which scenarios a mutant meets even when it is dead, so that the matrix tells what each scenario is good for.

    In memory all of them, for they take a second together. Elsewhere those that mean nothing in memory.
    """

    def __init__(self, *, quick: bool, full: bool) -> None:
        everything = tuple(each.name for each in suite())
        memory = profile_of("memory")
        elsewhere = tuple(each.name for each in suite() if why_not(memory, each) is not None)
        self._memory = () if quick else everything
        self._others = everything if full else () if quick else elsewhere

    def __call__(self, mutant: Mutant) -> tuple[str, ...]:
        return self._memory if mutant.target == "memory" else self._others


def _hunted(mutants: Sequence[Mutant], beyond: _Beyond, processes: int) -> tuple[dict[str, Verdict], float]:
    """Hunt all, telling each as it comes."""
    by_name = {each.name: each for each in mutants}
    verdicts: dict[str, Verdict] = {}
    began = time.perf_counter()
    width = len(str(len(mutants)))
    for number, found in enumerate(hunt_all(mutants, beyond, processes), start=1):
        if isinstance(found, Verdict):
            verdicts[found.mutant] = found
            text = line(by_name[found.mutant], found)
        else:
            text = line(*found)
        print(f"[{number:>{width}}/{len(mutants)}] {text}", flush=True)
    return verdicts, time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
