"""The in-memory backend. All processes of a scenario share one broker, for nothing else could be shared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taskq.backends.base import Clock
from taskq.backends.memory import MemoryBroker
from taskq_conformance.capabilities import Capabilities, Unsupported
from taskq_conformance.profile import Connect, Profile

__all__ = ["memory"]


@contextmanager
def _service(clock: Clock) -> Iterator[Connect]:
    broker = MemoryBroker(clock)
    yield lambda _: broker


memory = Profile(
    name="memory",
    service=_service,
    capabilities=Capabilities(
        repeated_sends=Unsupported("a send cannot lose its answer inside of one process, so ids are not compared"),
        durable=Unsupported("messages live as long as their broker"),
    ),
    late=1e-6,
    about="the in-memory backend, in virtual time",
)
