"""The connections between the processes of a run and its Redis server, as TCP has them, and what happens to them.

Bytes of one connection arrive in their order or not at all. A cut holds them back, for the kernel sends them again, even
those of a process that is dead. A connection that breaks in silence is noticed by whoever waits too long; one that is reset,
at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from taskq_testing.faults import Fault, Faults
from taskq_testing.history import History
from taskq_testing.loop import Domain, VirtualLoop, current_domain
from taskq_testing.simulator.network import TEST
from taskq_testing.simulator.redis.commands import CHORES, Command
from taskq_testing.simulator.redis.server import Session, SimRedis
from taskq_testing.simulator.redis.upset import refusal

__all__ = ["Line", "Wire", "Wires"]


_SILENCE = 3.0
"""Seconds for which a process may wait on a connection that broke in silence (`links`: two, and one more for a reserve)."""


class Line:
    """The way between one process and the server.

    Attributes:
        process: its name.
        exposed: whether faults may hit it.
        requests_cut: what it sends is held back until this moment (loop seconds).
        replies_cut: what it is sent is held back until this moment.
        crash: kills the process; given where it can be killed.
        wires: its connections, the oldest first.
    """

    __slots__ = ("crash", "exposed", "held", "process", "replies_cut", "requests_cut", "wires")

    def __init__(self, process: str, *, exposed: bool) -> None:
        self.process = process
        self.exposed = exposed
        self.requests_cut = 0.0
        self.replies_cut = 0.0
        self.crash: Callable[[Fault], None] | None = None
        self.wires: dict[Wire, None] = {}
        self.held: deque[Callable[[], object]] = deque()


class Wire:
    """One connection.

    Attributes:
        line: whose it is.
        session: the server's end, once it was taken.
        inbox: what has arrived at the client and was not read.
        on_news: told when something is in the inbox.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.session: Session | None = None
        self.inbox: deque[Any] = deque()
        self.on_news: Callable[[], object] = _nobody
        self.silent = False  # nothing arrives any more, at either end, and neither knows
        self.closed = False  # by the client
        self.under_way = 0  # requests that have not arrived

    def receive(self, answer: Any) -> None:
        """Take what arrives at the client."""
        if not self.closed and not self.silent:
            self.inbox.append(answer)
            self.on_news()

    def reset(self) -> None:
        """Break: the client is told after what has arrived before."""
        self.silent = False
        self.receive(RedisConnectionError("Connection reset by peer"))
        self.silent = True


class _Request:
    """One command on its way."""

    __slots__ = ("command", "fault", "wire")

    def __init__(self, wire: Wire, command: Command, fault: Fault | None) -> None:
        self.wire = wire
        self.command = command
        self.fault = fault

    def meets(self, name: str, *variants: int) -> bool:
        """Return whether it meets this fault, in one of these variants."""
        return self.fault is not None and self.fault.name == name and (not variants or self.fault.variant in variants)


