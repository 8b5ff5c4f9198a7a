"""Sends jobs from inside a peer's environment and times it. Standard library and the peer's file only.

    python driver.py PEER sync|async one|many TASK COUNT   time COUNT jobs, one a call or a thousand a call
    python driver.py PEER fill TASK COUNT                  the same by the fastest way that the peer has
    python driver.py PEER latency TASK COUNT FROM TO WARMUP
                 one job at a time, each sent FROM to TO seconds after the one before it was handled

Prints one JSON object: null where the peer has no such call.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import random
import sys
import time
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

CALL = 1000
"""Jobs in one bulk call."""

WARMUP = 200
"""Jobs that are sent before the clock starts: connections, scripts and caches."""

PATIENCE = 30.0
"""Seconds within which a worker has to run a job."""


class Stopwatch:
    """The time since it was made, on the wall and of this process's processors."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def told(self, count: int) -> dict[str, float]:
        return {"count": count, "seconds": time.perf_counter() - self._wall, "cpu": time.process_time() - self._cpu}


def send_sync(producer: Any, how: str, task: str, count: int) -> None:
    if how == "one":
        for i in range(count):
            producer.send(task, i)
    else:
        for start in range(0, count, CALL):
            producer.send_many(task, range(start, min(start + CALL, count)))


async def send_async(producer: Any, how: str, task: str, count: int) -> None:
    if how == "one":
        for i in range(count):
            await producer.send(task, i)
    else:
        for start in range(0, count, CALL):
            await producer.send_many(task, range(start, min(start + CALL, count)))


def time_sync(peer: ModuleType, how: str, task: str, count: int) -> Any:
    with peer.sending() as producer:
        if how == "many" and not hasattr(producer, "send_many"):
            return None
        send_sync(producer, how, task, WARMUP)
        began = Stopwatch()
        send_sync(producer, how, task, count)
        return began.told(count)


async def time_async(peer: ModuleType, how: str, task: str, count: int) -> Any:
    async with peer.sending_async() as producer:
        if how == "many" and not hasattr(producer, "send_many"):
            return None
        await send_async(producer, how, task, WARMUP)
        began = Stopwatch()
        await send_async(producer, how, task, count)
        return began.told(count)


@asynccontextmanager
async def either(peer: ModuleType) -> Any:
    """A producer of the kind the peer prefers: async where it has both."""
    if hasattr(peer, "sending_async"):
        async with peer.sending_async() as producer:
            yield producer
    else:
        with peer.sending() as producer:
            yield producer


async def fill(peer: ModuleType, task: str, count: int) -> Any:
    async with either(peer) as producer:
        how = "many" if hasattr(producer, "send_many") else "one"
        send = send_async if inspect.iscoroutinefunction(producer.send) else send_sync
        began = Stopwatch()
        sent = send(producer, how, task, count)
        if inspect.isawaitable(sent):
            await sent
        return began.told(count)


async def latency(peer: ModuleType, task: str, count: int, gap: tuple[float, float], warmup: int) -> Any:
    """Milliseconds from before the send to the start of the handler, one for each job after the warm-up.

    Between two jobs the worker goes idle; the time is drawn at random, out of step with any poll of its own.
    """
    chance = random.Random(1)
    samples = []
    async with either(peer) as producer:
        for i in range(warmup + count):
            samples.append(await one_latency(producer, task, i))
            time.sleep(chance.uniform(*gap))  # noqa: ASYNC251 - the loop has nothing else to do
    return {"count": count, "samples": samples[warmup:]}


async def one_latency(producer: Any, task: str, i: int) -> float:
    from probe import now, probe  # noqa: PLC0415 - it needs the runner's memory

    before, sent = probe.total(), now()
    answer = producer.send(task, i)
    if inspect.isawaitable(answer):
        await answer
    deadline = time.monotonic() + PATIENCE
    while probe.total() == before:
        if time.monotonic() > deadline:
            raise TimeoutError(f"job {i} was not handled within {PATIENCE:.0f} s")
        time.sleep(0.002)  # noqa: ASYNC251 - the same
    return (probe.last_end() - sent) / 1e6


def run(job: Any) -> Any:
    """On uvloop where the peer's environment has it."""
    try:
        import uvloop  # noqa: PLC0415 - not every peer has it
    except ImportError:
        return asyncio.run(job)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(job)


def main(name: str, action: str, *rest: str) -> Any:
    peer = importlib.import_module(f"peer_{name}")
    if action == "fill":
        return run(fill(peer, rest[0], int(rest[1])))
    if action == "latency":
        task, count, low, high, warmup = rest
        return run(latency(peer, task, int(count), (float(low), float(high)), int(warmup)))
    how, task, count = rest
    if action == "sync":
        return time_sync(peer, how, task, int(count)) if hasattr(peer, "sending") else None
    return run(time_async(peer, how, task, int(count))) if hasattr(peer, "sending_async") else None


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
