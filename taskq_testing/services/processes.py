"""Programs as processes, for tests that kill them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from taskq_testing.services.child import Child, ServiceError

__all__ = ["Processes", "WorkerProcess"]

_PATIENCE = 120.0
"""Seconds that a wait may take by default: enough for a machine that is busy with other tests."""

_POLL = 0.002


class WorkerProcess:
    """One program that runs, or ran. `Processes` makes them.

    Attributes:
        pid: its process id.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None) -> None:
        self._name = " ".join(argv)
        self._directory = Path(tempfile.mkdtemp(prefix="taskq-process-"))
        self._file = self._directory / "output"
        with self._file.open("wb") as output:
            self._child = Child(argv, env=env, cwd=cwd, output=output, directory=self._directory)
        self.pid = self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended; a paused one has not."""
        return self._child.running

    @property
    def output(self) -> str:
        """What it and its children have written so far, to standard output and standard error."""
        return self._file.read_text(errors="replace")

    def wait_for(self, pattern: str, *, times: int = 1, timeout: float = _PATIENCE) -> re.Match[str]:
        """Wait until the output matches a regular expression so often, and return the last match.

        Raises:
            ServiceError: it ends before, or does not come to it in time; the end of the output is in the text.
        """
        deadline = time.monotonic() + timeout
        while True:
            over = not self.running or time.monotonic() > deadline  # asked first: the output is whole then
            matches = list(re.finditer(pattern, self.output, re.MULTILINE))
            if len(matches) >= times:
                return matches[times - 1]
            if over:
                raise self._failure(f"wrote {pattern!r} {len(matches)} of {times} times")
            time.sleep(_POLL)

    def kill(self, *, children: bool = False) -> None:
        """End it with SIGKILL, and with `children` all that it has started; it has ended when this returns."""
        if children:
            self._child.end()
        else:
            self._child.signal(signal.SIGKILL)
        self._child.wait()

    def terminate(self) -> None:
        """Send SIGTERM; `wait` for the end. Sent again it is the second one."""
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it has ended."""
        self._child.signal(number)

    def pause(self) -> None:
        """Freeze it with SIGSTOP, but not its children; it is frozen when this returns."""
        self._child.pause()

    def resume(self) -> None:
        """Let it go on."""
        self._child.resume()

    def wait(self, timeout: float = _PATIENCE) -> int:
        """Wait for the end and return the exit status, which is minus the signal's number for one that was killed.

        Raises:
            ServiceError: it goes on after `timeout` seconds; the end of the output is in the text.
        """
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self._failure(f"has not ended in {timeout:g} s") from None

    def close(self) -> None:
        """Kill what is left of it and its children, and forget its output."""
        self._child.end()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _failure(self, what: str) -> ServiceError:
        state = "still runs" if self.running else f"ended with status {self._child.wait()}"
        end = "\n".join(self.output.strip().splitlines()[-20:]) or "(nothing)"
        return ServiceError(f"process {self.pid} ({self._name}) {what} and {state}; its output ends:\n{end}")


class Processes:
    """Starts programs, and leaves none behind: neither after the `with` block, nor when the test run itself is killed.

    Args:
        env: variables that all of them have, besides ours.
        cwd: their working directory, from where `taskq worker` imports modules too.
    """

    def __init__(self, *, env: Mapping[str, str] | None = None, cwd: str | os.PathLike[str] | None = None) -> None:
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._cwd = None if cwd is None else Path(cwd)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def start(self, *argv: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> WorkerProcess:
        """Start a program.

        Args:
            argv: the program and its arguments.
            env: more variables.
        """
        process = WorkerProcess([os.fspath(word) for word in argv], env={**self._env, **(env or {})}, cwd=self._cwd)
        self._stack.callback(process.close)
        return process

    def python(self, *arguments: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> WorkerProcess:
        """Start this Python with arguments, such as a script or `-m` and a module."""
        return self.start(sys.executable, *arguments, env=env)

    def worker(self, app: str, *options: str, env: Mapping[str, str] | None = None) -> WorkerProcess:
        """Start `taskq worker` and wait until it consumes.

        Args:
            app: where the App is, as "module:attribute".
            options: more of the command line, such as "--queues" and "mail".
            env: more variables.

        Raises:
            ServiceError: it does not begin to consume; the end of its output is in the text.
        """
        process = self.python("-m", "taskq", "worker", app, *options, env=env)
        process.wait_for(r"worker \d+ consumes")
        return process
