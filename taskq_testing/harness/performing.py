"""One handler run alone: through the codec, the binding and the consumer's own decision, beside the queues of the test."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import msgspec

from taskq.backends.base import Outgoing
from taskq.backends.memory import MemoryBroker
from taskq.consumer import Consumer
from taskq.hooks.base import Hooks
from taskq.message import Message
from taskq.queue import Queue
from taskq.task import Registry, Task
from taskq.wire import envelope
from taskq_testing.harness.runs import Performance, RunLog
from taskq_testing.harness.stage import Stage

__all__ = ["Performed", "perform"]


class Performed(Performance, frozen=True, kw_only=True):
    """What one run came to, see `Performance`.

    Attributes:
        result: what the handler returned; None if it raised.
        reason: why the message would be put aside; empty if it would not.
    """

    result: Any = None
    reason: str = ""


def perform(stage: Stage, queue: Queue, task: Task[Any], message: Message) -> Performed:
    """Run a task's handler with a message as the consumer does, fallback included, and return what came of it."""
    results: list[Any] = []
    registry = Registry(queue.name)
    registry.add(_keeping(task, results.append))
    log = RunLog(stage.clock.monotonic, stage.decode)
    hooks = Hooks((*(hook for hook in stage.app.hooks.listed if hook is not stage.log), log))
    broker = MemoryBroker(stage.clock)
    backend = broker.queue(queue.name, queue.options)
    wiring = msgspec.structs.replace(stage.app.wiring(queue), backend=backend, broker=broker, registry=registry, hooks=hooks)
    message = msgspec.structs.replace(message, id=message.id or stage.clock.new_id())
    body = envelope.encode(message, compress_from=queue.options.compress_from)
    backend.send_blocking([Outgoing(message.id, body)])
    stage.run(Consumer(wiring).process_one(), working=False)
    performance = log.performances[-1]
    reason = next((held.reason for held in backend.messages() if held.state == "dead"), "")
    return Performed(**msgspec.structs.asdict(performance), result=results[0] if results else None, reason=reason)


def _keeping(task: Task[Any], keep: Callable[[Any], None]) -> Task[Any]:
    """Return the same task with a handler that keeps what it returns."""
    handler = task.handler

    def in_thread(*args: Any) -> None:
        keep(handler(*args))

    async def on_loop(*args: Any) -> None:
        keep(await handler(*args))

    kept = copy.copy(task)
    kept.handler = on_loop if task.binder.is_async else in_thread
    return kept
