"""The in-memory backend: speed as ratios within one run, size, imports: `python -m benchmarks memory [NAME ...] [--json]`."""

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc

import taskq

ROUNDS = 5
MESSAGES = 20_000


def ours(count: int) -> float:
    """Enqueue one by one and process all; seconds."""
    app = taskq.App(hooks=())
    queue = app.queue("bench", reservation_size=100)

    @queue.task
    async def noop() -> None:
        pass

    async def run() -> float:
        began = time.perf_counter()
        for _ in range(count):
            await noop.enqueue_async()
        settled = await app.consumer(queue).process_all()
        assert settled == count
        return time.perf_counter() - began

    return asyncio.run(run())


def with_taskiq(count: int) -> float:
    """The same with taskiq's in-memory broker, which runs tasks as they are sent."""
    from taskiq import InMemoryBroker  # noqa: PLC0415

    broker = InMemoryBroker()
    done = 0

    @broker.task
    async def noop() -> None:
        nonlocal done
        done += 1

    async def run() -> float:
        await broker.startup()
        began = time.perf_counter()
        for _ in range(count):
            await noop.kiq()
        await broker.wait_all()
        spent = time.perf_counter() - began
        await broker.shutdown()
        assert done == count
        return spent

    return asyncio.run(run())


def with_huey(count: int) -> float:
    """The same with huey's immediate mode, which calls the function in place and queues nothing."""
    from huey import MemoryHuey  # noqa: PLC0415

    huey = MemoryHuey(immediate=True, results=False)

    @huey.task()
    def noop() -> None:
        pass

    began = time.perf_counter()
    for _ in range(count):
        noop()
    return time.perf_counter() - began


def throughput() -> dict[str, float]:
    """Interleaved rounds; medians in messages per second, and our ratio to each peer."""
    runners = {"taskq": ours, "taskiq InMemoryBroker": with_taskiq, "huey immediate": with_huey}
    rates: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(ROUNDS):
        for name, runner in runners.items():
            gc.collect()
            rates[name].append(MESSAGES / runner(MESSAGES))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = {
        f"ratio to {name}": statistics.median(a / b for a, b in zip(rates["taskq"], rates[name], strict=True))
        for name in runners
        if name != "taskq"
    }
    return medians | ratios


def backlog() -> dict[str, float]:
    """Microseconds a message, enqueue and process, by length of the backlog; each the best of three."""
    costs = {}
    for count in (1_000, 10_000, 100_000, 1_000_000):
        gc.collect()
        repeats = 1 if count == 1_000_000 else max(3, 30_000 // count)
        costs[f"{count:,} messages, µs each"] = min(ours(count) for _ in range(repeats)) / count * 1e6
    values = list(costs.values())
    return costs | {"largest / smallest": max(values) / min(values)}


def size() -> dict[str, float]:
    """Bytes a queued small message takes."""
    count = 100_000
    app = taskq.App(hooks=())
    queue = app.queue("bench")

    @queue.task
    async def greet(name: str) -> None:
        pass

    gc.collect()
    tracemalloc.start()
    for index in range(count):
        greet.enqueue(f"name {index}")
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"bytes a queued message": used / count}


def imports() -> dict[str, float]:
    """Milliseconds that an import adds to a bare interpreter, from compiled bytecode; medians of 15 alternating rounds."""
    codes = {"nothing": "pass", "import asyncio, ms": "import asyncio", "import taskq, ms": "import taskq"}
    times: dict[str, list[float]] = {name: [] for name in codes}
    with tempfile.TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = folder
        for _ in range(16):
            for name, code in codes.items():
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], check=True, env=env)
                times[name].append((time.perf_counter() - began) * 1000)
    bare = statistics.median(times.pop("nothing"))
    return {name: statistics.median(values[1:]) - bare for name, values in times.items()}  # the first one compiled


def autoscale() -> dict[str, float]:
    """The comparison with Go's roulette; prints its own table."""
    subprocess.run([sys.executable, "-m", "benchmarks.autoscale"], check=True)
    return {}


BENCHMARKS = {"throughput": throughput, "backlog": backlog, "size": size, "imports": imports, "autoscale": autoscale}


def main(words: list[str]) -> int:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(words)
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; the names are {', '.join(BENCHMARKS)}")
    results = {}
    for name in asked.names or BENCHMARKS:
        results[name] = BENCHMARKS[name]()
        if not asked.json:
            print(name)
            for what, value in results[name].items():
                print(f"  {what:<32} {value:>14,.2f}")
    if asked.json:
        print(json.dumps(results))
    return 0
