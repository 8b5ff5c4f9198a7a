"""What a service, its broker and the way to it are to the simulator, whichever it simulates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from taskq.backends.base import Broker, Capabilities, Clock
from taskq.backends.memory import Held
from taskq.options import QueueOptions
from taskq_testing.clock import VirtualClock
from taskq_testing.faults import Fault, Faults, Places
from taskq_testing.history import History
from taskq_testing.loop import Domain, VirtualLoop

__all__ = ["Kind", "Scene", "Service", "SimulatedBroker", "SimulatedLink", "SimulatedNetwork", "SimulatedQueue"]


class SimulatedQueue(Protocol):
    """One queue of a simulated broker."""

    def owned_by(self, process: str) -> int:
        """Return how many messages a process owns."""

    def messages(self) -> list[Held]:
        """Return what is there, as far as it changes by itself, and when."""

    def delivery(self, receipt: Any, process: str) -> tuple[int, int]:
        """Return the number in the history of a receipt of a process, and which copy of its message it is, or was, for."""


class SimulatedBroker(Protocol):
    """What the simulator asks of a broker, and does to it."""

    down_until: float

    @property
    def queues(self) -> Mapping[str, SimulatedQueue]:
        """Its queues by name."""

    @property
    def unfinished(self) -> int:
        """How many messages are neither done nor dead."""

    @property
    def recovery(self) -> float:
        """Seconds for which its clients may still wait for something in vain after the last fault."""

    def queue(self, name: str, options: QueueOptions) -> object:
        """Have a queue of this name."""

    def when_empty(self) -> asyncio.Future[None]:
        """Return what is done once no message is unfinished."""

    def save(self) -> None:
        """Remember what is on disk now; `restart` with a rollback goes back to it."""

    def restart(self, downtime: float, *, rollback: bool) -> None:
        """Refuse connections for a while; with a rollback, forget what came after `save`."""

    def suffer(self, name: str, downtime: float) -> bool:
        """Meet a fault of the broker; return whether it breaks every connection."""


class SimulatedLink(Protocol):
    """The way between one process and the broker."""

    crash: Callable[[Fault], None] | None

    @property
    def process(self) -> str:
        """The name of the process."""


class SimulatedNetwork(Protocol):
    """The links of one run."""

    @property
    def broker(self) -> SimulatedBroker:
        """The broker behind it."""

    @property
    def patience(self) -> float:
        """Seconds for which a broker that restarts is away."""

    def connect(self, process: str) -> SimulatedLink:
        """Make a new link for a process that begins."""

    def disconnect(self, process: str, *, noticed: bool) -> None:
        """End the link of a process that died."""

    def link(self) -> SimulatedLink:
        """Return the link of the process that runs now."""

    def later(self, seconds: float, callback: Callable[..., object], *args: object) -> None:
        """Call something of the world, not of a process, after a while."""

    def break_all(self) -> None:
        """Break every connection."""

    def heal(self) -> None:
        """Let everything through."""


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
