"""The public API as a type checker sees it: what is wrong here must be reported, or the ignore itself is an error."""

from datetime import timedelta

import taskq

app = taskq.App()
mail = app.queue("mail", rate_limit=taskq.RateLimit(100, per=1.0), pause_period=timedelta(minutes=1))
app.queue("other", max_wrokers=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@mail.task(max_attempts=5, min_backoff=1.0, max_backoff=timedelta(minutes=1))
def greet(name: str, age: int = 0) -> None: ...


@mail.task
async def led(context: taskq.Context, name: str) -> None: ...


@mail.task
def raw(message: taskq.Message) -> None: ...


@mail.task(batch=taskq.Batch(size=10))
async def many(context: taskq.Context, messages: taskq.MessageBatch) -> None: ...


@greet.fallback
def greet_failed(message: taskq.Message) -> None: ...


result: taskq.Enqueued = greet.enqueue("World", age=3)
greet.enqueue(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
greet.enqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
led.enqueue("World")
led.enqueue(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
raw.enqueue(1, "anything")
many.enqueue(1, "anything")
message: taskq.Message = greet.message("World").delayed(timedelta(hours=1)).named("n").once_in(60, "key")
results: list[taskq.Enqueued] = mail.enqueue_many(greet.message(name) for name in ["a"])


async def asynchronous() -> None:
    """Use the async forms."""
    one: taskq.Enqueued = await greet.enqueue_async("World")
    stats: taskq.Stats = app.consumer(mail).stats()
    await app.run(["mail"])
    assert one.accepted
    assert stats.processed
