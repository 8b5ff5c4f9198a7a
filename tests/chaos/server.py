"""Servers that restart, forget, refuse, or are set up wrongly (rows 7, 8, 9 and 45)."""

import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from unittest.mock import patch

from taskq.backends.redis import queue as scripts
from taskq.backends.redis import sending
from taskq.runtime import chores, fetcher
from taskq_testing.services import Proxy
from tests.chaos.fleet import STREAM, Serving
from tests.chaos.jobs import pause
from tests.chaos.network import reach, send

ERRORS = (
    "READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOSCRIPT No matching script.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "UNBLOCKED client unblocked, the instance state changed",
    "BUSY Redis is busy running a script.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "NOREPLICAS Not enough good replicas to write.",
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
)
"""What a server may answer at any time, and not mean for ever."""

_KINDS = (
    b"XREADGROUP", b"INFO", scripts.SWEEP.sha, sending.SEND.sha, scripts.ACK.sha, scripts.RELEASE.sha, scripts.BURY.sha,
    scripts.EXTEND.sha, scripts.PROMOTE.sha, scripts.RECOVER.sha,
)  # fmt: skip
_LAST_KINDS = (b"UNBLOCK", scripts.LEAVE.sha)
"""What a consumer asks for while it works, and when it stops."""


# -- restarts


def restarts(fleet, *, jobs, restarts, seed=0, tell=None):
    """Restart the server at random moments, every other time with SIGKILL, while a fleet sends and works (row 7)."""
    draw, journals = random.Random(seed), fleet.journals
    with Serving(fleet.build("consumer")[0]), ThreadPoolExecutor(1) as threads:
        sending = threads.submit(send, fleet, fleet.queue, jobs)
        for number, moment in enumerate(sorted(draw.uniform(0.05, 0.95) * jobs for _ in range(restarts))):
            reach(fleet, moment, sending)
            restart(fleet, kill=number % 2 == 0)
            if tell is not None:
                tell(f"{number + 1} of {restarts} restarts, {journals.counts['end']} runs")
        sending.result()
        fleet.drain()
    return fleet.history()


def restart(fleet, *, kill, meanwhile=None):
    """Restart the server, and write that down.

    Args:
        fleet: whose server.
        kill: whether it ends with SIGKILL.
        meanwhile: called while it is down.
    """
    began = time.monotonic_ns()
    if kill:
        fleet.server.kill()
    else:
        fleet.server.stop()
    if meanwhile is not None:
        meanwhile()
    fleet.server.start()
    delay = (time.monotonic_ns() - began) / 1e9
    fleet.journal.write("fault", t=began, process="", outcome="broker_restart", delay=delay)


def power_cuts(fleet, *, cuts, tell=None):
    """Cut the power again and again: what the server wrote in its last second is not on the disk (row 7).

    Returns:
        how many messages were accepted, how many of them are lost, and how many acknowledged ones came back.
    """
    journals, sizes = fleet.journals, []
    file = next((fleet.server.directory / "appendonlydir").glob("*.incr.aof"))
    work = fleet.task("work")
    with Serving(fleet.build("consumer")[0]):
        for number in range(cuts):
            sizes.clear()
            end = time.monotonic() + 2.0
            while time.monotonic() < end:
                fleet.queue.enqueue_many(work.message(n, 0.0) for n in range(20))
                sizes.append((time.monotonic(), file.stat().st_size))
                pause(0.02)
            then = time.monotonic() - 1.0
            size = next(size for moment, size in sizes if moment >= then)
            restart(fleet, kill=True, meanwhile=partial(os.truncate, file, size))
            if tell is not None:
                tell(f"{number + 1} of {cuts} power cuts")
        fleet.drain()
    journals.read()
    accepted = {event.message for event in journals.of("accepted")}
    done = {event.message for event in journals.of("acked")}
    acked = Counter(event.message for event in journals.of("acked"))
    return len(accepted), len(accepted - done), sum(count > 1 for count in acked.values())


# -- forgetting


def forgets(fleet, how):
    """Have the server forget everything, or only the consumer group, while a consumer works (row 8).

    Returns:
        the history, and how many commands a second the server had to do afterwards, when there was nothing to do.
    """
    gate, journals, work = fleet.gate("gate"), fleet.journals, fleet.task("work")
    with Serving(fleet.build("consumer")[0]):
        fleet.task("gated").enqueue(str(gate))
        fleet.queue.enqueue_many([work.message(n, 0.0) for n in range(20)] + [work.message(99, 0.0).delayed(600.0)])
        journals.wait_for("acked", times=20)
        fleet.server.cli(*(("XGROUP", "DESTROY", STREAM, "taskq") if how == "group" else ("FLUSHALL",)))
        fleet.queue.enqueue_many(work.message(n, 0.0) for n in range(100, 120))
        journals.wait_for("acked", times=40)
        gate.touch()
        journals.wait_for("end", task="", times=41)
        before, began = _commands(fleet), time.monotonic()
        pause(1.0)
        spent = round((_commands(fleet) - before) / (time.monotonic() - began))
    return fleet.history(), spent


def _commands(fleet):
    (line,) = (line for line in fleet.server.cli("INFO", "STATS").splitlines() if line.startswith("total_commands_processed"))
    return int(line.partition(":")[2])


# -- refusing


def refuses(fleet, first):
    """Answer each kind of command with another error while a fleet starts, works and stops (row 9).

    Args:
        fleet: a fleet without workers.
        first: which of the errors the first kind of command gets; the second kind gets the next one, and so on.
    """
    errors = ERRORS[first:] + ERRORS[:first]
    with ExitStack() as stack:
        for module in (chores, fetcher):
            stack.enter_context(patch.object(module, "backoff", lambda *_: 0.05))
        proxy = stack.enter_context(Proxy(fleet.server.url))
        faults = [proxy.inject_error(error, matching=kind) for kind, error in zip(_KINDS, cycle(errors), strict=False)]
        app, queue = fleet.build("consumer", proxy.url)
        serving = stack.enter_context(Serving(app))
        find = queue.tasks.find
        queue.enqueue_many(
            [find("work").message(n, 0.0) for n in range(3)]
            + [find("work").message(3, 0.0).delayed(0.1), find("work").message(4, fleet.options["reservation_timeout"])]
            + [find("flaky").message("", 1), find("doomed").message(__file__)]
        )
        fleet.journals.wait(lambda: all(fault.fired for fault in faults))
        fleet.journals.wait(lambda: fleet.left == 0)
        for kind, error in zip(_LAST_KINDS, errors, strict=False):
            proxy.inject_error(error, matching=kind)
        serving.stop()
