"""Worker processes: one that consumes, and the parent that keeps several of them running.

`options` says what was asked for and `loading` finds the user's app. `process` is a worker process, with `reporting` on how it
fares; `supervisor` is the parent, with a `place` for each process and a `child` for each that runs. `reports` is what the two
tell each other, `restarts` and `recycling` decide, `health`, `metrics`, `watching` and `exits` are what their names say.
The parent never imports the user's app.
"""

from __future__ import annotations

from taskq.supervisor.options import WorkerOptions
from taskq.supervisor.process import work
from taskq.supervisor.supervisor import supervise

__all__ = ["WorkerOptions", "run_worker"]


def run_worker(options: WorkerOptions) -> int:
    """Consume until stopped by a signal and return the exit status: 0 after a drain, 130 after an interrupt.

    One process that nothing replaces works right here; otherwise this is the parent of those that do.

    Raises:
        ConfigError: what was asked for cannot work.
    """
    return supervise(options) if options.supervised else work(options)
