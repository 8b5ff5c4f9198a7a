"""The simulator's broker behind the simulator's network; with a seed, both fail, and the oracle judges what came of it.

Without a seed nothing goes wrong, and scenarios are judged as everywhere. With one, calls and answers are lost or late, links
are cut, the storage fails, the broker restarts or rolls back, and messages come twice, in another order, or spoiled. What a
scenario promises of a calm world does not hold then; but the history has to be free of breaches, and the loop of deadlocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from taskq.backends.base import Broker, Capabilities, Clock
from taskq.options import QueueOptions
from taskq_conformance.capabilities import Capabilities as Claims
from taskq_conformance.capabilities import Unsupported
from taskq_conformance.check import Broken
from taskq_conformance.profile import Connect, Profile
from taskq_testing.clock import VirtualClock
from taskq_testing.faults import PLACES, Faults, choose
from taskq_testing.history import History
from taskq_testing.loop import Deadlock, Livelock, VirtualLoop
from taskq_testing.oracle import judge
from taskq_testing.simulator.broker import SimBroker
from taskq_testing.simulator.clients import NetworkBroker
from taskq_testing.simulator.network import Link, Network
from taskq_testing.simulator.simulator import _queue_policy
from taskq_testing.tape import Quiet, Tape

__all__ = ["simulator"]

_DECLARED = Capabilities(dedup=True, resolution=1e-6, fifo=True, durable=False)
_FAULTS = ("all", "-reorder")
"""Order is claimed, so that nothing may disturb it."""

_PLACES = {**PLACES, "network": (0.1, PLACES["network"][1])}
"""Where faults happen. Scenarios are short: more often than elsewhere on the network."""

_PATIENCE = 2.0
_JUDGED = frozenset({2, 3, 4, 5, 8, 9, 12, 13, 19, 20, 23, 24})
"""The invariants of the broker: conservation, fencing, finality, names, order. Those of runs take a record of the runs."""

_BOUNDARIES = (1.0, 5.0, 10.0, 60.0)
"""Times at which scenarios' queues change their minds, in seconds: faults last about as long."""


class _World:
    """One broker and the ways to it; makes the broker of each process, and says what is wrong with what happened."""

    def __init__(self, loop: VirtualLoop) -> None:
        tape = loop.tape
        self.history = History()
        self.faults = Faults(tape or Tape(0, Quiet()), choose(_FAULTS if tape is not None else "none"), _BOUNDARIES, _PLACES)
        self._loop = loop
        self._domain = loop.domain("broker")
        self.broker = SimBroker(loop, VirtualClock(loop, "broker"), self.history, self.faults)
        self.network = Network(self.broker, self._domain, _PATIENCE)
        self._plan()

    def __call__(self, clock: Clock) -> Broker:
        assert isinstance(clock, VirtualClock)
        link = self.network.connect(clock.name)
        return _Described(_Way(self.network, link), _DECLARED, self.history)

    def verdict(self, error: Exception | None) -> Exception | None:
        """Return what is wrong: where faults happened what the oracle found, else what the scenario found too."""
        violations = judge(self.history, only=_JUDGED)
        if violations:
            return Broken(f"the history has a breach: {violations[0]}")
        if self.faults.fired and not isinstance(error, Deadlock | Livelock):
            return None
        return error

    def close(self) -> None:
        """End what runs in the broker."""
        self._domain.kill()

    def _plan(self) -> None:
        """Draw whether the broker restarts, and when."""
        fault = self.faults.at("broker", "")
        if fault is None:
            return
        if fault.name == "broker_rollback":
            self.network.later(fault.seconds / 2, self.broker.save)
        self.network.later(fault.seconds, self._restart, fault.name)

    def _restart(self, name: str) -> None:
        self.faults.fired[name] += 1
        self.history.record(self._loop.now, "fault", process="broker", outcome=name)
        if self.broker.suffer(name, _PATIENCE):
            self.network.break_all()


class _Way(Network):
    """The network as one process has it: a scenario has no domains to tell processes apart."""

    def __init__(self, network: Network, link: Link) -> None:
        self._network = network
        self._own = link
        super().__init__(network.broker, network._domain, network.patience)  # noqa: SLF001 - the same network once more
        self.links = network.links

    def link(self) -> Link:
        """Return the link of this process."""
        return self._own

    @property
    def operations(self) -> int:
        """How many adds there were, of all processes."""
        return self._network.operations

    @operations.setter
    def operations(self, count: int) -> None:
        if hasattr(self, "links"):  # not the beginning of this view
            self._network.operations = count


class _Described(NetworkBroker):
    """A broker that tells the history of the policy of each queue."""

    def __init__(self, network: Network, capabilities: Capabilities, history: History) -> None:
        super().__init__(network, capabilities)
        self._history = history

    def queue(self, name: str, options: QueueOptions) -> Any:
        """Return the queue of this name."""
        if name not in self.network.broker.queues:
            self._history.record(0, "queue", queue=name, data=_queue_policy(options, self._capabilities))
        return super().queue(name, options)


@contextmanager
def _service(clock: Clock) -> Iterator[Connect]:
    assert isinstance(clock, VirtualClock)
    world = _World(clock.loop)
    try:
        yield world
    finally:
        world.close()


simulator = Profile(
    name="simulator",
    service=_service,
    capabilities=Claims(
        repeated_sends=Unsupported("it does not compare ids"),
        dead_letters=Unsupported("the simulator keeps its dead letters to its history"),
        durable=Unsupported("messages live as long as their broker"),
    ),
    late=1e-6,
    about="the simulator's broker and network, judged by the oracle",
)
