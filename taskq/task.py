"""A task is a handler under a name with a policy; a registry holds those of one queue. Nothing is sent or run here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from taskq.binding import Binder
from taskq.errors import ConfigError
from taskq.message import Enqueued, Message
from taskq.options import TaskOptions
from taskq.wire import args as wire_args

__all__ = ["CATCH_ALL", "Producer", "Registry", "Task"]

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])

CATCH_ALL = "*"
"""The name of the task that receives messages of tasks nobody registered."""


class Producer(Protocol):
    """Where a task's messages go; its queue."""

    def enqueue(self, message: Message) -> Enqueued:
        """Add a message."""

    async def enqueue_async(self, message: Message) -> Enqueued:
        """Add a message from async code."""


class Task(Generic[P]):
    """A handler that can be called later. Calling the task itself runs the handler here and now.

    Attributes:
        name: what travels.
        handler: the function.
        options: its policy.
        binder: its signature, compiled.
        fallback_binder: that of its fallback, if there is one.
        fallback_handler: called once when a message failed for good.
    """

    def __init__(self, handler: Callable[..., Any], name: str, options: TaskOptions, producer: Producer) -> None:
        if not name or not isinstance(name, str):
            raise ConfigError(f"name={name!r} is not a task name; give text")
        self.name = name
        self.handler = handler
        self.options = options
        self.binder = Binder(handler, name)
        self.fallback_handler: Callable[..., Any] | None = None
        self.fallback_binder: Binder | None = None
        self._producer = producer
        if (self.binder.form == "batch") is not (options.batch is not None):
            raise ConfigError(f"task {name!r}: give batch=Batch(...) and a handler that takes one MessageBatch, or neither")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the handler directly; nothing is enqueued."""
        return self.handler(*args, **kwargs)

    def message(self, *args: P.args, **kwargs: P.kwargs) -> Message:
        """Return a message for this call, to be delayed or named before it is enqueued.

        Raises:
            TypeError: the arguments do not fit the handler, or cannot travel.
        """
        return Message(task=self.name, args_bytes=self.binder.encode(args, kwargs), decoder=wire_args.decode)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Enqueued:
        """Enqueue this call from sync code.

        Raises:
            TypeError: the arguments do not fit the handler, or cannot travel.
            BackendError: the backend did not accept it.
        """
        return self._producer.enqueue(self.message(*args, **kwargs))

    async def enqueue_async(self, *args: P.args, **kwargs: P.kwargs) -> Enqueued:
        """Enqueue this call from async code."""
        return await self._producer.enqueue_async(self.message(*args, **kwargs))

    def fallback(self, handler: F) -> F:
        """Register what runs once when a message failed for good; decorator.

        It takes a `Message`, or the arguments of the task.
        """
        if self.fallback_handler is not None:
            raise ConfigError(f"task {self.name!r} has a fallback already; keep one")
        self.fallback_binder = Binder(handler, f"{self.name} (fallback)")
        self.fallback_handler = handler
        return handler

    def __repr__(self) -> str:
        return f"<Task {self.name!r}>"


class Registry:
    """The tasks of one queue, by name."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._tasks: dict[str, Task[Any]] = {}

    def add(self, task: Task[Any]) -> None:
        """Register a task.

        Raises:
            ConfigError: the name is taken.
        """
        if task.name in self._tasks:
            raise ConfigError(f"task {task.name!r} is registered on queue {self._queue!r} already; give another name=")
        self._tasks[task.name] = task

    def find(self, name: str) -> Task[Any] | None:
        """Return the task of that name, or the catch-all task, or None."""
        return self._tasks.get(name) or self._tasks.get(CATCH_ALL)

    @property
    def names(self) -> Collection[str]:
        """The registered names."""
        return self._tasks.keys()
