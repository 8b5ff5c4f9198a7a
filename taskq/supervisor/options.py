"""What a worker is asked to do. Values only; they travel from the parent to its processes as JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from taskq.errors import ConfigError
from taskq.options import seconds

__all__ = ["WorkerOptions"]

_LARGEST_PORT = 65535


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `taskq worker`, checked.

    Attributes:
        app: where the App is, as MODULE:APP.
        queues: names of the queues to consume; empty for all.
        processes: how many processes consume.
        loop: the event loop; "auto" is uvloop where it is installed.
        health_file: where the state of the processes is written once a second; None for nowhere.
        metrics_host: the address that metrics are served on.
        metrics_port: its port, 0 for any free one; None for no metrics.
        max_jobs: runs after which a process is replaced; None for never.
        max_memory: MB (of 1024 * 1024 bytes) of memory from which on it is; None for never.
        reload: whether the processes start anew when a source file changes.
        grace: seconds beyond the queues' stop timeout after which a process that should have ended is killed.

    Raises:
        ConfigError: a value is out of range.
    """

    app: str
    queues: tuple[str, ...] = ()
    processes: int = 1
    loop: Literal["auto", "uvloop", "asyncio"] = "auto"
    health_file: str | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    max_jobs: int | None = None
    max_memory: int | None = None
    reload: bool = False
    grace: float = 5.0

    def __post_init__(self) -> None:
        for option, value in (("processes", self.processes), ("max-jobs", self.max_jobs), ("max-memory", self.max_memory)):
            if value is not None and value < 1:
                raise ConfigError(f"--{option} {value} is out of range; give at least 1")
        if self.metrics_port is not None and not 0 <= self.metrics_port <= _LARGEST_PORT:
            raise ConfigError(f"--metrics-port {self.metrics_port} is no port; give one from 0 (any) to {_LARGEST_PORT}")
        seconds(self.grace, "--grace")
        if self.health_file is not None and not Path(self.health_file).parent.is_dir():
            raise ConfigError(f"--health-file {self.health_file}: its folder does not exist; make it first")
        if self.supervised and os.name != "posix":
            raise ConfigError("several processes, recycling and --reload need POSIX signals; run one process here")

    @property
    def recycles(self) -> bool:
        """Whether a process ends some time and is replaced."""
        return self.max_jobs is not None or self.max_memory is not None

    @property
    def supervised(self) -> bool:
        """Whether processes need a parent, because there are several or because they are replaced."""
        return self.processes > 1 or self.recycles or self.reload