class Wires:
    """All connections of one run; does for the simulator what `Network` does for the in-memory broker.

    Args:
        server: the server behind them.
        domain: where the server's own code runs.
        patience: seconds for which the server is away when it restarts.
    """

    def __init__(self, server: SimRedis, domain: Domain, patience: float) -> None:
        self.broker = server
        self.loop: VirtualLoop = server.loop
        self.history: History = server.history
        self.faults: Faults = server.faults
        self.patience = patience
        self.links: dict[str, Line] = {}
        self.operations = 0
        self._domain = domain
        self._lines: list[Line] = []
        self._numbers = 0

    # -- processes

    def connect(self, process: str, *, exposed: bool = True) -> Line:
        """Make a new line for a process that begins."""
        line = self.links[process] = Line(process, exposed=exposed)
        self._lines.append(line)
        return line

    def disconnect(self, process: str, *, noticed: bool) -> None:
        """End the line of a process that died; if it is noticed, its connections are closed, else the server believes in them."""
        line = self.links.pop(process)
        line.crash = None
        for wire in list(line.wires) if noticed else ():
            self.close(wire)

    def link(self) -> Line:
        """Return the line of the process that runs now."""
        domain = current_domain()
        name = domain.name if domain is not None else TEST
        line = self.links.get(name)
        return line if line is not None else self.connect(name, exposed=False)

    def next_number(self) -> int:
        """Return the number of the next connection."""
        self._numbers += 1
        return self._numbers

    def record(self, kind: str, process: str, **fields: object) -> None:
        """Write down what a process sees."""
        self.history.record(self.loop.now, kind, process=process, **fields)

    def later(self, seconds: float, callback: Callable[..., object], *args: object) -> None:
        """Call something of the world, not of a process, after a while."""
        self.loop.call_later(seconds, callback, *args, context=self._domain.context())

    def break_all(self) -> None:
        """Break every connection; whoever can be reached is told."""
        for line in self.links.values():
            for wire in list(line.wires):
                wire.reset()

    def heal(self) -> None:
        """Let everything through, and have everybody see which connections are broken."""
        for line in self._lines:
            line.requests_cut = line.replies_cut = 0.0
            self._let_through(line)
            for wire in list(line.wires):
                if wire.silent:
                    wire.reset()

    # -- a command

    def send(self, wire: Wire, command: Command) -> None:
        """Send a command off; what comes back is put into the wire's inbox."""
        line = wire.line
        fault = self._fault(line, command)
        if fault is not None and fault.name == "crash" and line.crash is None:
            fault = None
        request = _Request(wire, command, fault)
        if fault is not None:
            self._happens(request, fault)
        wire.under_way += 1
        if request.meets("crash", 0):
            return
        if request.meets("slow_network", 0, 2):
            assert fault is not None
            self.later(fault.seconds, self._arrive, request)
        else:
            self._domain.call_soon(self._arrive, request)

    def _fault(self, line: Line, command: Command) -> Fault | None:
        if not line.exposed:
            return None
        place = "chores" if command.operation in CHORES else "network"
        return self.faults.at(place, f"{line.process} {command.operation} {self._subject(command)}")

    def _subject(self, command: Command) -> str:
        """Return the message that a command is about, as far as one is known."""
        queue = self.broker.queues.get(command.queue)
        return queue.subject(command) if queue is not None else ""

    def _happens(self, request: _Request, fault: Fault) -> None:
        line, name = request.wire.line, fault.name
        self.faults.fired[name] += 1
        subject = self._subject(request.command)
        operation = request.command.operation
        delay = max(fault.seconds, _SILENCE) if name in ("lost_request", "lost_reply") else fault.seconds
        self.record("fault", line.process, outcome=name, message=subject, delay=delay, reason=operation)
        until = self.loop.time() + fault.seconds
        if name == "partition":
            line.requests_cut = until if fault.variant != 2 else line.requests_cut
            line.replies_cut = until if fault.variant != 1 else line.replies_cut
            self.record("cut", line.process, outcome=("both", "requests", "replies")[fault.variant], delay=fault.seconds)
            self.later(fault.seconds, self._mended, line)
        elif name == "crash" and fault.variant < 2 and line.crash is not None:
            # Not now, in the middle of a step of the victim, but before its next one.
            self._domain.call_soon(line.crash, fault)

    def _mended(self, line: Line) -> None:
        if max(line.requests_cut, line.replies_cut) <= self.loop.time():
            self.record("mended", line.process)
        self._let_through(line)

    def _let_through(self, line: Line) -> None:
        held, line.held = line.held, deque()
        for arrive in held:
            self._domain.call_soon(arrive)

    def _arrive(self, request: _Request) -> None:
        wire, now = request.wire, self.loop.time()
        if now < wire.line.requests_cut:
            wire.line.held.append(partial(self._arrive, request))
            return
        wire.under_way -= 1
        if wire.silent:
            return
        if request.meets("lost_request"):
            wire.silent = True
        elif now < self.broker.down_until or request.meets("reset", 0):
            wire.reset()
        else:
            self._carry_out(request, partial(self._reply, request))
        if wire.closed:
            self._close(wire)

    def _carry_out(self, request: _Request, reply: Callable[[Any], object]) -> None:
        wire, command = request.wire, request.command
        if command.operation == "connect":
            wire.session = self.broker.open(wire.line.process)
            reply(wire.session)
            return
        assert wire.session is not None
        refused = refusal(request.fault, command)
        if refused is not None:
            reply(refused)
            return
        self.broker.take(wire.session, command, reply, spoiled=request.meets("storage_error", 2))

    def _reply(self, request: _Request, answer: Any) -> None:
        fault = request.fault
        if request.meets("lost_reply"):
            request.wire.silent = True
        elif request.meets("reset", 1, 2):
            request.wire.reset()
        elif request.meets("slow_network", 1, 2):
            assert fault is not None
            self.later(fault.seconds, self._deliver, request, answer)
        else:
            self._deliver(request, answer)

    def _deliver(self, request: _Request, answer: Any) -> None:
        line = request.wire.line
        if self.loop.time() < line.replies_cut:
            line.held.append(partial(self._deliver, request, answer))
            return
        if request.meets("crash", 2) and line.crash is not None:
            assert request.fault is not None
            line.crash(request.fault)
        request.wire.receive(answer)

    # -- at one instant

    def carry(self, wire: Wire, command: Command) -> Any:
        """Carry a command to the server and back while time stands still; of the faults it meets those that take no time.

        Raises:
            redis.exceptions.ConnectionError: the connection broke; the command may have taken effect or not.
            redis.exceptions.TimeoutError: the same; no answer came.
        """
        line, now = wire.line, self.loop.time()
        request = _Request(wire, command, self._fault(line, command))
        if request.meets("crash") or request.meets("slow_network") or request.meets("partition"):
            request.fault = None
        if request.fault is not None:
            self._happens(request, request.fault)
        if now < line.requests_cut or request.meets("lost_request"):
            raise RedisTimeoutError("Timeout reading from socket")
        if now < self.broker.down_until or request.meets("reset", 0):
            raise RedisConnectionError("Connection refused")
        answers: list[Any] = []
        self._carry_out(request, answers.append)
        if now < line.replies_cut or request.meets("lost_reply"):
            raise RedisTimeoutError("Timeout reading from socket")
        if request.meets("reset"):
            raise RedisConnectionError("Connection reset by peer")
        return answers[0]

    # -- ends

    def close(self, wire: Wire) -> None:
        """Close a connection from the client's end; the server sees that after what is under way, if it can."""
        wire.closed = True
        if not wire.under_way:
            self._domain.call_soon(self._close, wire)

    def _close(self, wire: Wire) -> None:
        if self.loop.time() < wire.line.requests_cut:
            wire.line.held.append(partial(self._close, wire))
            return
        wire.line.wires.pop(wire, None)
        if wire.session is not None and not wire.silent:
            self.broker.close(wire.session)


def _nobody() -> None:
    """Stand in until somebody reads."""
