"""The command line of the runner: `python -m benchmarks peers`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.peers.catalog import Peer, PeerError, chosen
from benchmarks.peers.environments import PROJECT, Environments
from benchmarks.peers.machine import adopt_orphans
from benchmarks.peers.plan import FULL, PHASES, QUICK, Plan
from benchmarks.peers.report import cpu_table, goals_table, markdown
from benchmarks.peers.results import Results
from benchmarks.peers.run import Manner, run

KEPT = PROJECT / ".nox" / "peers"
QUICK_PEERS = ("floor_async", "floor_sync", "taskq", "dramatiq")
STATES = {"alone": (False,), "awake": (True,), "both": (False, True)}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks peers",
        description="taskq against other queues and against hand-written loops, on one server in one run",
    )
    add = made.add_argument
    add("--quick", action="store_true", help="floors, taskq and the fastest peer in a few minutes, without waiting for quiet")
    add("--only", metavar="A,B", help="peers; `floor` stands for all floors (default: everybody)")
    add("--phases", metavar="A,B", help=f"cells, of {', '.join(PHASES)}")
    add("--repetitions", type=int, metavar="N", help=f"of each cell (default: {FULL.repetitions}; --quick: {QUICK.repetitions})")
    add("--scale", type=float, metavar="X", help=f"multiplies job counts (default: {FULL.scale}; --quick: {QUICK.scale})")
    add("--cores", choices=tuple(STATES), help="left alone, kept awake, or both (default: both; --quick: alone)")
    add("--patience", type=float, default=60.0, metavar="S", help="seconds to wait for a quiet machine before each cell, or 0")
    add("--nice", type=int, default=0, metavar="N", help="niceness of all that is measured; below 0 (root) keeps others away")
    add("--environments", type=Path, default=KEPT, metavar="DIR", help="where peers are installed (default: .nox/peers)")
    add("--fresh", action="store_true", help="install the latest versions anew")
    add("--out", type=Path, metavar="FILE.json", help="write the results there, and the report beside them as .md")
    add("--report", type=Path, metavar="FILE.json", help="measure nothing; print the report of an earlier run")
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Do what was asked; 2 if it cannot be."""
    asked = parser().parse_args(words)
    if asked.report:
        print(markdown(Results.load(asked.report)))
        return 0
    try:
        plan, peers = planned(asked)
    except PeerError as error:
        print(error, file=sys.stderr)
        return 2
    environments = Environments(asked.environments.resolve())
    environments.install(peers, fresh=asked.fresh)
    log = Path(tempfile.gettempdir()) / "taskq-bench.log"
    print(f"what the peers print goes to {log}", file=sys.stderr)
    manner = Manner(log=log, patience=0 if asked.quick else asked.patience, out=asked.out, niceness=asked.nice)
    adopt_orphans()
    results = run(plan, peers, environments, manner)
    told = markdown(results)
    if asked.out:
        asked.out.with_suffix(".md").write_text(told)
    print(f"{goals_table(results)}\n\n{cpu_table(results)}" if asked.quick else told)
    return 0


def planned(asked: argparse.Namespace) -> tuple[Plan, list[Peer]]:
    """Return what is measured of whom.

    Raises:
        PeerError: there is no such peer, or no such cell.
    """
    given = {"repetitions": asked.repetitions, "scale": asked.scale}
    if asked.phases:
        given["phases"] = tuple(asked.phases.split(","))
        if unknown := set(given["phases"]) - set(PHASES):
            raise PeerError(f"there is no cell {', '.join(sorted(unknown))}; the cells are {', '.join(PHASES)}")
    if asked.cores:
        given["awake"] = STATES[asked.cores]
    plan = replace(QUICK if asked.quick else FULL, **{name: value for name, value in given.items() if value is not None})
    return plan, chosen(asked.only.split(",") if asked.only else QUICK_PEERS if asked.quick else ())
