"""A simulated Redis, and an app whose processes use it: what one run is made with."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from taskq.backends.redis.queue import BlockingRedisBackend
from taskq_testing.faults import PLACES, Places
from taskq_testing.simulator.parts import Scene
from taskq_testing.simulator.redis.clients import RedisClients
from taskq_testing.simulator.redis.server import SimRedis
from taskq_testing.simulator.redis.wires import Wires

__all__ = ["RedisService"]

_ON_THE_WAY = ("slow_network", "lost_request", "lost_reply", "reset", "partition", "storage_error", "refused", "crash")


class RedisService:
    """A Redis server behind connections that fail, and the production adapter before them."""

    places: ClassVar[Places] = {
        **PLACES,
        "network": (0.02, _ON_THE_WAY),
        "chores": (0.002, _ON_THE_WAY),
        "delivery": (0.05, ("duplicate", "reorder", "corrupt", "foreign")),
        "broker": (0.6, ("broker_restart", "broker_rollback", "scripts_lost", "group_lost", "flushed")),
    }

    def __init__(self, scene: Scene) -> None:
        domain = scene.domain("broker")
        server = SimRedis(scene.loop, domain, scene.history, scene.faults)
        self.network = Wires(server, domain, scene.patience)
        self.clients = RedisClients(self.network, scene.clock_of_all)
        promised = BlockingRedisBackend.capabilities
        self.capabilities = msgspec.structs.replace(promised, fifo=promised.fifo and "reorder" not in scene.faults.on)
