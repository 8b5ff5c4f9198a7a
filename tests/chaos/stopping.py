"""Stopping: on SIGTERM, in a pause, against a rate limit, and without a server."""

import os
import time
from pathlib import Path

from taskq_testing.history import NANOSECONDS
from taskq_testing.services import Proxy
from tests.chaos.fleet import Serving
from tests.chaos.jobs import pause


def on_a_signal(fleet, *, jobs):
    """Send SIGTERM to a worker with much to do, of which one job never ends (row 22).

    Returns:
        the history, and the seconds from the signal to the end of the process.
    """
    worker, gate, journals = fleet.start(), fleet.gate("gate"), fleet.journals
    fleet.task("gated").enqueue(str(gate))
    work = fleet.task("work")
    fleet.queue.enqueue_many(work.message(n, 0.02) for n in range(jobs))
    journals.wait_for("start", task="gated")
    journals.wait_for("end", times=5)
    began = time.monotonic()
    worker.terminate()
    status = worker.wait()
    took = time.monotonic() - began
    assert status == 0, worker.output
    gate.touch()
    with Serving(fleet.build("heir")[0]):
        fleet.drain()
    return fleet.history(), took


def taken_back(history, process):
    """Return the messages that a process gave back when it stopped, and took again."""
    given = set()
    back = []
    for event in history:
        if event.process == process and event.kind == "released":
            given.add(event.message)
        elif event.process == process and event.kind == "reserved" and event.message in given:
            back.append(event.message)
    return back


def claims_after_the_stop(history, process):
    """Return the seconds from the moment a process began to stop to each message that it got afterwards."""
    (stopping,) = (event.t for event in history.of("consumer") if event.process == process and event.outcome == "stopping")
    return [
        (event.t - stopping) / NANOSECONDS for event in history.of("reserved") if event.process == process and event.t > stopping
    ]


def stop_in(fleet, obstacle, *, busy):
    """Stop a consumer that something is in the way of; return the seconds that it took (row 24).

    Args:
        fleet: a fleet without workers.
        obstacle: "paused", "limited", "refused", "silent" or "frozen".
        busy: whether a handler runs meanwhile.
    """
    with Proxy(fleet.server.url) as proxy, Serving(fleet.build("here", proxy.url)[0]) as serving:
        if busy:
            _begin(fleet)
        _OBSTACLES[obstacle](fleet, proxy)
        took = serving.stop(0.0)
        fleet.server.resume()
    return took


def busy_share(fleet, obstacle, *, busy, seconds):
    """Return the share of a processor that a worker takes while something is in its way, at most before and after SIGTERM.

    Args:
        fleet: a fleet without workers.
        obstacle: as above.
        busy: whether a handler runs meanwhile, so that it goes on after SIGTERM.
        seconds: for how long to look.
    """
    with Proxy(fleet.server.url) as proxy:
        worker = fleet.start(url=proxy.url)
        if busy:  # with a job that takes nothing itself: one that looks for its gate would
            fleet.task("work").enqueue(0, 600.0)
            fleet.journals.wait_for("start", task="work")
        _OBSTACLES[obstacle](fleet, proxy)
        shares = [_share(worker, seconds)]
        if busy:
            worker.terminate()
            shares.append(_share(worker, seconds))
        worker.kill()
        fleet.server.resume()
    return max(shares)


def _share(worker, seconds):
    """Return the share of a processor that a process takes."""
    began, before = time.monotonic(), _used(worker)
    pause(seconds)
    return (_used(worker) - before) / (time.monotonic() - began)


def _used(worker):
    fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _begin(fleet):
    """Have a job begin that does not end."""
    fleet.task("gated").enqueue(str(fleet.gate("gate")))
    fleet.journals.wait_for("start", task="gated")


def _pause(fleet, proxy):
    fleet.queue.enqueue_many(fleet.task("doomed").message(__file__) for _ in range(3))
    fleet.journals.wait_for("paused")


def _limit(fleet, proxy):
    fleet.queue.enqueue_many(fleet.task("work").message(n, 0.0) for n in range(2))
    fleet.journals.wait_for("grant", n=0)


def _refuse(fleet, proxy):
    proxy.refuse()
    proxy.cut()


def _silence(fleet, proxy):
    for side in ("client", "server"):
        proxy.hold(to=side)


def _freeze(fleet, proxy):
    fleet.server.pause()


_OBSTACLES = {"paused": _pause, "limited": _limit, "refused": _refuse, "silent": _silence, "frozen": _freeze}
