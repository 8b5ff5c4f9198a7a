"""Worker processes that are killed: at random, between a result and its acknowledgement, and by their own messages."""

import random

from taskq_testing.services import Proxy

_CHUNK = 1000


def at_random(fleet, *, jobs, kills, workers=2, seed=0, tell=None):
    """Kill workers at random moments while they work through so many jobs, and start another for each (rows 2 and 16)."""
    draw = random.Random(seed)
    work, journals = fleet.task("work"), fleet.journals
    for first in range(0, jobs, _CHUNK):
        fleet.queue.enqueue_many(work.message(n, 0.004) for n in range(first, min(first + _CHUNK, jobs)))
    alive = [fleet.start(wait=n == 0) for n in range(workers)]
    gap = jobs / (kills + 1)
    for number in range(kills):
        moment = (number + draw.random()) * gap
        journals.wait(lambda moment=moment: journals.counts["end"] >= moment)
        fleet.kill(alive.pop(draw.randrange(len(alive))))
        alive.append(fleet.start(wait=False))
        if tell is not None:
            tell(f"{number + 1} of {kills} killed, {journals.counts['end']} runs")
    fleet.drain()
    fleet.stop(*alive)
    return fleet.history()


def before_the_answer(fleet, *, reached):
    """Kill a worker after its handler ended well, before its acknowledgement reached the server, or the answer it (row 3)."""
    with Proxy(fleet.server.url) as proxy:
        worker = fleet.start(url=proxy.url)
        gate = fleet.gate("gate")
        fleet.task("work").enqueue(0, 0.0)
        fleet.journals.wait_for("acked")  # from here on the server knows the script
        fleet.task("gated").enqueue(str(gate))
        fleet.journals.wait_for("start", task="gated")
        held = proxy.hold(to="client" if reached else "server")
        gate.touch()
        fleet.journals.wait_for("settled", outcome="ack", times=2)
        held.wait()
        if reached:
            fleet.journals.wait(lambda: fleet.left == 0)
        fleet.kill(worker)
        proxy.cut()
    another = fleet.start()
    fleet.drain()
    fleet.stop(another)
    return fleet.history()


def by_its_message(fleet, *, others, deaths):
    """Have one message kill each worker that runs it, among others that do no harm (row 20)."""
    killer, work = fleet.task("killer"), fleet.task("work")
    fleet.queue.enqueue_many([killer.message(), *(work.message(n, 0.0) for n in range(others))])
    for _ in range(deaths):
        worker = fleet.start()
        worker.wait()
        fleet.died(worker)
    last = fleet.start()
    fleet.drain()
    fleet.stop(last)
    return fleet.history()
