"""Processes in virtual time around one IronMQ server: the production adapter and runtime, a network that fails by a seed."""

import asyncio
import math
import random

import httpx
import msgspec

import taskq
from taskq.backends.ironmq import IronMQBroker, settings_for
from taskq.backends.memory import MemoryBroker
from taskq_testing.clock import VirtualClock
from taskq_testing.ironmq_server import Request, Service
from taskq_testing.ironmq_server.driver import Driver
from taskq_testing.loop import VirtualLoop

SETTINGS = settings_for("ironmq+http://project:token@ironmq/", {})
CALM = {}
"""Every request arrives, and so does its answer, at once."""

STORM = {"refused": 0.03, "busy": 0.03, "request lost": 0.04, "answer lost": 0.04, "slow": 0.3}
"""What may happen to a request, and how often."""


class World:
    """A loop, a service, and processes.

    Attributes:
        faults: what may happen to requests now, and how often.
        happened: how often it did.
    """

    def __init__(self, seed=0, faults=CALM):
        self.loop = VirtualLoop()
        self.random = random.Random(seed)
        self.service = Service(token="token", project="project", seed=seed)
        self.server = self.loop.domain("server")
        self.driver = Driver(self.service)
        self.faults = faults
        self.happened = dict.fromkeys(STORM, 0)
        self.requests = []
        self.domains = []
        self.stores = MemoryBroker(VirtualClock(self.loop, "stores"))

    def run(self, scenario):
        try:
            return self.loop.run_until_complete(scenario)
        finally:
            for domain in (*self.domains, self.server):
                domain.kill()
            self.loop.close()

    def process(self, name, define=None, **options):
        return Process(self, name, define, options)

    def draw(self):
        """Return what happens to a request."""
        point = self.random.random()
        for fault, share in self.faults.items():
            point -= share
            if point < 0:
                self.happened[fault] += 1
                return fault
        return ""

    def while_(self, low, high):
        """Return a duration between two, by its order of magnitude."""
        return math.exp(self.random.uniform(math.log(low), math.log(high)))

    def texts(self, queue):
        """Return the texts of a queue's messages and their states."""
        project = self.service.projects.get("project")
        found = project and project.queues.get(queue)
        return [] if found is None else [(each.body, each.state) for each in found.messages.by_id.values()]


class Wire(httpx.AsyncBaseTransport):
    """The way of one process to the service."""

    def __init__(self, world):
        self.world = world
        self.cut = False
        self.open = set()

    async def handle_async_request(self, request):
        body = await request.aread()
        answer = self.world.loop.create_future()
        what = Request(method=request.method, target=request.url.raw_path.decode(), headers=dict(request.headers), body=body)
        fault = self.world.draw()
        self.world.requests.append((request.method, request.url.path, fault))
        if fault == "refused" or self.cut:
            raise httpx.ConnectError("refused")
        task = self.world.server.create_task(self._serve(what, answer, fault))
        self.open.add(task)
        task.add_done_callback(self.open.discard)
        answer.add_done_callback(lambda future: task.cancel() if future.cancelled() else None)
        return await answer

    async def _serve(self, request, answer, fault):
        world = self.world
        if fault == "slow":
            await asyncio.sleep(world.while_(0.001, 3.0))
        if fault == "busy":
            return self._reply(answer, httpx.Response(503, content=b"busy"))
        if fault == "request lost":
            return self._fail(answer)
        found = await world.driver.request(request)
        if fault == "slow":
            await asyncio.sleep(world.while_(0.001, 1.5))
        if fault == "answer lost" or self.cut:
            return self._fail(answer)
        return self._reply(answer, httpx.Response(found.status, content=msgspec.json.encode(found.content)))

    def _reply(self, answer, response):
        if not answer.done():
            answer.set_result(response)

    def _fail(self, answer):
        if not answer.done():
            answer.set_exception(httpx.ReadError("cut"))

    def disconnect(self):
        """Let the service notice that the client is gone."""
        for task in list(self.open):
            task.cancel()


class Process:
    """One process with an app of its own; it can die, and be started again."""

    def __init__(self, world, name, define, options):
        self.world, self.name, self.define, self.options = world, name, define, options
        self.clock = VirtualClock(world.loop, name, seed=world.random.randrange(1 << 30))
        self.starts = 0
        self.start()

    def start(self):
        self.starts += 1
        self.domain = self.world.loop.domain(f"{self.name} {self.starts}")
        self.world.domains.append(self.domain)
        self.wire = Wire(self.world)
        self.app = taskq.App(clock=self.clock, hooks=())
        self.app.broker = IronMQBroker(SETTINGS, self.clock, self.world.stores, self.wire)
        self.queue = self.app.queue("q", **self.options)
        self.task = self.define(self.queue, self) if self.define is not None else None

    def do(self, coroutine):
        """Run something in this process."""
        return self.domain.create_task(coroutine)

    def consume(self):
        return self.do(self.app.run())

    def kill(self, *, noticed=True):
        self.domain.kill()
        if noticed:
            self.wire.disconnect()
