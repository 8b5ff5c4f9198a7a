"""`taskq worker` runs worker processes; `taskq health` is what a container's probe asks about them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from taskq.cli.parser import add_command
from taskq.options import seconds
from taskq.runtime.clock import SystemClock
from taskq.supervisor import WorkerOptions, run_worker
from taskq.supervisor.health import MAX_AGE, check

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the commands."""
    worker = add_command(commands, "worker", "consume until stopped by a signal", _worker)
    worker.add_argument("--queues", metavar="A,B", help="names, separated by commas (default: all)")
    worker.add_argument("--processes", type=int, default=1, metavar="N", help="how many (default: %(default)s)")
    worker.add_argument("--loop", choices=("auto", "uvloop", "asyncio"), default="auto",
                        help="the event loop; auto is uvloop where it is installed (default: %(default)s)")  # fmt: skip
    worker.add_argument("--health-file", metavar="PATH", help="write there once a second how the processes are")
    worker.add_argument("--metrics-port", type=int, metavar="PORT", help="serve metrics for Prometheus; 0 for any free port")
    worker.add_argument("--metrics-host", default="127.0.0.1", metavar="HOST", help="on this address (default: %(default)s)")
    worker.add_argument("--max-jobs", type=int, metavar="N", help="replace a process after so many runs, or a tenth less")
    worker.add_argument("--max-memory", type=int, metavar="MB", help="replace a process that takes so much, or a tenth less")
    worker.add_argument("--reload", action="store_true", help="start anew when a source file changes, for development")
    worker.add_argument("--grace", type=float, default=5.0, metavar="S",
                        help="kill a process so many seconds after its queues' stop timeout (default: %(default)s)")  # fmt: skip

    health = add_command(commands, "health", "tell whether the processes behind a health file are well", _health, app=False)
    health.add_argument("path", metavar="PATH", help="what --health-file was given")
    health.add_argument("--max-age", type=float, default=MAX_AGE, metavar="S",
                        help="seconds since all was well that are forgiven (default: %(default)s)")  # fmt: skip


def _worker(arguments: argparse.Namespace) -> int:
    given = vars(arguments)
    names = [name.strip() for name in (arguments.queues or "").split(",")]
    options = {name: given[name] for name in WorkerOptions.__struct_fields__ if name != "queues"}
    return run_worker(WorkerOptions(queues=tuple(filter(None, names)), **options))


def _health(arguments: argparse.Namespace) -> int:
    well, sentence = check(arguments.path, SystemClock().now(), seconds(arguments.max_age, "--max-age"))
    print(sentence if well else f"taskq: {sentence}", file=sys.stdout if well else sys.stderr)
    return 0 if well else 1
