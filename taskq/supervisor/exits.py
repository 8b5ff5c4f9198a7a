"""How programs end: their exit status, and the sentence that goes with it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from taskq.errors import TaskqError

__all__ = ["INTERRUPTED", "WRONG", "describe_exit", "exit_status", "shell_status"]

WRONG = 2
"""The exit status of what cannot work as it was asked for."""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells count it."""


def exit_status(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; an error of taskq's is one sentence on stderr, without a traceback."""
    try:
        status = command()
        sys.stdout.flush()
    except TaskqError as error:
        return _refuse(error)
    except BaseExceptionGroup as group:
        ours, others = group.split(TaskqError)
        if ours is None or others is not None:
            raise
        return _refuse(_first(ours))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read this has enough. What is left in the buffer must not fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return status


def _refuse(error: BaseException) -> int:
    print(f"taskq: {error}", file=sys.stderr)
    return WRONG


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def describe_exit(code: int) -> str:
    """Return how a process ended, in words; a negative code is the signal that ended it."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}" + (" (the system does that when memory runs out)" if -code == signal.SIGKILL else "")


def shell_status(code: int) -> int:
    """Return an exit status as shells count it: 128 + N for a process that signal N ended."""
    return code if code >= 0 else 128 - code
