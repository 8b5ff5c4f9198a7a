"""The API's part: it enqueues and goes on."""

import asyncio
import os
import sys

from tasks import app, greet, mail


def enqueue(names: list[str]) -> None:
    """Greet each name once a day."""
    for name in names:
        result = mail.enqueue(greet.message(name).named(f"hello-{name}"))
        print(f"{name}: {'greeted already' if result.duplicate else 'enqueued'}", flush=True)


if __name__ == "__main__":
    enqueue(sys.argv[1:] or ["Ada", "Grace", "Ada"])
    if os.environ.get("TASKQ_URL", "memory://").startswith("memory:"):
        # Memory is not shared between processes: here the worker's part runs in this one.
        asyncio.run(app.consumer(mail).process_all())
