"""The production Redis adapter on fakeredis, with what differs there from a real server put right, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from taskq.backends.base import Clock
from taskq.options import QueueOptions
from taskq_conformance.capabilities import Capabilities, Max, Unsupported
from taskq_conformance.profile import Connect, Profile, Unavailable
from taskq_conformance.targets import ADAPTERS
from taskq_testing.clock import VirtualClock
from taskq_testing.faults import PLACES, Faults
from taskq_testing.history import History
from taskq_testing.tape import Quiet, Tape

__all__ = ["CLAIMS", "fakeredis"]

CLAIMS = Capabilities(
    batch=Max(1000.0),
    repeated_sends=Unsupported("a lost answer is made good inside of one send; the ids of two sends are not compared"),
)
"""What Redis does."""


@contextmanager
def _service(clock: Clock) -> Iterator[Connect]:
    try:
        from taskq.backends.redis import RedisBroker  # noqa: PLC0415 - an extra
        from taskq_testing.simulator.redis.connections import connector_of, links_of  # noqa: PLC0415 - the same
        from taskq_testing.simulator.redis.server import SimRedis  # noqa: PLC0415 - the same
        from taskq_testing.simulator.redis.wires import Wires  # noqa: PLC0415 - the same
    except ImportError as error:
        raise Unavailable(
            f"redis-py or fakeredis is not installed ({error}); `pip install taskq[redis] fakeredis[lua]`"
        ) from None
    assert isinstance(clock, VirtualClock)
    loop = clock.loop
    domain = loop.domain("server")
    server = SimRedis(loop, domain, History(), Faults(Tape(0, Quiet()), (), (), PLACES))
    wires = Wires(server, domain, 1.0)

    class Connected(RedisBroker):
        """A broker whose queues the server knows of, for it wakes those who wait by queue."""

        def queue(self, name: str, options: QueueOptions) -> Any:
            if name not in server.queues:
                server.queue(name, options)
            return super().queue(name, options)

    def connect(own: Clock) -> RedisBroker:
        assert isinstance(own, VirtualClock)
        return Connected(connector_of(wires, wires.connect(own.name, exposed=False)), own, links_of(wires))

    try:
        yield connect
    finally:
        domain.kill()


def _versions() -> Mapping[str, str]:
    return {name: version(name) for name in ("fakeredis", "redis")}


fakeredis = Profile(
    name="fakeredis",
    service=_service,
    capabilities=CLAIMS,
    late=0.51,
    about="the Redis backend on fakeredis, in virtual time",
    versions=_versions,
    brief=ADAPTERS,
)
