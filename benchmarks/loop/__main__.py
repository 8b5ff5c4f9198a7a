"""Hand-offs over a queue and sleeps per second of several loops, in interleaved rounds: `python -m benchmarks.loop [ROUNDS]`.

simloop and simloom are measured where they are installed. The ratio to the stock loop is the median over rounds, each of
which measures all loops one after another; a busy machine slows a round, and hardly its ratios.
"""

import asyncio
import gc
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from taskq_testing.explore.strategies import Uniform
from taskq_testing.loop import VirtualLoop
from taskq_testing.tape import Tape

COUNT = 50_000
ROUNDS = 7
Program = Callable[[], Coroutine[Any, Any, None]]


async def hand_offs() -> None:
    """One task gives, another takes and gives back: each hand-off wakes a task."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def echo() -> None:
        while True:
            back.put_nowait(await there.get())

    task = asyncio.create_task(echo())
    for number in range(COUNT // 2):
        there.put_nowait(number)
        await back.get()
    task.cancel()


async def bounded_hand_offs() -> None:
    """The same over one queue that holds one item, so that giver and taker wait for each other."""
    queue: asyncio.Queue[int] = asyncio.Queue(1)

    async def give() -> None:
        for number in range(COUNT):
            await queue.put(number)

    task = asyncio.create_task(give())
    for _ in range(COUNT):
        await queue.get()
    await task


async def sleeps() -> None:
    """A hundred tasks sleep for next to nothing, over and over; the stock loop does it in real time."""

    async def sleeper(number: int) -> None:
        for _ in range(COUNT // 100):
            await asyncio.sleep(number * 1e-8)

    await asyncio.gather(*(sleeper(number) for number in range(1, 101)))


def _stock(program: Program) -> None:
    with asyncio.Runner() as runner:
        runner.run(program())


def _virtual(program: Program) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(program())


def _in_domains(program: Program) -> None:
    """Let the program run in a simulated process, which takes the bookkeeping of several."""
    loop = VirtualLoop(Tape(0, Uniform()))
    loop.run_until_complete(loop.domain("worker").create_task(program()))
    loop.close()


def _simloop(program: Program) -> None:
    importlib.import_module("simloop").explore(program, [0])


def _simloom(program: Program) -> None:
    importlib.import_module("simloom").run(program, seed=0, max_steps_per_instant=1 << 60)


def loops() -> dict[str, Callable[[Program], None]]:
    """Return the loops that can be measured here; the stock one comes first."""
    found = {"stock asyncio": _stock, "VirtualLoop": _virtual, "VirtualLoop, in a process": _in_domains}
    for name, run in (("simloop", _simloop), ("simloom", _simloom)):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        found[name] = run
    return found


def measure(program: Program, rounds: int) -> dict[str, list[float]]:
    """Return each loop's rates per second, one for each round."""
    rates: dict[str, list[float]] = {name: [] for name in loops()}
    for _ in range(rounds):
        for name, run in loops().items():
            gc.collect()
            began = time.perf_counter()
            run(program)
            rates[name].append(COUNT / (time.perf_counter() - began))
    return rates


def main(rounds: int = ROUNDS) -> None:
    """Print one table for each program."""
    print(f"Python {sys.version.split()[0]}, {rounds} rounds of {COUNT:,}")
    for program in (hand_offs, bounded_hand_offs, sleeps):
        rates = measure(program, rounds)
        print(f"\n{program.__name__.replace('_', ' '):26} {'per second':>11} {'to stock':>9}")
        stock = rates["stock asyncio"]
        for name, values in rates.items():
            ratio = statistics.median(value / base for value, base in zip(values, stock, strict=True))
            print(f"{name:26} {statistics.median(values):11,.0f} {ratio:8.2f}x")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
