"""The machine under the measurements: processor time, memory, how busy others are, and a core that is kept awake."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

__all__ = ["Busy", "adopt_orphans", "awake", "cpu_name", "cpu_seconds", "end_tree", "peak_rss_mb", "prefer", "wait_until_quiet"]

QUIET = 0.12
"""Cores that others may use for the machine to count as quiet."""

_SPINNER = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while os.getppid() == {parent}:
    for _ in range(1_000_000):
        pass
"""
_LEAST = 19
_PR_SET_CHILD_SUBREAPER = 36


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all that descend from it; empty if it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process tree, with that of the children that have ended in it."""
    total = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def peak_rss_mb(pid: int) -> float:
    """Return the sum of the peak resident sizes in a process tree; pages that a fork shares count for each."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    return total / 1024


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends first, so that their processor time is not taken for that of others.

    Elsewhere than on Linux it does nothing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that descend from it, and collect those that `adopt_orphans` makes ours."""
    doomed = tree(process.pid)
    for each in doomed:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    for each in doomed[1:]:  # parents come before their children, which become ours as they end
        with contextlib.suppress(ChildProcessError):
            os.waitpid(each.pid, 0)


class Busy:
    """How many cores others use, on average since this was made: everything that does not descend from this process."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._all, self._ours = _machine_seconds(), cpu_seconds(os.getpid())

    def cores(self) -> float:
        """Return the average until now; never below 0."""
        used = _machine_seconds() - self._all
        ours = cpu_seconds(os.getpid()) - self._ours
        return max(0.0, (used - ours) / max(time.monotonic() - self._began, 1e-9))


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice


def wait_until_quiet(patience: float) -> None:
    """Wait until others use next to nothing for a second, at most `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        busy = Busy()
        time.sleep(1.0)
        if busy.cores() < QUIET:
            return


def prefer(pid: int, niceness: int) -> None:
    """Set the niceness of a process, and of its session where Linux shares processors out between sessions first.

    Raises:
        PermissionError: it is below what it was, and we are not root.
    """
    os.setpriority(os.PRIO_PROCESS, pid, niceness)
    sessions = Path(f"/proc/{pid}/autogroup")
    if sessions.exists():
        sessions.write_text(str(niceness))


@contextmanager
def awake(*, wanted: bool) -> Iterator[None]:
    """Keep every core from sleeping with a loop that gives way to everything else.

    A core of a virtual machine that sleeps takes tens of microseconds to wake, and every round trip pays for it.
    """
    spinners = []
    try:
        for _ in range(os.cpu_count() or 1 if wanted else 0):
            command = [sys.executable, "-c", _SPINNER.format(parent=os.getpid())]
            spinners.append(subprocess.Popen(command, start_new_session=True))
            prefer(spinners[-1].pid, _LEAST)
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def cpu_name() -> str:
    """Return what the processor calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
