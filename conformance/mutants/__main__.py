"""The command: hunts mutants with live progress, prints the kill matrix, and fails if one survives."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from conformance.mutants.crew import hunt_all
from conformance.mutants.hunt import Verdict, profile_of, suite
from conformance.mutants.matrix import idle_of, line, matrix, summary
from conformance.mutants.mutant import Mutant, all_mutants
from taskq_conformance.run import why_not


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m conformance.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="those whose names contain one of these, separated by commas")
    parser.add_argument("--target", default="", help="those of this target: memory, fakeredis, moto, ironmq")
    parser.add_argument("--quick", action="store_true", help="ask for no more than the first kill of each")
    parser.add_argument("--full", action="store_true", help="run all scenarios against each: every killer is found, in an hour")
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
    """Which scenarios a mutant meets even when it is dead: those that have killed nothing yet, to see what they are good for.

    In memory any of them. Elsewhere, where they take longer, those that mean nothing in memory.
    """

    def __init__(self, *, quick: bool, full: bool) -> None:
        memory = profile_of("memory")
        self.idle = {} if quick else {each.name: why_not(memory, each) is None for each in suite()}
        self._full = full

    def __call__(self, mutant: Mutant) -> tuple[str, ...]:
        return tuple(name for name, in_memory in self.idle.items() if self._full or in_memory == (mutant.target == "memory"))

    def note(self, verdict: Verdict) -> None:
        """Take note of who has killed."""
        for name in () if self._full else verdict.killers:
            self.idle.pop(name, None)


def _hunted(mutants: Sequence[Mutant], beyond: _Beyond, processes: int) -> tuple[dict[str, Verdict], float]:
    """Hunt all, telling each as it comes."""
    by_name = {each.name: each for each in mutants}
    verdicts: dict[str, Verdict] = {}
    began = time.perf_counter()
    width = len(str(len(mutants)))
    for number, found in enumerate(hunt_all(mutants, beyond, processes), start=1):
        if isinstance(found, Verdict):
            verdicts[found.mutant] = found
            beyond.note(found)
            text = line(by_name[found.mutant], found)
        else:
            text = line(*found)
        print(f"[{number:>{width}}/{len(mutants)}] {text}", flush=True)
    return verdicts, time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
