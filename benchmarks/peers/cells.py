"""How one cell is measured: the programs that are started, and the numbers that are read from them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from benchmarks.peers.catalog import INSIDE, Peer, Worker
from benchmarks.peers.environments import Environments
from benchmarks.peers.inside.probe import Probe, now
from benchmarks.peers.machine import cpu_seconds, end_tree, peak_rss_mb
from benchmarks.peers.plan import Step
from benchmarks.peers.results import quantile
from taskq_testing.services import RedisServer

__all__ = ["Bench", "CellError", "by_backlog"]

Values = dict[str, float]

_POLL = 0.02
_PATIENCE = 240.0
"""Seconds that a worker has for a cell's jobs, and a driver for its own."""

_SETTLING = 0.3
"""Seconds for the last acknowledgements, before the server's counts are read."""

_IDLE = (1.5, 2.5)
_IMPORTS = 7
_FEWEST = 20
_REPEATED = 5
"""How often a small backlog is drained: what it takes is little beside what disturbs it."""


class CellError(Exception):
    """A peer did not do what its cell asks; the text says what it did."""


class Bench:
    """Measures cells on one server.

    Args:
        server: it is emptied for every cell.
        environments: where the peers are installed.
        log: where they print.
        scale: what job counts are multiplied with.
    """

    def __init__(self, server: RedisServer, environments: Environments, log: IO[str], scale: float = 1.0) -> None:
        self._server, self._environments, self._log, self._scale = server, environments, log, scale
        self._memory = tempfile.NamedTemporaryFile(prefix="taskq-bench-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)  # noqa: SIM115
        self._probe = Probe(self._memory.name)
        self._env = {
            **os.environ,
            "TASKQ_BENCH_URL": server.url,
            "TASKQ_BENCH_PROBE": self._memory.name,
            # Compiled code is kept out of the sources, yet kept: an import is measured as it is the second time.
            "PYTHONPYCACHEPREFIX": str(environments.folder / "compiled"),
        }
        self._env.pop("PYTHONDONTWRITEBYTECODE", None)

    def close(self) -> None:
        """Let the shared memory go."""
        self._memory.close()

    def measure(self, step: Step) -> Values | None:
        """Measure one cell; None where the peer has no such call.

        Raises:
            CellError: the peer's program ended, or was too slow.
        """
        kind, _, how = step.phase.partition("_")
        measures: Mapping[str, Callable[[], Values | None]] = {
            "import": lambda: self._import(step.peer),
            "enqueue": lambda: self._enqueue(step.peer, how, "one", self._count(step, "enqueue")),
            "bulk": lambda: self._enqueue(step.peer, how, "many", self._count(step, "bulk")),
            "noop": lambda: self._drain(step, step.phase, self._count(step, "noop")),
            "sleep": lambda: self._drain(step, step.phase, self._count(step, "sleep")),
            "latency": lambda: self._latency(step, self._count(step, "latency"), _worker(step).gap, 20),
            "idle": lambda: self._latency(step, step.peer.count("idle", step.worker), _IDLE, 2),
            "backlog": lambda: self._backlog(step),
        }
        return measures[kind]()

    def _count(self, step: Step, what: str) -> int:
        return max(_FEWEST, int(step.peer.count(what, step.worker) * self._scale))

    # -- programs

    def _drive(self, peer: Peer, *words: object) -> Any:
        """Run the driver in the peer's environment and return what it found."""
        command = [self._environments.python(peer), "driver.py", peer.name, *map(str, words)]
        try:
            done = subprocess.run(
                command,
                cwd=INSIDE,
                env=self._env,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                timeout=_PATIENCE,
                check=True,
            )
        except subprocess.SubprocessError as error:
            raise CellError(f"driver {words}: {error.__class__.__name__}; see the log") from None
        return json.loads(done.stdout.splitlines()[-1])

    @contextmanager
    def _working(self, peer: Peer, worker: Worker) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [self._environments.python(peer), *worker.run.split()],
            cwd=INSIDE,
            env=self._env | worker.env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            process_group=0,  # a session would have a share of the processor of its own
        )
        try:
            yield process
        finally:
            end_tree(process)

    # -- cells

    def _import(self, peer: Peer) -> Values:
        """What the import adds to a bare interpreter, in milliseconds; the fastest of several, from compiled code."""
        fastest = {code: min(list(self._import_times(peer, code))[1:]) for code in ("pass", peer.import_statement)}
        return {"import_ms": (fastest[peer.import_statement] - fastest["pass"]) * 1e3}

    def _import_times(self, peer: Peer, code: str) -> Iterator[float]:
        for _ in range(_IMPORTS):
            began = time.perf_counter()
            command = [self._environments.python(peer), "-c", f"{code}\nimport os; os._exit(0)"]
            subprocess.run(command, check=True, cwd=INSIDE, env=self._env, stdout=self._log, stderr=self._log)
            yield time.perf_counter() - began

    def _enqueue(self, peer: Peer, kind: str, how: str, count: int) -> Values | None:
        self._server.cli("FLUSHALL", "SYNC")
        found = self._drive(peer, kind, how, peer.tasks[0], count)
        return found and {"rate": found["count"] / found["seconds"], "cpu_us": found["cpu"] / found["count"] * 1e6}

    def _drain(self, step: Step, task: str, count: int) -> Values:
        self._server.cli("FLUSHALL", "SYNC")
        self._probe.reset()
        empty = self._info()["used_memory"]
        filled = self._drive(step.peer, "fill", task, count)
        before = self._info()
        spawned = now()
        with self._working(step.peer, _worker(step)) as process:
            costs = self._until_done(process, count)
            time.sleep(_SETTLING)
            commands = self._info()["total_commands_processed"] - before["total_commands_processed"]
            if (ran := self._probe.total()) != count:
                raise CellError(f"the worker ran {ran} jobs of {count}")
        took = (self._probe.last_end() - self._probe.first_start()) / 1e9
        return costs | {
            "count": count,
            "rate": count / took,
            "startup_s": (self._probe.first_start() - spawned) / 1e9,
            "commands": commands / count,
            "fill_us": filled["seconds"] / count * 1e6,
            "server_bytes": (before["used_memory"] - empty) / count,
        }

    def _until_done(self, process: subprocess.Popen[bytes], count: int) -> Values:
        """Wait for the last job; return the processor time of each job and the peak memory of the worker."""
        deadline = time.monotonic() + _PATIENCE
        started: tuple[int, float, float] | None = None
        while (total := self._probe.total()) < count:
            if started is None and total:
                started = total, cpu_seconds(process.pid), cpu_seconds(self._server.pid)
            if process.poll() is not None or time.monotonic() > deadline:
                raise CellError(
                    f"the worker ran {total} jobs of {count} and {'ended' if process.poll() is not None else 'was too slow'}"
                )
            time.sleep(_POLL)
        costs = {"rss_mb": peak_rss_mb(process.pid)}
        if started is not None and (rest := count - started[0]) > count / 2:  # or the time would be too short to tell
            costs["worker_us"] = (cpu_seconds(process.pid) - started[1]) / rest * 1e6
            costs["server_us"] = (cpu_seconds(self._server.pid) - started[2]) / rest * 1e6
        return costs

    def _latency(self, step: Step, count: int, gap: tuple[float, float], warmup: int) -> Values:
        self._server.cli("FLUSHALL", "SYNC")
        self._probe.reset()
        with self._working(step.peer, _worker(step)):
            time.sleep(1.0)  # the warm-up waits for the rest of its start
            found = self._drive(step.peer, "latency", step.peer.tasks[0], count, *gap, warmup)
        return {"count": count} | {f"p{percent}_ms": quantile(found["samples"], percent) for percent in (50, 95, 99)}

    def _backlog(self, step: Step) -> Values:
        drained = {}
        for count in step.peer.backlogs:
            rounds = _REPEATED if count <= 10_000 else 1
            drained[count] = [self._drain(step, step.peer.tasks[0], count) for _ in range(rounds)]
        return by_backlog(drained)

    def _info(self) -> dict[str, int]:
        """The server's counters."""
        lines = self._server.cli("INFO", "everything")
        pairs = lines.items() if isinstance(lines, dict) else (line.split(":", 1) for line in lines.splitlines() if ":" in line)
        return {name: int(value) for name, value in pairs if str(value).isdigit()}


def by_backlog(drained: Mapping[int, Sequence[Mapping[str, float]]]) -> Values:
    """Return the cost of a message by how many wait: to drain it, to add it, and the server's bytes; medians of the rounds.

    Processor time, worker and server together, is known of backlogs that last long enough for it.
    `growth` is the highest cost to drain one at a larger backlog, by that at the smallest.
    """
    values: Values = {}
    for count, rounds in drained.items():
        values[f"drain_us_{count}"] = statistics.median(1e6 / each["rate"] for each in rounds)
        if all("worker_us" in each for each in rounds):
            values[f"cpu_us_{count}"] = statistics.median(each["worker_us"] + each["server_us"] for each in rounds)
        values[f"fill_us_{count}"] = statistics.median(each["fill_us"] for each in rounds)
        values[f"server_bytes_{count}"] = statistics.median(each["server_bytes"] for each in rounds)
    smallest, *larger = (values[f"drain_us_{count}"] for count in sorted(drained))
    return values | {"growth": max(larger) / smallest}


def _worker(step: Step) -> Worker:
    assert step.worker is not None
    return step.worker
