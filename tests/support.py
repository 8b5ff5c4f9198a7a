"""What tests share: running a coroutine under a deadline, and a clock that is set by hand."""

import asyncio
import random


def run(coroutine):
    """Run a coroutine; one that hangs fails, and a busy machine has two minutes."""

    async def bounded():
        async with asyncio.timeout(120):
            return await coroutine

    return asyncio.run(bounded())


class FakeClock:
    """Time that moves when a test says so."""

    def __init__(self):
        self.time = 1000.0
        self._random = random.Random(0)
        self.random = self._random.random

    def now(self):
        return self.time

    def monotonic(self):
        return self.time

    def new_id(self):
        return b"%032x" % self._random.getrandbits(128)

    def beside(self, work, name):
        task = asyncio.create_task(work(), name=name)

        async def cancel():
            task.cancel()

        return cancel


async def until(condition):
    """Let the loop run until a condition holds."""
    while not condition():
        await asyncio.sleep(0)
