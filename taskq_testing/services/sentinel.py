"""A primary and its replica, watched by sentinels."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from redis.exceptions import ResponseError

from taskq_testing.services.binaries import Binary, find_binary
from taskq_testing.services.child import ServiceError
from taskq_testing.services.ports import HOST
from taskq_testing.services.server import Config, RedisServer

__all__ = ["RedisSentinel", "redis_sentinel"]

_PATIENCE = 60.0
_POLL = 0.01
_DATA: Config = {"repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1}


class RedisSentinel:
    """Two servers and those that watch them. `redis_sentinel` makes one.

    Attributes:
        name: what the sentinels call the primary.
        servers: the two servers; the first one was the primary at the beginning.
        sentinels: the sentinels, which are servers too.
    """

    def __init__(self, name: str, servers: Sequence[RedisServer], sentinels: Sequence[RedisServer]) -> None:
        self.name, self.servers, self.sentinels = name, tuple(servers), tuple(sentinels)

    @property
    def url(self) -> str:
        """The URL of database 0 of whichever server is the primary."""
        places = ",".join(f"{sentinel.host}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{places}/{self.name}/0"

    @property
    def primary(self) -> RedisServer:
        """The server that the first sentinel names."""
        told = self.sentinels[0].cli("SENTINEL", "MASTER", self.name)
        port = int(told[told.index("port") + 1])
        return next(server for server in self.servers if server.port == port)

    @property
    def replica(self) -> RedisServer:
        """The other one."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def failover(self) -> RedisServer:
        """Make the replica the primary, as an operator does, and return it; takes about two seconds.

        The old primary lives on and takes writes, which are lost, until the sentinels make it a replica: that takes them about
        ten seconds more. Kill it first to see what clients do when it is gone; then `wait_for_failover` suffices.

        Raises:
            ServiceError: the sentinels do not bring it about.
        """
        old = self.primary
        self._wait("promote no replica", self._failover_begins)
        return self.wait_for_failover(old)

    def wait_for_failover(self, old: RedisServer) -> RedisServer:
        """Wait until the sentinels name another primary than `old`, and it takes writes; return it.

        Raises:
            ServiceError: they do not.
        """
        self._wait("name no new primary", lambda: self.primary is not old and self.primary.cli("ROLE")[0] == "master")
        return self.primary

    def wait(self) -> None:
        """Wait until the replica has what the primary has, and each sentinel knows both.

        Raises:
            ServiceError: that does not come about.
        """
        self._wait("do not find the replica in order", lambda: self._replicates() and all(map(self._knows, self.sentinels)))

    def _failover_begins(self) -> bool:
        try:
            self.sentinels[0].cli("SENTINEL", "FAILOVER", self.name)
        except ResponseError:  # the replica has not been heard of lately, or the last fail-over goes on
            return False
        return True

    def _replicates(self) -> bool:
        role = self.replica.cli("ROLE")
        return bool(role[0] == "slave" and role[3] == "connected")

    def _knows(self, sentinel: RedisServer) -> bool:
        told = f"status=ok,address={HOST}:{self.primary.port},slaves=1,sentinels={len(self.sentinels)}"
        return told in sentinel.cli("INFO", "sentinel")

    def _wait(self, failing: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise ServiceError(f"the sentinels {failing} within {_PATIENCE:.0f} s; the first says:\n{self.sentinels[0].log}")
            time.sleep(_POLL)


@contextmanager
def redis_sentinel(
    sentinels: int = 1,
    *,
    name: str = "primary",
    binary: str | os.PathLike[str] | Binary | None = None,
    config: Config | None = None,
) -> Iterator[RedisSentinel]:
    """Run a primary, a replica and sentinels for the time of a `with` block. It takes about two seconds.

    One sentinel suffices to declare the primary dead, after half a second of silence.

    Args:
        sentinels: how many.
        name: what they call the primary.
        binary: the program, as for `redis_server`; it has to be able to be a sentinel, as all are that we know.
        config: more directives of redis.conf, for the primary and the replica.

    Raises:
        ServiceError: a server does not start, or the replica does not connect.
    """
    program = find_binary(binary)
    with ExitStack() as stack:

        def started(directives: Config, mode: Sequence[str] = ()) -> RedisServer:
            server = RedisServer(program, directives, mode=mode)
            stack.callback(server.close)
            server.start()
            return server

        data = {**_DATA, **(config or {})}
        primary = started(data)
        replica = started(data | {"replicaof": f"{primary.host} {primary.port}"})
        watchers = [started(_watch(name, primary), ["--sentinel"]) for _ in range(sentinels)]
        group = RedisSentinel(name, (primary, replica), watchers)
        group.wait()
        yield group


def _watch(name: str, primary: RedisServer) -> Config:
    return {
        "sentinel": [
            f"monitor {name} {primary.host} {primary.port} 1",
            f"down-after-milliseconds {name} 500",
            f"failover-timeout {name} 3000",
        ]
    }
