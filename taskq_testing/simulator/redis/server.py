"""A Redis server in virtual time: its clients, who may wait, its restarts, and a history of what it did.

Each command takes effect at one instant. What the data and the commands are is fakeredis' to say (`fake`), what that means
for messages and limits the watchers'. What is on the way from or to a client is `wires`'.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from taskq.backends.redis.keys import GROUP
from taskq.options import QueueOptions
from taskq_testing.faults import Faults
from taskq_testing.history import History
from taskq_testing.loop import Domain, VirtualLoop
from taskq_testing.simulator.redis.commands import Command
from taskq_testing.simulator.redis.fake import FakeRedis, Snapshot, error_of
from taskq_testing.simulator.redis.limits import LimitWatcher
from taskq_testing.simulator.redis.mischief import disturb
from taskq_testing.simulator.redis.pictures import Place
from taskq_testing.simulator.redis.upset import writing_refused
from taskq_testing.simulator.redis.watcher import Watched, Watcher

__all__ = ["Session", "SimRedis"]

Reply = Callable[[Any], object]

_QUIET = frozenset({"acquire", "unlock", "take", "swap", "get", "set", "del", "xpending", "xrange", "zrange", "info"})
"""Operations that move no message, so that nobody has to look."""


class Session:
    """One client as the server sees it; ended when the server has seen its end."""

    __slots__ = ("number", "process", "waiting")

    def __init__(self, number: int, process: str) -> None:
        self.number = number
        self.process = process
        self.waiting: _Waiting | None = None


class _Waiting:
    """A read that waits for an entry."""

    __slots__ = ("command", "reply", "session", "timer")

    def __init__(self, session: Session, command: Command, reply: Reply) -> None:
        self.session = session
        self.command = command
        self.reply = reply
        self.timer: asyncio.TimerHandle | None = None


class _Saved:
    """What was on disk at one moment."""

    def __init__(self, at: int, data: Snapshot, here: dict[str, dict[Place, Watched]]) -> None:
        self.at = at
        self.data = data
        self.here = here


class SimRedis:
    """One server.

    Attributes:
        loop: whose time it goes by; its clock is right, whatever its clients believe.
        history: where it writes.
        faults: the faults of the run.
        queues: what is known of each queue.
        limits: what is known of locks and rates.
        down_until: it refuses connections before this moment (loop seconds).
        operations: by message the number of the producer's operation that adds it.
    """

    recovery = 20.0
    """Seconds for which its clients may still be waiting, or sleeping, after the last fault."""

    def __init__(self, loop: VirtualLoop, domain: Domain, history: History, faults: Faults) -> None:
        self.loop = loop
        self.history = history
        self.faults = faults
        self.queues: dict[str, Watcher] = {}
        self.limits = LimitWatcher(self)
        self.down_until = 0.0
        self.operations: dict[str, int] = {}
        self._domain = domain
        self._fake = FakeRedis()
        self._clients = 0
        self._waiting: list[_Waiting] = []
        self._emptied: asyncio.Future[None] | None = None
        self._saved: _Saved | None = None

    def queue(self, name: str, options: QueueOptions) -> None:
        """Watch a queue, and its limits."""
        self.queues[name] = Watcher(self, name, options)
        self.limits.add(name, options)

    # -- for the watchers

    def execute(self, *words: bytes) -> Any:
        """Carry out a command of nobody."""
        return self._fake.execute(words, self.loop.now)

    def record(self, kind: str, process: str, **fields: object) -> None:
        """Write down what happens now."""
        self.history.record(self.loop.now, kind, process=process, **fields)

    def now(self) -> int:
        """Return nanoseconds since the run began."""
        return self.loop.now

    def operation_of(self, message: str) -> int:
        """Return the number of the producer's operation that adds a message, or 0."""
        return self.operations.get(message, 0)

    # -- for the simulator

    @property
    def unfinished(self) -> int:
        """How many messages are neither done nor dead."""
        return sum(queue.unfinished for queue in self.queues.values())

    def when_empty(self) -> asyncio.Future[None]:
        """Return what is done once no message is unfinished."""
        if self._emptied is None or self._emptied.done():
            self._emptied = self.loop.create_future()
        self._tell_if_empty()
        return self._emptied

    def _tell_if_empty(self) -> None:
        if self._emptied is not None and not self._emptied.done() and not self.unfinished:
            self._emptied.set_result(None)

    # -- clients

    def open(self, process: str) -> Session:
        """Take a connection."""
        self._clients += 1
        return Session(self._clients, process)

    def close(self, session: Session) -> None:
        """See that a connection is closed: nobody waits there any more."""
        if session.waiting is not None:
            self._stop_waiting(session.waiting)

    def take(self, session: Session, command: Command, reply: Reply, *, spoiled: bool = False) -> None:
        """Carry a command out and answer it; one that waits later.

        Args:
            session: whose it is.
            command: what to do.
            reply: takes the answer, or the error that is one.
            spoiled: whether something else lies under the queue's keys just then, so that nothing can be added.
        """
        if command.operation == "client":
            reply(self._about_clients(session, command))
        elif command.operation == "reserve":
            self._read(session, command, reply)
        else:
            reply(self._carry_out(session, command, spoiled=spoiled))

    def _about_clients(self, session: Session, command: Command) -> Any:
        if command.args[0].upper() == b"ID":
            return session.number
        number = int(command.args[1])
        waiting = next((waiting for waiting in self._waiting if waiting.session.number == number), None)
        if waiting is None:
            return 0
        self._stop_waiting(waiting)
        waiting.reply(None)
        return 1

    def _carry_out(self, session: Session, command: Command, *, spoiled: bool = False) -> Any:
        with writing_refused(self, command) if spoiled and command.operation == "send" else contextlib.nullcontext():
            answer = self.execute(*command.words)
        if isinstance(answer, Exception):
            return answer
        self.limits.look(command, session.process, answer)
        watcher = self.queues.get(command.queue)
        if watcher is not None and command.operation == "size":
            counted = dict(zip(("ready", "delayed", "reserved", "dead"), answer, strict=True))
            self.record("size", session.process, queue=watcher.name, data=counted)
        elif watcher is not None and not _did_nothing(command, answer):
            news = watcher.look(command, session.process)
            self._tell_if_empty()
            if news or command.operation == "xgroup":
                self._serve()
        return answer

    # -- waiting

    def _read(self, session: Session, command: Command, reply: Reply) -> None:
        words = list(command.words)
        wait = 0
        if b"BLOCK" in words:
            index = words.index(b"BLOCK")
            wait = int(words[index + 1])
            del words[index : index + 2]
        once = command._replace(words=words)
        if command.queue in self.queues:
            disturb(self, self.queues[command.queue])
        answer = self._carry_out(session, once)
        if answer is None and wait:
            waiting = session.waiting = _Waiting(session, once, reply)
            self._waiting.append(waiting)
            waiting.timer = self.loop.call_later(wait / 1000, self._time_is_over, waiting, context=self._domain.context())
        else:
            reply(answer)

    def _time_is_over(self, waiting: _Waiting) -> None:
        self._stop_waiting(waiting)
        waiting.reply(None)

    def _stop_waiting(self, waiting: _Waiting) -> None:
        self._waiting.remove(waiting)
        waiting.session.waiting = None
        if waiting.timer is not None:
            waiting.timer.cancel()

    def _serve(self) -> None:
        """Answer who waits, the oldest first, as far as there is something."""
        for waiting in list(self._waiting):
            if waiting not in self._waiting:
                continue
            disturb(self, self.queues[waiting.command.queue])
            answer = self._carry_out(waiting.session, waiting.command)
            if answer is not None:
                self._stop_waiting(waiting)
                waiting.reply(answer)

    def _let_go(self, error: str) -> None:
        """Answer everybody who waits with an error."""
        for waiting in list(self._waiting):
            self._stop_waiting(waiting)
            waiting.reply(error_of(error))

    # -- failing

    def save(self) -> None:
        """Remember what is on disk now; `restart` with a rollback goes back to it."""
        here = {name: queue.dump() for name, queue in self.queues.items()}
        self._saved = _Saved(self.loop.now, self._fake.dump(self.loop.now), here)

    def restart(self, downtime: float, *, rollback: bool) -> None:
        """Refuse connections for a while, and know no script; with a rollback, forget what came after `save`."""
        self.down_until = self.loop.time() + downtime
        for waiting in list(self._waiting):
            self._stop_waiting(waiting)
        self._fake.forget_scripts(self.loop.now)
        if rollback and self._saved is not None:
            self._become(self._saved)

    def _become(self, saved: _Saved) -> None:
        self.record("rolled_back", "broker", due=saved.at)
        self._fake.load(saved.data, self.loop.now)
        for name, queue in self.queues.items():
            queue.load(saved.here.get(name, {}))
        self.limits.forget()
        self._tell_if_empty()

    def suffer(self, name: str, downtime: float) -> bool:
        """Restart, or run on and lose the scripts, the consumer groups, or everything; return whether connections break."""
        if name in ("broker_restart", "broker_rollback"):
            self.restart(downtime, rollback=name == "broker_rollback")
            return True
        if name == "scripts_lost":
            self._fake.forget_scripts(self.loop.now)
        elif name == "flushed":
            self._become(_Saved(0, {}, {}))
            self._let_go("UNBLOCKED the stream key no longer exists")
        else:
            self._lose_groups()
        return False

    def _lose_groups(self) -> None:
        self.record("rolled_back", "broker", due=self.loop.now)
        for queue in self.queues.values():
            self.execute(b"XGROUP", b"DESTROY", queue.keys.stream, GROUP)
            queue.load(queue.dump())
        self._let_go("NOGROUP No such key or consumer group in XREADGROUP with GROUP option")


def _did_nothing(command: Command, answer: Any) -> bool:
    """Return whether a command, by its own word, moved nothing; what it moved silently is seen after the next one."""
    operation = command.operation
    if operation in _QUIET:
        return True
    if operation == "promote":
        return bool(answer[0] == 0)
    return (operation == "reserve" and answer is None) or (operation == "recover" and answer == 0)
