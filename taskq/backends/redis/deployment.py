"""One deployment of Redis as this process reaches it: connections by event loop and for threads, and lanes for senders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import weakref
from typing import Any

from taskq.backends.base import Clock
from taskq.backends.redis.connections import Connector
from taskq.backends.redis.links import BlockingLink, Link, Links
from taskq.backends.redis.scripts import Script
from taskq.backends.redis.sending import Lane
from taskq.errors import BackendError, ConfigError

__all__ = ["Deployment"]

logger = logging.getLogger("taskq")

_OLDEST = (6, 2)


class Deployment:
    """What the backends and stores of one broker talk through."""

    def __init__(self, connector: Connector, clock: Clock, links: Links) -> None:
        self.connector = connector
        self.clock = clock
        self._make = links
        self._links: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Link] = weakref.WeakKeyDictionary()
        self._forget()
        self._inspected = False

    def consumer_name(self) -> bytes:
        """Return a name that no other consumer has, in Go's form (host:pid:number) with a number that is none (F41)."""
        return f"{self._make.here()}:".encode() + self.clock.new_id()

    # -- talking

    async def call(self, key: bytes, *words: Any, wait: float = 0.0) -> Any:
        """Do one command about a key; the server may take `wait` seconds on purpose.

        Raises:
            BackendUnavailable: the server cannot be reached, or cannot answer now.
            BackendError: it refuses.
        """
        link = self.link()
        return await link.do(link.routes.call(key, words, wait))

    async def run(self, script: Script, keys: tuple[bytes, ...], *args: Any) -> Any:
        """Run a script; raises what `call` does."""
        link = self.link()
        return await link.do(link.routes.run(script, keys, args))

    # -- connections

    def link(self) -> Link:
        """Return the connections of the running event loop."""
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            link = self._links[loop] = self._make.asyncio(self.connector)
        return link

    def blocking_link(self) -> BlockingLink:
        """Return the connections that threads share; a forked child has its own."""
        if self._pid != os.getpid():
            self._forget()
        return self._blocking

    def new_lane(self) -> Lane:
        """Return a lane of one's own."""
        return Lane(self.clock)

    def borrow_lane(self) -> Lane:
        """Return a lane that nobody else uses until it is returned."""
        try:
            return self._lanes.pop()
        except IndexError:
            return self.new_lane()

    def return_lane(self, lane: Lane) -> None:
        """Let others use a lane."""
        self._lanes.append(lane)

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._blocking = self._make.blocking(self.connector)
        self._lanes: list[Lane] = []

    # -- looking after

    async def inspect(self) -> None:
        """Look once at how the server is set up, and say what may lose messages."""
        if self._inspected:
            return
        answer = await self.call(b"taskq", b"INFO")
        facts = dict(line.split(":", 1) for line in answer.decode(errors="replace").splitlines() if ":" in line)
        self._inspected = True
        version = facts.get("redis_version", "")
        if version and tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
            raise ConfigError(f"Redis at {self.connector.where} is version {version}; taskq needs 6.2 or newer")
        policy = facts.get("maxmemory_policy", "noeviction")
        if policy != "noeviction" and facts.get("maxmemory", "0") != "0":
            logger.warning("Redis at %s evicts keys when its memory is full (maxmemory-policy %s), and messages with them; "
                           "set noeviction", self.connector.where, policy)  # fmt: skip

    async def aclose(self) -> None:
        """Close the connections of this loop and of the threads; those of other loops close with their loops."""
        with contextlib.suppress(BackendError):
            await self.link().aclose()
        self.blocking_link().close()
