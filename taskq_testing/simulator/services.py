"""Which services can be simulated, and the in-memory one."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from taskq.backends.base import Capabilities
from taskq.errors import ConfigError
from taskq_testing.faults import PLACES
from taskq_testing.simulator.broker import SimBroker
from taskq_testing.simulator.clients import NetworkBroker
from taskq_testing.simulator.network import Network
from taskq_testing.simulator.parts import Kind, Scene

__all__ = ["MemoryService", "service_of"]

_CAPABILITIES = Capabilities(dedup=True, resolution=1e-6, fifo=True, durable=False)


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
