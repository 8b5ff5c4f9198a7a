"""The way between one process and its backend, which can be cut. A process that is cut off for good is, for the service, dead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskq.backends.base import Backend, Broker
from taskq.backends.stores import BesideStores
from taskq.errors import BackendUnavailable
from taskq.options import QueueOptions

__all__ = ["Gate", "GatedBroker"]

_OPTIONAL = ("chores", "dead_letters", "redrive", "discard")
_CALLS = ("send", "reserve", "ack", "release", "extend", "dead_letter", "size", "purge", "aclose")


class Gate:
    """Whether calls get through.

    Attributes:
        open: they do.
        lose_answers_of: names of operations that take effect, once each, and whose answer is lost.
    """

    def __init__(self) -> None:
        self.open = True
        self.lose_answers_of: list[str] = []

    async def through(self, operation: str, call: Callable[..., Any], *args: Any) -> Any:
        """Carry a call through.

        Raises:
            BackendUnavailable: the gate is shut, or was when the answer came.
        """
        if operation == "aclose" and not self.open:
            return None  # who is cut off says no goodbye
        self._check(operation)
        answer = await call(*args)
        if operation in self.lose_answers_of:
            self.lose_answers_of.remove(operation)
            raise BackendUnavailable(f"the answer to {operation} was lost, as the suite wanted it")
        self._check(operation)
        return answer

    def _check(self, operation: str) -> None:
        if not self.open:
            raise BackendUnavailable(f"{operation} does not get through: this process is cut off, as the suite wanted it")


class _Gated:
    """A queue's backend behind a gate."""

    def __init__(self, backend: Backend, gate: Gate) -> None:
        self.capabilities = backend.capabilities
        self._backend = backend
        self._gate = gate


class GatedBroker(BesideStores):
    """A broker behind a gate; only its queues are, the stores are as they were.

    Args:
        broker: what is behind it.
        gate: the gate.
    """

    def __init__(self, broker: Broker, gate: Gate) -> None:
        self._broker = self._stores = broker
        self._gate = gate
        self._queues: dict[str, Any] = {}

    def queue(self, name: str, options: QueueOptions) -> Backend:
        """Return the gated backend of a queue; it can do what the one behind it can, but for sending without a loop."""
        if name not in self._queues:
            backend = self._broker.queue(name, options)
            names = [*_CALLS, *(optional for optional in _OPTIONAL if hasattr(backend, optional))]
            kind = type("Gated", (_Gated,), {name: _forwarded(name) for name in names})
            self._queues[name] = kind(backend, self._gate)
        gated: Backend = self._queues[name]
        return gated

    async def aclose(self) -> None:
        """Close what is behind it, cut off or not: the machine outlives the suite's games."""
        await self._broker.aclose()


def _forwarded(name: str) -> Callable[..., Any]:
    async def forward(gated: Any, *args: Any) -> Any:
        call = getattr(gated._backend, name)  # noqa: SLF001 - its own
        return await gated._gate.through(name, call, *args)  # noqa: SLF001 - the same

    return forward
