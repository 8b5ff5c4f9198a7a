"""The worker's part: it consumes until it is stopped. `taskq worker tasks:app` does the same."""

import asyncio

from tasks import app

if __name__ == "__main__":
    asyncio.run(app.run(signals=True))
