"""What both programs import: the app, its queue and its tasks."""

import os

import taskq

app = taskq.App(os.environ.get("TASKQ_URL", "memory://"))
# A worker that dies is noticed after five seconds, and its messages are taken by others; a handler may take longer.
mail = app.queue("mail", rate_limit=taskq.RateLimit(100, per=1.0), worker_limit=8, reservation_timeout=5.0)


@mail.task(max_attempts=5, min_backoff=1.0, max_backoff=60.0)
def greet(name: str) -> None:
    """Send a greeting."""
    # One write with its line end: handlers run in threads, and two prints may mix.
    print(f"hello, {name}\n", end="", flush=True)


@greet.fallback
def greet_failed(message: taskq.Message) -> None:
    """Say so when a greeting failed for good."""
    print(f"could not greet {message.args[0]}", flush=True)
