"""What a proxy was told to do to its connections. Values and counters; the pipes carry it out."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

from taskq_testing.services.child import ServiceError
from taskq_testing.services.resp import error_command

__all__ = ["Conditions", "Fault", "Kind", "Side"]

Side = Literal["server", "client"]
"""Where bytes go to: requests go to the server, answers to the client."""

Kind = Literal["cut", "swallow", "hold", "error"]


class Fault:
    """One thing that a proxy was told to do; says whether it has happened yet.

    Attributes:
        fired: to how many connections, or commands, it happens or has happened: whoever notices it finds it counted.
    """

    def __init__(self, kind: Kind, to: Side, *, after: int = 0, times: int | None = None) -> None:
        if after < 0 or (times is not None and times < 1):
            raise ValueError(f"after={after}, times={times}: give a number of bytes from 0, and a number of times from 1 or None")
        self.kind, self.to, self.after = kind, to, after
        self.fired = 0
        self.text = ""
        self.matching = b""
        self._times = times
        self._done = 0
        self._base: dict[object, int] = {}
        self._changed = threading.Condition()

    def wait(self, times: int = 1, timeout: float = 60.0) -> None:
        """Wait until it has happened so often, and its effect is there; in a coroutine, `await asyncio.to_thread(fault.wait)`.

        Raises:
            ServiceError: it has not within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._done >= times, timeout):
                told = f"{self.kind} to the {self.to}"
                raise ServiceError(f"the fault ({told}) happened {self._done} of {times} times in {timeout:g} s; did bytes pass?")

    # -- for the pipes, in the proxy's thread

    @property
    def armed(self) -> bool:
        """Whether it is still to happen."""
        return self._times is None or self.fired < self._times

    def take(self) -> None:
        """Decide that it happens now, so that it does not happen to another connection meanwhile."""
        self.fired += 1

    def done(self) -> None:
        """Note that it has happened."""
        with self._changed:
            self._done += 1
            self._changed.notify_all()

    def count_from(self, pipe: object, passed: int) -> None:
        """Count the bytes of a connection that exists from here on."""
        self._base[pipe] = passed

    def room(self, pipe: object, passed: int) -> int:
        """Return how many more bytes may pass before it happens."""
        return max(self.after - (passed - self._base.get(pipe, 0)), 0)


@dataclass(kw_only=True)
class Conditions:
    """How the network is now, and what has passed it.

    Attributes:
        passed: bytes, by where they went to.
        delay: seconds that each piece waits, by where it goes to.
        rate: bytes a second, by where they go to; None for no limit.
        faults: what is to happen, in the order in which it was told.
    """

    passed: dict[Side, int] = field(default_factory=lambda: {"server": 0, "client": 0})
    delay: dict[Side, float] = field(default_factory=lambda: {"server": 0.0, "client": 0.0})
    rate: dict[Side, float | None] = field(default_factory=lambda: {"server": None, "client": None})
    faults: list[Fault] = field(default_factory=list)

    def next_for(self, to: Side, pipe: object, passed: int) -> tuple[Fault | None, int]:
        """Return the first fault that bytes to this side will meet, and how many of them pass before."""
        near = [
            (fault.room(pipe, passed), fault) for fault in self.faults if fault.armed and fault.kind != "error" and fault.to == to
        ]
        room, fault = min(near, key=lambda pair: pair[0], default=(0, None))
        return fault, room

    def heal(self) -> None:
        """Forget all that was told."""
        self.faults.clear()
        self.delay = dict.fromkeys(self.delay, 0.0)
        self.rate = dict.fromkeys(self.rate)

    @property
    def injects(self) -> bool:
        """Whether commands are to be answered with errors."""
        return any(fault.kind == "error" and fault.armed for fault in self.faults)

    def replace(self, command: bytes) -> bytes:
        """Return what the server gets instead of a command: something that it answers with an error, or the command."""
        for fault in self.faults:
            if fault.kind == "error" and fault.armed and fault.matching in command:
                fault.take()
                fault.done()
                return error_command(fault.text)
        return command
