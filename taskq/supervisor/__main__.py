"""`python -m taskq.supervisor OPTIONS NUMBER FD`: a worker process as its parent starts it; nobody else should."""

from __future__ import annotations

import socket
import sys

import msgspec

from taskq.supervisor.exits import exit_status
from taskq.supervisor.options import WorkerOptions
from taskq.supervisor.process import work_below

__all__: list[str] = []


def _main() -> int:
    options = msgspec.json.decode(sys.argv[1], type=WorkerOptions)
    parent = socket.socket(fileno=int(sys.argv[3]))
    parent.set_inheritable(False)
    return exit_status(lambda: work_below(options, int(sys.argv[2]), parent))


raise SystemExit(_main())
