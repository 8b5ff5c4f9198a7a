"""The dedup names and keys of Go taskq v3, for queues that share them with Go. Bytes only."""

from __future__ import annotations

from taskq.wire.farmhash import hash64, hash64_with_seed

__all__ = ["go_dedup_key", "once_delayed_name", "once_in_name"]

_WRAP = 0xFFFFFFFFFFFFFFFF


def go_dedup_key(queue: str, task: str, name: bytes | str) -> bytes:
    """Return the 19 bytes under which Go remembers a name (it joins the parts without separators: F36)."""
    scope = queue.encode(errors="surrogateescape") + task.encode(errors="surrogateescape")
    raw = name if isinstance(name, bytes) else name.encode(errors="surrogateescape")
    return b"tq:" + hash64(raw).to_bytes(8, "big") + hash64_with_seed(scope + raw, hash64(scope)).to_bytes(8, "big")


def once_in_name(values: bytes, period: float, now: float) -> bytes:
    """Return the name of a message once in a period.

    Args:
        values: msgpack of the arguments, or of the key.
        period: seconds; 0 gives the name without a period, as in Go.
        now: unix seconds.
    """
    period_ns = round(period * 1e9)
    if not period_ns:
        return values
    window = int(now * 1e9) // period_ns
    return values + (period_ns & _WRAP).to_bytes(8, "little") + (window & _WRAP).to_bytes(8, "little")


def once_delayed_name(values: bytes) -> bytes:
    """Return the name of a message once with a delay: msgpack of its arguments, alone."""
    return values
