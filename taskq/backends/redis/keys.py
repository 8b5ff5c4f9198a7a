"""Names of everything that one queue keeps in Redis. All but Go's own names share one hash tag, so one slot of a cluster.

Source: Go taskq v3, redisq/queue.go (stream, zset, group, scheduler lock); the rest is ours.
"""

from __future__ import annotations

__all__ = ["GROUP", "Keys"]

GROUP = b"taskq"


class Keys:
    """The keys of one queue.

    Attributes:
        stream: messages that are ready or reserved.
        delayed: those that are not due, by unix milliseconds.
        dead: dead letters.
        scheduler_lock: held by a Go process while it moves delayed messages; not in the queue's slot.
    """

    __slots__ = ("_prefix", "dead", "delayed", "scheduler_lock", "stream")

    def __init__(self, queue: str) -> None:
        name = queue.encode(errors="surrogateescape")
        self._prefix = b"taskq:{" + name + b"}:"
        self.stream = self._prefix + b"stream"
        self.delayed = self._prefix + b"zset"
        self.dead = self._prefix + b"dead"
        self.scheduler_lock = b"taskq:" + name + b":scheduler-lock:delayed"

    def sender(self, lane: bytes) -> bytes:
        """Return where the last trip of one sender is remembered."""
        return self._prefix + b"sender:" + lane

    def once(self, key: bytes) -> bytes:
        """Return where a dedup key of ours is taken; Go's (`tq:` and 16 bytes) lie where Go puts them."""
        return key if key.startswith(b"tq:") else self._prefix + b"once:" + key
