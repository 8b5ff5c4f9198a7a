"""Three servers that share the slots between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from taskq_conformance.targets.servers import redis_profile, started

__all__ = ["cluster"]


@contextmanager
def _server() -> Iterator[Any]:
    from taskq_testing.services import redis_cluster  # noqa: PLC0415 - it needs redis-py

    with redis_cluster() as servers:
        yield servers


cluster = dataclasses.replace(
    redis_profile("cluster", started(_server), "the Redis backend on a real cluster of three nodes"),
    width=16,  # each process has connections to each node
)
