"""A child process that ends with us. Starting, signalling and ending only; what runs in it is the caller's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

__all__ = ["Child", "ServiceError"]

_GUARD = """
read -r released && exit
session=$1 directory=$2
members() {
    for file in /proc/[0-9]*/stat; do
        read -r line <"$file" || continue
        pid=${line%% *}
        set -- ${line##*) }
        [ "$4" = "$session" ] && [ "$1" != Z ] && echo "$pid"
    done
}
kill -9 "-$session"
while pids=$(members); [ -n "$pids" ]; do kill -9 $pids; sleep 0.05; done
[ -n "$directory" ] && sleep 0.2 && rm -rf -- "$directory"
"""
"""Waits for a line, or for the end of the process that could write it.

Preferred to PR_SET_PDEATHSIG, which Linux alone has, and which fires when the *thread* that started the child ends; and to
`atexit`, which a kill -9 of the test run skips.
"""


class ServiceError(RuntimeError):
    """A service did not start, or is not in the state that was asked of it."""


class Child:
    """A process in a session of its own; a guard kills the session and removes its directory if this process dies first.

    The session is all that the process has started, in whatever groups, but for daemons that leave it on purpose (without
    `/proc` it is the first group only). A terminal's Ctrl-C does not reach it, so that a test run that is interrupted ends its
    servers in its own order.

    Args:
        argv: the program and its arguments.
        env: the whole environment of the program; None for ours.
        cwd: its working directory.
        output: where its standard output and standard error go.
        directory: what the guard removes, if it is to act.
    """

    def __init__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        output: int | IO[Any],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        directory: Path | None = None,
    ) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the caller's program
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd, start_new_session=True
        )
        try:
            self._guard = subprocess.Popen(  # noqa: S603 - a script of ours
                ["/bin/sh", "-c", _GUARD, "guard", str(self.pid), str(directory or "")],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,  # or a pipe that is read to its end would have to wait for the guard
                stderr=subprocess.DEVNULL,
                process_group=0,
                cwd="/",
            )
        except BaseException:
            self._kill_session()
            raise

    @property
    def pid(self) -> int:
        """The process id, which is the id of the session too."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended; one that is stopped by SIGSTOP has not."""
        return self._process.poll() is None

    @property
    def stdout(self) -> IO[bytes] | None:
        """The process's output, if it goes to a pipe."""
        return self._process.stdout

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, but not to its children; nothing happens if it has ended."""
        self._process.send_signal(number)

    def pause(self) -> None:
        """Freeze the process, but not its children; it is frozen when this returns."""
        self.signal(signal.SIGSTOP)
        if self.running:
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a frozen process go on."""
        self.signal(signal.SIGCONT)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status, which is minus the signal's number for one that was killed.

        Raises:
            subprocess.TimeoutExpired: it did not end within `timeout` seconds.
        """
        return self._process.wait(timeout)

    def end(self) -> None:
        """Kill what is left of the session, and release the guard; the directory is left to the caller."""
        self._kill_session()
        if self._guard.poll() is None:
            self._guard.communicate(b"released\n")

    def _kill_session(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says so of one that has ended
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        while members := _members(self.pid):
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _members(session: int) -> list[int]:
    """Return the processes of a session that live."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, _, _, its_session, *_ = file.read_text(errors="replace").rpartition(")")[2].split()
            if state != "Z" and int(its_session) == session:
                found.append(int(file.parent.name))
    return found
