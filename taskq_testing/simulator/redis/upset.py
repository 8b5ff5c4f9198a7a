"""How a server says that it will not do something now, in the words that servers use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from taskq_testing.faults import Fault
from taskq_testing.simulator.redis.commands import Command
from taskq_testing.simulator.redis.fake import error_of

__all__ = ["refusal", "writing_refused"]

_STORAGE = (
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "OOM command not allowed when used memory > 'maxmemory'.",
)
_REFUSED = (
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
)
_READERS = frozenset({"size", "take", "xpending", "xrange", "info", "client", "get"})
"""Operations that write nothing, which a full disk or memory does not stop."""


class Server(Protocol):
    """Whose keys are in the way for a while."""

    def execute(self, *words: bytes) -> Any:
        """Carry out a command of nobody."""


def refusal(fault: Fault | None, command: Command) -> Exception | None:
    """Return the error with which a server refuses a command whole, if this fault means one."""
    if fault is None:
        return None
    if fault.name == "storage_error" and fault.variant < len(_STORAGE) and command.operation not in _READERS:
        return error_of(_STORAGE[fault.variant])
    if fault.name == "refused":
        return error_of(_REFUSED[fault.variant])
    return None


@contextlib.contextmanager
def writing_refused(server: Server, command: Command) -> Iterator[None]:
    """Have the server refuse what a send adds, each by itself: another program has put something else under the queue's keys."""
    kept = [key for key in command.keys[:2] if server.execute(b"EXISTS", key)]
    for key in kept:
        server.execute(b"RENAME", key, key + b":kept")
    for key in command.keys[:2]:
        server.execute(b"SET", key, b"something else")
    try:
        yield
    finally:
        for key in command.keys[:2]:
            server.execute(b"DEL", key)
        for key in kept:
            server.execute(b"RENAME", key + b":kept", key)
