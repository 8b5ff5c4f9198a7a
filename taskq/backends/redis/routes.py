"""Which server to ask, and what to ask next after its answer. Generators without I/O, for asyncio and threads alike.

A generator yields a `Step`, is sent the answer or has the error thrown in, and returns the result in the end.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, TypeVar

from redis.crc import key_slot

from taskq.backends.redis.connections import Address, Connector
from taskq.backends.redis.errors import Replied, code_of
from taskq.backends.redis.scripts import Script

__all__ = ["Pause", "Routes", "Step", "Steps"]

T = TypeVar("T")

_HOPS = 5


class Step(NamedTuple):
    """One command and its answer.

    Attributes:
        words: the command.
        address: the server; None means the only one.
        wait: seconds that the server may take on purpose.
        asking: whether the slot is about to move to this server, which has to be told that we know.
        of_sentinel: whether the server is a sentinel.
    """

    words: tuple[Any, ...]
    address: Address | None = None
    wait: float = 0.0
    asking: bool = False
    of_sentinel: bool = False


class Pause(NamedTuple):
    """Nothing for some seconds."""

    seconds: float


Steps = Generator[Step | Pause, Any, T]


class Routes:
    """Knows where keys are. In a cluster it learns from the nodes' own answers, with sentinels from them."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._nodes = list(connector.nodes)
        self._slots: dict[int, Address] = {}
        self._primary: Address | None = None

    def call(self, key: bytes, words: tuple[Any, ...], wait: float = 0.0) -> Steps[Any]:
        """Do one command about a key where the key is."""
        moved: tuple[Address, bool] | None = None
        for hop in range(_HOPS):
            address, asking = moved or ((yield from self._find(key)), False)
            try:
                return (yield Step(words, address, wait, asking))
            except Replied as error:
                code = code_of(error)
                if code in ("MOVED", "ASK") and hop < _HOPS - 1:
                    moved = self._moved(key, error, address), code == "ASK"
                    continue
                if code == "READONLY":
                    self._failed(address)
                raise
            except Exception:
                self._failed(address)
                raise
        raise AssertionError("the last hop returns or raises")

    def run(self, script: Script, keys: tuple[bytes, ...], args: tuple[Any, ...]) -> Steps[Any]:
        """Run a script; a server that does not know it yet is given its text."""
        rest = (len(keys), *keys, *args)
        try:
            return (yield from self.call(keys[0], (b"EVALSHA", script.sha, *rest)))
        except Replied as error:
            if code_of(error) != "NOSCRIPT":
                raise
        return (yield from self.call(keys[0], (b"EVAL", script.text, *rest)))

    def _find(self, key: bytes) -> Steps[Address | None]:
        if self._connector.service:
            return (yield from self._ask_sentinels())
        if self._nodes:
            return self._slots.get(key_slot(key), self._nodes[0])
        return None

    def _moved(self, key: bytes, error: Any, asked: Address | None) -> Address:
        assert asked is not None
        host, _, port = str(error).split()[-1].rpartition(":")  # the older redis-py takes it apart for its own clusters only
        address = Address(getattr(error, "host", host) or asked.host, int(getattr(error, "port", port)))
        if code_of(error) == "MOVED":
            self._slots[key_slot(key)] = address
        return address

    def _failed(self, address: Address | None) -> None:
        """Forget where everything was that this server held, and ask another one first."""
        self._primary = None
        self._slots = {slot: held for slot, held in self._slots.items() if held != address}
        if self._nodes and self._nodes[0] == address:
            self._nodes.append(self._nodes.pop(0))

    def _ask_sentinels(self) -> Steps[Address]:
        if self._primary is not None:
            return self._primary
        last: Exception | None = None
        for sentinel in list(self._nodes):
            question = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._connector.service)
            try:
                found = yield Step(question, sentinel, of_sentinel=True)
            except Exception as error:  # noqa: BLE001 - the next one may know
                last = error
                self._nodes.append(self._nodes.pop(0))
                continue
            if found:
                self._primary = Address(found[0].decode(), int(found[1]))
                return self._primary
        raise last or ConnectionError(f"no sentinel knows a service named {self._connector.service!r}")
