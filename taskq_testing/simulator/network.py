"""What stands between the processes of a run and its broker: calls that take time, get lost, or are answered to nobody.

A call has four moments, and a fault can come between any two: it is sent, it arrives and takes effect, the answer is sent,
it arrives. Which process calls is seen from the domain that runs, so that one app serves all processes of a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from taskq.errors import BackendError, BackendUnavailable, DuplicateMessageError
from taskq.message import Reservation
from taskq_testing.faults import Fault, Faults
from taskq_testing.history import History
from taskq_testing.loop import Domain, VirtualLoop, current_domain
from taskq_testing.simulator.broker import CALLER, SimBroker
from taskq_testing.simulator.waiting import Waiting

__all__ = ["TEST", "Link", "Network", "Trip"]

T = TypeVar("T")

TEST = "test"
"""The process that everything outside of simulated processes belongs to; its link never fails."""


class Link:
    """The connection of one process.

    Attributes:
        process: its name.
        exposed: whether faults may hit it.
        requests_cut: what it sends before this moment (loop seconds) is lost.
        replies_cut: what it is sent before this moment is lost.
        crash: kills the process; given where it can be killed.
        waiting: what waits at the broker, the oldest first; it ends when the broker notices that the process is gone.
    """

    __slots__ = ("crash", "exposed", "process", "replies_cut", "requests_cut", "waiting")

    def __init__(self, process: str, *, exposed: bool) -> None:
        self.process = process
        self.exposed = exposed
        self.requests_cut = 0.0
        self.replies_cut = 0.0
        self.crash: Callable[[Fault], None] | None = None
        self.waiting: dict[Waiting, None] = {}


class Trip:
    """One call on its way: what it wants, what it meets, and who waits for the answer."""

    __slots__ = ("answer", "back", "effect", "fault", "link", "result", "waiting", "what")

    def __init__(
        self, link: Link, what: str, effect: Callable[[], Any], answer: asyncio.Future[Any], fault: Fault | None
    ) -> None:
        self.link = link
        self.what = what
        self.effect = effect
        self.answer = answer
        self.fault = fault
        self.waiting: Waiting | None = None
        self.back: asyncio.Future[None] | None = None
        self.result: object = None

    def comes_back(self, result: object) -> None:
        """Take the answer, and tell who waits for it."""
        self.result = result
        if self.answer.done():
            if self.back is not None and not self.back.done():
                self.back.set_result(None)
        elif isinstance(result, Exception):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)

    async def late(self) -> object:
        """Wait for the answer though the waiting was cancelled once."""
        if self.result is None:
            self.back = self.answer.get_loop().create_future()
            await self.back
        return self.result

    def meets(self, name: str, *variants: int) -> bool:
        """Return whether it meets this fault, in one of these variants."""
        fault = self.fault
        return fault is not None and fault.name == name and (not variants or fault.variant in variants)


class Network:
    """All links of one run.

    Args:
        broker: the broker behind it.
        domain: where the broker's own code runs.
        patience: seconds after which a client gives an answer up.
    """

    def __init__(self, broker: SimBroker, domain: Domain, patience: float) -> None:
        self.broker = broker
        self.loop: VirtualLoop = broker.loop
        self.history: History = broker.history
        self.faults: Faults = broker.faults
        self.patience = patience
        self.links: dict[str, Link] = {}
        self.operations = 0
        self._domain = domain

    def connect(self, process: str, *, exposed: bool = True) -> Link:
        """Make a new link for a process that begins."""
        link = self.links[process] = Link(process, exposed=exposed)
        return link

    def disconnect(self, process: str, *, noticed: bool) -> None:
        """End the link of a process that died; if the broker notices, what waits for it there ends too."""
        link = self.links.pop(process)
        link.crash = None
        if noticed:
            self._close(link)

    def link(self) -> Link:
        """Return the link of the process that runs now."""
        domain = current_domain()
        name = domain.name if domain is not None else TEST
        return self.links.get(name) or self.connect(name, exposed=False)

    def record(self, kind: str, process: str, **fields: object) -> None:
        """Write down what a process sees."""
        self.history.add(self.loop.now, kind, process, fields)

    # -- a call

    def call_blocking(self, what: str, effect: Callable[[], T], subject: str) -> T:
        """Carry a call to the broker and back at one instant; of the faults it meets those that take no time.

        Raises:
            BackendUnavailable: no answer came; it may have happened or not.
        """
        link, now = self.link(), self.loop.time()
        fault = self.faults.at("network", f"{link.process} {what} {subject}") if link.exposed else None
        name = fault.name if fault is not None else ""
        if name in ("lost_request", "lost_reply", "storage_error"):
            self.faults.fired[name] += 1
            self.record("fault", link.process, outcome=name, message=subject, reason=what)
        if name in ("lost_request", "storage_error") or now < max(link.requests_cut, self.broker.down_until):
            raise BackendUnavailable(f"the broker did not get the call to {what}")
        token = CALLER.set(link.process)
        try:
            result = effect()
        finally:
            CALLER.reset(token)
        if name == "lost_reply" or now < link.replies_cut:
            raise BackendUnavailable(f"no answer to {what}")
        return result

    async def call(self, what: str, effect: Callable[[], T], subject: str = "") -> T:
        """Carry a call to the broker, where `effect` happens at one instant, and its answer back.

        Args:
            what: the operation, for the history and as a part of the draw's key.
            effect: what it does there.
            subject: the message that it is about.

        Raises:
            BackendUnavailable: no answer came; it may have happened or not.
        """
        answer = self.send(what, effect, subject).answer
        try:
            return cast(T, await answer)
        finally:
            del answer  # an error has this frame in its traceback, and the answer has the error

    def send(self, what: str, effect: Callable[[], Any], subject: str) -> Trip:
        """Send a call off and return it, for those who wait for its answer in their own way."""
        link = self.link()
        fault = self.faults.at("network", f"{link.process} {what} {subject}") if link.exposed else None
        if fault is not None and fault.name == "crash" and link.crash is None:
            fault = None
        trip = Trip(link, what, effect, asyncio.Future(loop=self.loop), fault)
        if fault is None:
            self._domain.call_soon(self._arrive, trip)
            return trip
        self._happens(trip, fault, subject)
        if trip.meets("slow_network", 0, 2):
            self.later(fault.seconds, self._arrive, trip)
        elif not trip.meets("crash", 0):
            self._domain.call_soon(self._arrive, trip)
        return trip

    def _happens(self, trip: Trip, fault: Fault, subject: str) -> None:
        link, name = trip.link, fault.name
        self.faults.fired[name] += 1
        self.record("fault", link.process, outcome=name, message=subject, delay=fault.seconds, reason=trip.what)
        until = self.loop.time() + fault.seconds
        if name == "partition":
            link.requests_cut = until if fault.variant != 2 else link.requests_cut
            link.replies_cut = until if fault.variant != 1 else link.replies_cut
            self.record("cut", link.process, outcome=("both", "requests", "replies")[fault.variant], delay=fault.seconds)
            self.later(fault.seconds, self._mended, link)
        elif name == "crash" and fault.variant < 2 and link.crash is not None:
            # Not now, in the middle of a step of the victim, but before its next one.
            self._domain.call_soon(link.crash, fault)

    def _mended(self, link: Link) -> None:
        if max(link.requests_cut, link.replies_cut) <= self.loop.time():
            self.record("mended", link.process)

    def _arrive(self, trip: Trip) -> None:
        now, fault = self.loop.time(), trip.fault.name if trip.fault is not None else ""
        if fault == "lost_request" or now < trip.link.requests_cut:
            self.later(self.patience, self._give_up, trip)
        elif now < self.broker.down_until:
            self._reply(trip, BackendUnavailable("the broker refuses connections: it restarts"))
        elif fault == "storage_error":
            self._reply(trip, BackendUnavailable("the broker cannot write: its storage failed"))
        else:
            CALLER.set(trip.link.process)
            try:
                result = trip.effect()
            except (BackendError, DuplicateMessageError) as error:
                result = error
            if isinstance(result, Waiting):
                trip.waiting = result
                trip.link.waiting[result] = None
                result.answered = partial(self._waited, trip)
            else:
                self._reply(trip, result)

    def _waited(self, trip: Trip, taken: list[Reservation] | None) -> None:
        waiting, trip.waiting = trip.waiting, None
        assert waiting is not None
        del trip.link.waiting[waiting]
        self._reply(trip, BackendUnavailable("the connection was closed") if taken is None else taken)

    def hang_up(self, trip: Trip) -> None:
        """Tell the broker that nobody waits for the answer of a call any more, which it may have sent off already."""
        if trip.waiting is not None:
            self._domain.call_soon(trip.waiting.cancel)

    def _reply(self, trip: Trip, result: object) -> None:
        fault = trip.fault
        if fault is None and self.loop.time() >= trip.link.replies_cut:
            trip.comes_back(result)
        elif fault is None:
            self._deliver(trip, result)
        elif trip.meets("lost_reply"):
            self.later(self.patience, self._give_up, trip)
        elif trip.meets("slow_network", 1, 2):
            self.later(fault.seconds, self._deliver, trip, result)
        else:
            self._deliver(trip, result)

    def _deliver(self, trip: Trip, result: object) -> None:
        if self.loop.time() < trip.link.replies_cut:
            self.later(self.patience, self._give_up, trip)
            return
        fault = trip.fault
        if fault is not None and trip.meets("crash", 2) and trip.link.crash is not None:
            trip.link.crash(fault)
        trip.comes_back(result)

    def _give_up(self, trip: Trip) -> None:
        trip.comes_back(BackendUnavailable(f"no answer to {trip.what} within {self.patience:g} s"))

    def later(self, seconds: float, callback: Callable[..., object], *args: object) -> None:
        """Call something of the world, not of a process, after a while."""
        self.loop.call_later(seconds, callback, *args, context=self._domain.context())

    def heal(self) -> None:
        """Let everything through."""
        for link in self.links.values():
            link.requests_cut = link.replies_cut = 0.0

    def break_all(self) -> None:
        """Break every connection: whoever waits at the broker is told."""
        for link in self.links.values():
            self._close(link)

    @staticmethod
    def _close(link: Link) -> None:
        for waiting in list(link.waiting):
            waiting.cancel()
