"""A worker process of a chaos test: `python -m tests.chaos.worker`, told what to be by the variable TASKQ_CHAOS."""

import asyncio
import json
import os

from taskq_testing.recording import Recorder
from tests.chaos.jobs import build


async def main():
    told = json.loads(os.environ["TASKQ_CHAOS"])
    app, _ = build(told["url"], **told["options"])
    Recorder(told["directory"], told["process"]).attach(app)
    async with app:
        await app.run(signals=True)


if __name__ == "__main__":
    asyncio.run(main())
