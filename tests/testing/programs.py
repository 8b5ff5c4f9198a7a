"""Small programs whose outcome depends on the order of things that asyncio leaves open: what a deterministic loop has to pin.

Each takes a virtual loop and returns a coroutine of its outcome, as text. `main` prints the outcomes of all of them, for
comparing runs in processes with different hash seeds.
"""

import asyncio
import random
import sys

from taskq_testing.explore.strategies import Uniform
from taskq_testing.loop import VirtualLoop
from taskq_testing.tape import Tape


async def failing_group():
    """Twelve siblings whose clean-up takes a step each are cancelled in the order in which the group's set has them."""
    order = []

    async def sibling(number):
        try:
            await asyncio.sleep(3600)
        finally:
            order.append(number)

    async def failing():
        await asyncio.sleep(1)
        raise ValueError("the first error")

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(sibling(number))
            group.create_task(failing())
    except* ValueError:
        pass
    return order


async def done_sets():
    """Ten tasks end at one instant; whoever reads `done` meets them in the order of a set."""

    async def work(number):
        await asyncio.sleep(1)
        return number

    tasks = [asyncio.create_task(work(number)) for number in range(10)]
    slow = [asyncio.create_task(work(10)), asyncio.create_task(asyncio.sleep(9))]
    done, pending = await asyncio.wait([*tasks, *slow], timeout=1.5)
    rest, _ = await asyncio.wait(pending)
    return [[task.result() for task in done], [task.result() for task in rest]]


async def future_sets():
    """A library keeps its waiters in a set and wakes them all."""
    loop = asyncio.get_running_loop()
    waiters, order = {loop.create_future() for _ in range(10)}, []
    for number, waiter in enumerate(waiters):
        waiter.add_done_callback(lambda _, number=number: order.append(number))
    numbered = {waiter: number for number, waiter in enumerate(sorted(waiters, key=hash))}
    gathered = {asyncio.gather(asyncio.sleep(1, number)): number for number in range(10)}
    for waiter in waiters:
        waiter.set_result(numbered[waiter])
    done, _ = await asyncio.wait([*waiters, *gathered])
    return [order, [future.result() for future in done]]


async def completed_tasks():
    """Tasks that are all done by the time somebody asks for them as they are completed."""
    tasks = [asyncio.create_task(asyncio.sleep(1, number)) for number in range(10)]
    await asyncio.sleep(2)
    return [await task for task in asyncio.as_completed(tasks)]


async def completed_coroutines():
    """Bare coroutines of one duration, as they are completed; asyncio makes tasks of them in the order of a set."""
    return [await coroutine for coroutine in asyncio.as_completed([asyncio.sleep(1, number) for number in range(10)])]


async def equal_timers():
    """Eight timers that are due at one instant."""
    loop, order = asyncio.get_running_loop(), []
    for number in range(8):
        loop.call_later(0.5, order.append, number)
    await asyncio.sleep(0.5)
    return order


async def timeout_against_sleep():
    """A sleep and its timeout are due at one instant, in several sizes."""
    outcomes = []
    for seconds in (0.1, 0.3, 1.0, 7.7):
        try:
            async with asyncio.timeout(seconds):
                await asyncio.sleep(seconds)
            outcomes.append("slept")
        except TimeoutError:
            outcomes.append("timed out")
        try:
            outcomes.append(await asyncio.wait_for(asyncio.sleep(seconds, "slept"), seconds))
        except TimeoutError:
            outcomes.append("timed out")
    return outcomes


async def stranded_tasks():
    """Tasks that nobody waits for, as `all_tasks` shows them."""
    for number in range(20):
        asyncio.create_task(asyncio.sleep(3600 if number % 3 else 1), name=f"stranded {number}").add_done_callback(str)
    await asyncio.sleep(2)
    return [task.get_name() for task in asyncio.all_tasks()]


async def two_processes():
    """Three simulated processes whose steps are interleaved as the tape says, some of them in executors."""
    loop, order = asyncio.get_running_loop(), []

    async def steps(name):
        for step in range(6):
            order.append(f"{name}{step}")
            await asyncio.sleep(0 if step % 2 else 1)
        order.append(await asyncio.to_thread(lambda: f"{name} in a thread"))

    tasks = [loop.domain(name).create_task(steps(name)) for name in "abc"]
    await asyncio.gather(*tasks)
    return [order, loop.now]


PROGRAMS = (
    failing_group,
    done_sets,
    future_sets,
    completed_tasks,
    completed_coroutines,
    equal_timers,
    timeout_against_sleep,
    stranded_tasks,
    two_processes,
)


def outcome(program, seed, loop=VirtualLoop):
    """Run a program on a fresh virtual loop and return what came of it, as text."""
    with asyncio.Runner(loop_factory=lambda: loop(Tape(seed, Uniform()), likely=0.3)) as runner:
        return repr(runner.run(program()))


def perturb(seed):
    """Allocate and drop objects, so that what is made next lies at other addresses."""
    rng = random.Random(seed)
    kept = [bytearray(rng.randrange(1, 2000)) for _ in range(rng.randrange(500, 3000))]
    rng.shuffle(kept)
    return kept[: len(kept) // 2], [asyncio.Event() for _ in range(rng.randrange(100))]


def main(seeds, junk):
    """Print one line for each program and seed."""
    for program in PROGRAMS:
        for seed in range(seeds):
            kept = perturb(junk + seed)
            print(program.__name__, seed, outcome(program, seed))
            del kept


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
