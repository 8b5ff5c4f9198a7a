"""The Redis that TASKQ_TEST_REDIS_URL names: a server, a cluster, a service somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taskq.backends.base import Clock
from taskq_conformance.profile import Connect, of_url
from taskq_conformance.targets.servers import redis_profile, variable

__all__ = ["env_redis"]


@contextmanager
def _service(_: Clock) -> Iterator[Connect]:
    yield of_url(variable("TASKQ_TEST_REDIS_URL"))


env_redis = redis_profile("env_redis", _service, "the Redis that TASKQ_TEST_REDIS_URL names")
