"""Which services can be simulated, and the in-memory one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from taskq.backends.base import Broker, Capabilities, Clock
from taskq.errors import ConfigError
from taskq_testing.clock import VirtualClock
from taskq_testing.faults import PLACES, Faults, Places
from taskq_testing.history import History
from taskq_testing.loop import Domain, VirtualLoop
from taskq_testing.simulator.broker import SimBroker
from taskq_testing.simulator.clients import NetworkBroker
from taskq_testing.simulator.network import Network
from taskq_testing.simulator.parts import SimulatedNetwork

__all__ = ["Kind", "MemoryService", "Scene", "service_of"]

_CAPABILITIES = Capabilities(dedup=True, resolution=1e-6, fifo=True, durable=False)


class Scene(Protocol):
    """What a service is made in; the simulator.

    Attributes:
        loop: its time.
        history: where it writes.
        faults: what may go wrong.
        patience: seconds after which a client gives up, and for which a broker that restarts is away.
        clock_of_all: shows each process its own time.
    """

    loop: VirtualLoop
    history: History
    faults: Faults
    patience: float

    @property
    def clock_of_all(self) -> Clock:
        """Show each process its own time."""

    def clock(self, process: str) -> VirtualClock:
        """Return the clock of a process."""

    def domain(self, process: str) -> Domain:
        """Return a new domain for a process that begins."""


class Service(Protocol):
    """A broker, the way to it, and the app's end of that way; made anew for each run."""

    @property
    def network(self) -> SimulatedNetwork:
        """The way to its broker."""

    @property
    def clients(self) -> Broker:
        """What the app is bound to."""

    @property
    def capabilities(self) -> Capabilities:
        """What its queues promise in this run."""


class Kind(Protocol):
    """Makes services."""

    @property
    def places(self) -> Places:
        """Where its faults happen."""

    def __call__(self, scene: Scene) -> Service:
        """Make the service of one run."""


class MemoryService:
    """The in-memory backend as a broker of its own, behind a network that fails."""

    places = PLACES

    def __init__(self, scene: Scene) -> None:
        broker = SimBroker(scene.loop, scene.clock("broker"), scene.history, scene.faults)
        self.network = Network(broker, scene.domain("broker"), scene.patience)
        self.capabilities = msgspec.structs.replace(_CAPABILITIES, fifo="reorder" not in scene.faults.on)
        self.clients = NetworkBroker(self.network, self.capabilities)


def _redis() -> Kind:
    try:
        from taskq_testing.simulator.redis import RedisService  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            f"simulating Redis needs redis-py and fakeredis ({error}); install taskq[redis] and fakeredis[lua]"
        ) from None
    return RedisService


_KINDS: dict[str, Callable[[], Kind]] = {"memory": lambda: MemoryService, "redis": _redis}


def service_of(backend: str) -> Kind:
    """Return what makes the service that a backend talks to.

    Raises:
        ConfigError: it cannot be simulated, or what simulates it is not installed.
    """
    if backend not in _KINDS:
        raise ConfigError(f"there is no simulated backend {backend!r}; there are: {', '.join(_KINDS)}")
    return _KINDS[backend]()
