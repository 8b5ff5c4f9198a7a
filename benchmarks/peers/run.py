"""One run: a server, the steps of the plan, and the results as they grow."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.peers.catalog import Peer
from benchmarks.peers.cells import Bench, CellError, Values
from benchmarks.peers.environments import Environments
from benchmarks.peers.machine import Busy, awake, cpu_name, prefer, wait_until_quiet
from benchmarks.peers.plan import Plan, Step, steps
from benchmarks.peers.report import NOISY
from benchmarks.peers.results import Cell, Results
from taskq_testing.services import RedisServer, redis_server

__all__ = ["Manner", "better", "run"]

TRIES = 3
"""How often a cell is measured while others disturb it; the quietest counts."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a run treats the machine.

    Attributes:
        log: what the peers print goes there.
        patience: seconds to wait for a quiet machine before each cell; 0 measures at once, and only once.
        out: the results are written there after each cell; None for nowhere.
        niceness: of all that is measured, and of the session it runs in; below 0 keeps others out of the way.
    """

    log: Path
    patience: float = 0.0
    out: Path | None = None
    niceness: int = 0


def run(plan: Plan, peers: Sequence[Peer], environments: Environments, manner: Manner) -> Results:
    """Measure everything of a plan, of peers that are installed already, and return it."""
    with manner.log.open("w") as printed, redis_server() as server:
        if manner.niceness:
            prefer(os.getpid(), manner.niceness)
            prefer(server.pid, manner.niceness)
        results = Results(machine=_machine(server, manner), peers={peer.name: _described(peer, environments) for peer in peers})
        bench = Bench(server, environments, printed, plan.scale)
        try:
            for step in steps(plan, peers):
                cell = _attempt(step, bench.measure, manner.patience)
                if cell is not None:
                    results.cells.append(cell)
                    print(_told(cell), file=sys.stderr, flush=True)
                    if manner.out is not None:
                        results.save(manner.out)
        finally:
            bench.close()
    return results


def _attempt(step: Step, measure: Callable[[Step], Values | None], patience: float) -> Cell | None:
    """Measure one cell when the machine is quiet, again if it was not meanwhile; None where the peer has no such call."""
    best: Cell | None = None
    for _ in range(TRIES if patience else 1):
        wait_until_quiet(patience)
        cell = _once(step, measure)
        if cell is None:
            return None
        best = better(best, cell)
        if best.error is None and best.busy < NOISY:
            break
    return best


def better(one: Cell | None, other: Cell) -> Cell:
    """Return the cell that counts: one that was measured rather than one that failed, then the one that was disturbed less."""
    if one is None:
        return other
    return min(one, other, key=lambda cell: (cell.error is not None, cell.busy))


def _once(step: Step, measure: Callable[[Step], Values | None]) -> Cell | None:
    values: Values | None = {}
    error = None
    with awake(wanted=step.awake):
        busy = Busy()
        try:
            values = measure(step)
        except CellError as failure:
            error = str(failure)
        others = busy.cores()
    if values is None:
        return None
    return Cell(
        peer=step.peer.name,
        worker=step.worker.label if step.worker else None,
        phase=step.phase,
        repetition=step.repetition,
        awake=step.awake,
        values=values,
        busy=others,
        error=error,
    )


def _told(cell: Cell) -> str:
    numbers = cell.error or ", ".join(f"{name} {value:,.3g}" for name, value in cell.values.items() if name != "count")
    where = f"{cell.repetition + 1} {'awake' if cell.awake else 'alone'} {cell.phase:<13} {cell.peer:<14} {cell.worker or '':<26}"
    return f"{where} {numbers}  [others {cell.busy:.2f}]"


def _machine(server: RedisServer, manner: Manner) -> dict[str, Any]:
    told = dict(line.split(":", 1) for line in str(server.cli("INFO", "server")).splitlines() if ":" in line)
    name = f"Valkey {told['valkey_version']}" if "valkey_version" in told else f"Redis {told['redis_version']}"
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "server": f"{name} over loopback, nothing persisted",
        "niceness": manner.niceness,
        "when": date.today().isoformat(),
    }


def _described(peer: Peer, environments: Environments) -> dict[str, Any]:
    return {
        "versions": environments.versions(peer),
        "tasks": list(peer.tasks),
        "workers": {worker.label: worker.processes for worker in peer.workers},
        "settings": peer.settings,
    }
