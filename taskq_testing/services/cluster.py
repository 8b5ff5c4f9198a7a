"""A cluster of servers, with all slots on its primaries and no replicas."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from taskq_testing.services.binaries import Binary, find_binary
from taskq_testing.services.child import ServiceError
from taskq_testing.services.ports import Port
from taskq_testing.services.server import Config, RedisServer

__all__ = ["RedisCluster", "redis_cluster"]

_SLOTS = 16384
_PATIENCE = 60.0
_POLL = 0.01


class RedisCluster:
    """Servers that share the slots between them. `redis_cluster` makes one.

    Attributes:
        nodes: the servers, in the order of their slots.
    """

    def __init__(self, nodes: Sequence[RedisServer]) -> None:
        self.nodes = tuple(nodes)

    @property
    def url(self) -> str:
        """The URL of the cluster, with all nodes."""
        return f"redis+cluster://{','.join(f'{node.host}:{node.port}' for node in self.nodes)}"

    def node_of(self, key: str | bytes) -> RedisServer:
        """Return the node that holds a key, as the cluster itself sees it now.

        Raises:
            ServiceError: no node of this cluster holds it.
        """
        asked = next((node for node in self.nodes if node.running), self.nodes[0])
        slot = int(asked.cli("CLUSTER", "KEYSLOT", key))
        ports = [primary[1] for first, last, primary, *_ in asked.cli("CLUSTER", "SLOTS") if first <= slot <= last]
        for node in self.nodes:
            if node.port in ports:
                return node
        raise ServiceError(f"no node of the cluster holds slot {slot}")

    def wait(self) -> None:
        """Wait until each node says that the cluster is in order, such as after one was started again: some seconds.

        Raises:
            ServiceError: it does not come in order.
        """
        deadline = time.monotonic() + _PATIENCE
        while not all(self._in_order(node) for node in self.nodes):
            if time.monotonic() > deadline:
                told = "; ".join(f"{node.port}: {node.cli('CLUSTER', 'INFO')}" for node in self.nodes)
                raise ServiceError(f"the cluster is not in order after {_PATIENCE:.0f} s: {told}")
            time.sleep(_POLL)

    def _in_order(self, node: RedisServer) -> bool:
        facts = dict(line.split(":", 1) for line in node.cli("CLUSTER", "INFO").splitlines())
        wanted = {"cluster_state": "ok", "cluster_slots_ok": str(_SLOTS), "cluster_known_nodes": str(len(self.nodes))}
        return wanted.items() <= facts.items()


@contextmanager
def redis_cluster(
    nodes: int = 3, *, binary: str | os.PathLike[str] | Binary | None = None, config: Config | None = None
) -> Iterator[RedisCluster]:
    """Run a cluster for the time of a `with` block. It takes two seconds: so long a node of Redis waits until it trusts itself.

    Args:
        nodes: how many servers.
        binary: the program, as for `redis_server`.
        config: more directives of redis.conf, for each node.

    Raises:
        ServiceError: a server does not start, or the cluster does not come in order.
    """
    program = find_binary(binary)
    directives: Config = {"cluster-enabled": "yes", "cluster-node-timeout": 2000, **(config or {})}
    with ExitStack() as stack:
        servers = []
        for _ in range(nodes):
            port, bus = _ports()
            stack.callback(bus.close)
            server = RedisServer(program, directives, port=port)
            stack.callback(server.close)
            server.start()
            servers.append(server)
        _join(servers)
        cluster = RedisCluster(servers)
        cluster.wait()
        yield cluster


def _ports() -> tuple[Port, Port]:
    """Return a port, and the one that a node takes to talk to other nodes: only since Redis 7 another can be named."""
    while True:
        port = Port()
        try:
            return port, Port(port.number + 10_000)
        except (OSError, OverflowError):  # it is taken, or there is none
            port.close()


def _join(servers: Sequence[RedisServer]) -> None:
    for index, server in enumerate(servers):
        first, end = (_SLOTS * edge // len(servers) for edge in (index, index + 1))
        server.cli("CLUSTER", "ADDSLOTS", *range(first, end))
        server.cli("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for other in servers[:index]:
            server.cli("CLUSTER", "MEET", other.host, other.port)
