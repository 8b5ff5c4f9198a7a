"""What may happen to the message that is next before it is given out: it goes to the end, is copied, damaged, or is no message.

A Redis stream does none of that by itself; other programs that write to it do, and so they do it here, with plain commands.
"""

from __future__ import annotations

from typing import Any, Protocol

from taskq_testing.faults import Faults
from taskq_testing.simulator.redis.watcher import Watched, Watcher

__all__ = ["disturb"]


class Server(Protocol):
    """Where it happens."""

    faults: Faults

    def execute(self, *words: bytes) -> Any:
        """Carry out a command of nobody."""

    def record(self, kind: str, process: str, **fields: object) -> None:
        """Write an event."""


def disturb(server: Server, queue: Watcher) -> None:
    """Let a fault hit the message that is next."""
    entry = queue.next_ready()
    if entry is None:
        return
    watched = queue.watched(entry)
    fault = server.faults.at("delivery", f"{watched.message}/{watched.copy}#{queue.deliveries(entry)}")
    if fault is None or (fault.name == "corrupt" and queue.body(entry) is None):
        return
    if fault.name == "duplicate":
        _copy(server, queue, entry, watched)
    elif fault.name == "foreign":
        _add_a_stranger(server, queue)
    else:
        _replace(server, queue, entry, damaged=fault.name == "corrupt")
    server.faults.fired[fault.name] += 1
    server.record("fault", "broker", queue=queue.name, message=watched.message, copy=watched.copy, outcome=fault.name)


def _add(server: Server, queue: Watcher, fields: list[bytes]) -> bytes:
    entry: bytes = server.execute(b"XADD", queue.keys.stream, b"*", *fields)
    return entry


def _copy(server: Server, queue: Watcher, entry: bytes, watched: Watched) -> None:
    copy = queue.next_copy(watched)
    server.record("cloned", "broker", queue=queue.name, message=copy.message, copy=copy.copy)
    if queue.is_damaged(watched):
        server.record("corrupted", "broker", queue=queue.name, message=copy.message, copy=copy.copy)
    queue.put(_add(server, queue, list(queue.picture.stream[entry])), copy)


def _add_a_stranger(server: Server, queue: Watcher) -> None:
    entry = _add(server, queue, [b"hello", b"world"])
    stranger = Watched(f"entry {entry.decode()}")
    queue.put(entry, stranger)
    queue.damage(stranger)
    server.record("stored", "broker", queue=queue.name, message=stranger.message)
    server.record("corrupted", "broker", queue=queue.name, message=stranger.message)


def _replace(server: Server, queue: Watcher, entry: bytes, *, damaged: bool) -> None:
    watched, fields = queue.watched(entry), list(queue.picture.stream[entry])
    if damaged:
        body = queue.body(entry) or b""
        fields = [body[: len(body) // 2] if word == body else word for word in fields]
        queue.damage(watched)
        server.record("corrupted", "broker", queue=queue.name, message=watched.message, copy=watched.copy)
    server.execute(b"XDEL", queue.keys.stream, entry)
    queue.put(_add(server, queue, fields), watched, instead_of=entry)
