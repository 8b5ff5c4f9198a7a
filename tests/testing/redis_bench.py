"""A simulated Redis server on a bench: a loop, a server, wires to it, and the production broker at the end of one of them."""

from taskq.backends.base import Outgoing
from taskq.backends.redis import RedisBroker
from taskq.message import Message
from taskq.options import QueueOptions
from taskq.wire import envelope
from taskq_testing.clock import VirtualClock
from taskq_testing.faults import Fault, Faults
from taskq_testing.history import History
from taskq_testing.loop import VirtualLoop
from taskq_testing.simulator.redis.connections import connector_of, links_of
from taskq_testing.simulator.redis.server import SimRedis
from taskq_testing.simulator.redis.service import RedisService
from taskq_testing.simulator.redis.wires import Wires
from taskq_testing.tape import Quiet, Tape

OPTIONS = QueueOptions(reservation_timeout=1.0, send_timeout=1.0)
STREAM, DELAYED, DEAD = b"taskq:{q}:stream", b"taskq:{q}:zset", b"taskq:{q}:dead"


def message(name, **settings):
    """A message on its way, whose id is its name."""
    body = envelope.encode(Message(task="t", id=name.encode()))
    return Outgoing(name.encode(), body, **settings)


class Bench:
    """One server and who talks to it. `meets` are the faults that the next commands meet, in order, and None for none."""

    def __init__(self):
        self.loop = VirtualLoop()
        self.history = History()
        self.faults = Faults(Tape(0, Quiet()), (), [1.0], RedisService.places)
        self.faults.at = self._at
        self.meets = {}
        self.server = SimRedis(self.loop, self.loop.domain("broker"), self.history, self.faults)
        self.server.queue("q", OPTIONS)
        self.wires = Wires(self.server, self.loop.domain("broker"), 0.2)
        self.domains = {}

    def _at(self, place, key):
        operation = key.split()[1] if place in ("network", "chores") else place
        faults = self.meets.get(operation, [])
        return faults.pop(0) if faults else None

    def meet(self, operation, name, seconds=1.0, variant=0):
        """Let the next command of this operation meet a fault."""
        self.meets.setdefault(operation, []).append(Fault(name, seconds, variant))

    def broker(self, process="worker"):
        """Return the production broker of a new process."""
        line = self.wires.connect(process)
        self.domains[process] = self.loop.domain(process)
        return RedisBroker(connector_of(self.wires, line), VirtualClock(self.loop, process), links_of(self.wires))

    def queue(self, process="worker", options=OPTIONS):
        """Return the production backend of a new process."""
        return self.broker(process).queue("q", options)

    def run(self, coroutine, process="worker"):
        """Run a coroutine as a process."""
        return self.loop.run_until_complete(self.domains[process].create_task(coroutine))

    def said(self, *kinds):
        """Return what the history says of messages: kind, message, process."""
        return [(event.kind, event.message, event.process) for event in self.history.of(*kinds)]

    def kinds(self):
        return [event.kind for event in self.history]

    def close(self):
        self.loop.close()
