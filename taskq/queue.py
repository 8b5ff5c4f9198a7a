"""The producer's side of one queue: registers tasks, checks and encodes messages, gives them to the backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, Unpack, overload

import msgspec

from taskq.backends.base import Backend, BlockingSender, Broker, Clock, DeadLetter, DeadLetters, Outgoing, Size
from taskq.context import Context
from taskq.core import dedup
from taskq.core.delay import delay_of, postponed, rest_of, split
from taskq.errors import (
    BackendError,
    ConfigError,
    DecodeError,
    DuplicateMessageError,
    MessageTooLarge,
    NotSupported,
    TaskqError,
)
from taskq.hooks.base import Hooks
from taskq.message import Enqueued, Message, MessageBatch
from taskq.options import QueueOptions, TaskOptions, TaskSettings, build
from taskq.runtime.portal import Portal
from taskq.task import Registry, Task
from taskq.wire import args as wire_args
from taskq.wire import envelope

__all__ = ["Queue"]

P = ParamSpec("P")

MessageHandler = (
    Callable[[Message], Any]
    | Callable[[MessageBatch], Any]
    | Callable[[Context, Message], Any]
    | Callable[[Context, MessageBatch], Any]
)
"""A handler that takes messages as they are; its task is enqueued with any arguments."""


class _TaskDecorator(Protocol):
    @overload
    def __call__(self, handler: MessageHandler, /) -> Task[...]: ...
    @overload
    def __call__(self, handler: Callable[Concatenate[Context, P], Any], /) -> Task[P]: ...
    @overload
    def __call__(self, handler: Callable[P, Any], /) -> Task[P]: ...


class Owner(Protocol):
    """What a queue hangs on; its app."""

    broker: Broker
    hooks: Hooks
    clock: Clock
    portal: Portal
    closed: bool
    ignores_delay: bool
    runs_inline: bool

    async def process_inline(self, queue: Queue) -> None:
        """Run what is ready on a queue, here and now."""


class Queue:
    """A named queue of an app.

    Attributes:
        name: its name.
        options: its policy.
        tasks: the tasks that its consumers run.
    """

    def __init__(self, name: str, options: QueueOptions, owner: Owner) -> None:
        if not name or not isinstance(name, str):
            raise ConfigError(f"name={name!r} is not a queue name; give text")
        self.name = name
        self.options = options
        self.tasks = Registry(name)
        self.backend = owner.broker.queue(name, options)
        self._owner = owner

    @property
    def backend(self) -> Backend:
        """Where its messages live."""
        return self._backend

    @backend.setter
    def backend(self, backend: Backend) -> None:
        self._backend = backend
        # Asked once: a look at a protocol takes as long as half a send.
        self._blocking = backend if isinstance(backend, BlockingSender) and backend.capabilities.dedup else None

    @overload
    def task(self, handler: MessageHandler, /) -> Task[...]: ...
    @overload
    def task(self, handler: Callable[Concatenate[Context, P], Any], /) -> Task[P]: ...
    @overload
    def task(self, handler: Callable[P, Any], /) -> Task[P]: ...
    @overload
    def task(self, *, name: str | None = None, **options: Unpack[TaskSettings]) -> _TaskDecorator: ...
    def task(self, handler: Callable[..., Any] | None = None, *, name: str | None = None, **options: Unpack[TaskSettings]) -> Any:
        """Register a handler as a task; decorator, with or without options.

        Args:
            handler: the function, where it is used without parentheses.
            name: what travels; the function's name by default, "*" for messages of tasks nobody registered.
            options: see `TaskOptions`.

        Raises:
            ConfigError: an option out of range, a name that is taken, a signature that cannot travel.
        """

        def register(function: Callable[..., Any]) -> Task[Any]:
            chosen = name if name is not None else getattr(function, "__name__", type(function).__name__)
            task: Task[Any] = Task(function, chosen, build(TaskOptions, dict(options)), self)
            self.tasks.add(task)
            return task

        return register if handler is None else register(handler)

    def message(self, task: str, *args: Any) -> Message:
        """Return a message for a task that is defined elsewhere, for instance in Go; its arguments are not checked.

        Raises:
            WireError: an argument cannot travel.
        """
        return Message(task=task, args_bytes=wire_args.encode(args), decoder=wire_args.decode)

    # -- enqueueing

    def enqueue(self, message: Message) -> Enqueued:
        """Add a message from sync code and return once the backend has accepted it.

        Raises:
            BackendError: it was not accepted; nothing is remembered of its name.
            TaskqError: the app is closed.
        """
        message, outgoing = self._prepare(message)
        if self._blocking is not None:
            result = self._result(message, outgoing, self._blocking.send_blocking((outgoing,))[0])
            self._run_inline_blocking()
        else:
            result = self._owner.portal.call(self._send_one(message, outgoing))
        return _raised(result)

    async def enqueue_async(self, message: Message) -> Enqueued:
        """Add a message from async code; see `enqueue`."""
        return _raised(await self._send_one(*self._prepare(message)))

    def enqueue_many(self, messages: Iterable[Message]) -> list[Enqueued]:
        """Add messages in one trip and return one result for each; a bad one does not fail the others.

        Raises:
            BackendUnavailable: none of them is known to be added.
        """
        if self._blocking is not None:
            prepared = self._prepare_all(messages)
            answers = self._blocking.send_blocking([out for _, out in prepared if isinstance(out, Outgoing)])
            results = self._results(prepared, answers)
            self._run_inline_blocking()
            return results
        return self._owner.portal.call(self.enqueue_many_async(messages))

    async def enqueue_many_async(self, messages: Iterable[Message]) -> list[Enqueued]:
        """Do what `enqueue_many` does, from async code."""
        prepared = self._prepare_all(messages)
        answers = await self._send([outgoing for _, outgoing in prepared if isinstance(outgoing, Outgoing)])
        results = self._results(prepared, answers)
        if self._owner.runs_inline:
            await self._owner.process_inline(self)
        return results

    async def _send_one(self, message: Message, outgoing: Outgoing) -> Enqueued:
        if self.backend.capabilities.dedup or outgoing.claim is None:
            answers = await self.backend.send((outgoing,))
        else:
            answers = await self._send([outgoing])
        result = self._result(message, outgoing, answers[0])
        if self._owner.runs_inline:
            await self._owner.process_inline(self)
        return result

    async def _send(self, batch: list[Outgoing]) -> Sequence[Exception | None]:
        """Send in order; where the backend cannot claim names itself, claim before and free what was not added."""
        if self.backend.capabilities.dedup or all(outgoing.claim is None for outgoing in batch):
            return await self.backend.send(batch)
        store = self._owner.broker.dedup
        answers: list[Exception | None] = [None] * len(batch)
        claimed: list[int] = []
        try:
            for index, outgoing in enumerate(batch):
                claim = outgoing.claim
                if claim is not None and not await store.claim(claim.key, claim.ttl):
                    answers[index] = DuplicateMessageError(claim.key.hex())
                else:
                    claimed.append(index)
            for index, answer in zip(
                claimed,
                await self.backend.send([Outgoing(batch[i].id, batch[i].body, batch[i].delay) for i in claimed]),
                strict=True,
            ):
                answers[index] = answer
        except BaseException:
            await self._unclaim(batch[index] for index in claimed)
            raise
        await self._unclaim(batch[index] for index in claimed if answers[index] is not None)
        return answers

    async def _unclaim(self, outgoings: Iterable[Outgoing]) -> None:
        for outgoing in outgoings:
            if outgoing.claim is not None:
                await self._owner.broker.dedup.unclaim(outgoing.claim.key)

    # -- preparing

    def _prepare(self, message: Message) -> tuple[Message, Outgoing]:
        """Return the message as it travels, and its bytes on their way."""
        owner = self._owner
        if owner.closed:
            raise TaskqError(f"the app of queue {self.name!r} is closed; enqueue before closing it")
        if not isinstance(message, Message):
            raise TypeError(f"enqueue takes a Message and got a {type(message).__name__}; make one with task.message(...)")
        message_id = message.id or owner.clock.new_id()
        if owner.hooks.before_enqueue:
            message = owner.hooks.prepare(self.name, msgspec.structs.replace(message, id=message_id))
        elif not message.id:
            message = msgspec.structs.replace(message, id=message_id)
        delay = message.delay
        claim = None
        if message.run_at is not None or message.dedup is not None:
            now = owner.clock.now()
            delay = delay_of(message, now)
            claim = dedup.claim(self.name, message, delay, now, self.options)
        if owner.ignores_delay:
            delay = 0.0
        capabilities = self.backend.capabilities
        delay, rest = split(delay, capabilities.max_delay)
        body = envelope.encode(
            postponed(message, rest) if rest or rest_of(message) else message, compress_from=self.options.compress_from
        )
        for limit in (self.options.max_message_size, capabilities.max_message_size):
            if limit is not None and len(body) > limit:
                raise MessageTooLarge(len(body), limit)
        return message, Outgoing(message_id, body, delay, claim)

    def _prepare_all(self, messages: Iterable[Message]) -> list[tuple[Message, Outgoing | Exception]]:
        prepared: list[tuple[Message, Outgoing | Exception]] = []
        for message in messages:
            try:
                prepared.append(self._prepare(message))
            except (MessageTooLarge, ValueError) as error:
                prepared.append((message, error))
        return prepared

    def _results(
        self, prepared: list[tuple[Message, Outgoing | Exception]], answers: Sequence[Exception | None]
    ) -> list[Enqueued]:
        remaining = iter(answers)
        return [
            Enqueued(message_id=message.id, error=outgoing)
            if isinstance(outgoing, Exception)
            else self._result(message, outgoing, next(remaining))
            for message, outgoing in prepared
        ]

    def _result(self, message: Message, outgoing: Outgoing, answer: Exception | None) -> Enqueued:
        if answer is None:
            result = Enqueued(message_id=outgoing.id)
        elif isinstance(answer, DuplicateMessageError):
            result = Enqueued(message_id=outgoing.id, duplicate=True)
        else:
            result = Enqueued(message_id=outgoing.id, error=answer)
        hooks = self._owner.hooks
        if hooks.on_enqueue:
            hooks.tell(hooks.on_enqueue, self.name, message, result)
        return result

    def _run_inline_blocking(self) -> None:
        owner = self._owner
        if owner.runs_inline and not owner.portal.inside:
            owner.portal.call(owner.process_inline(self))

    # -- looking after

    async def size(self) -> Size:
        """Count the messages by state."""
        return await self.backend.size()

    async def purge(self) -> int:
        """Drop all ready and delayed messages and return how many."""
        return await self.backend.purge()

    # -- dead letters

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Return the oldest messages that were given up, at most `limit`, each intact and with the reason.

        Raises:
            NotSupported: the backend's dead letters cannot be looked at.
        """
        return await self._dead().dead_letters(limit)

    async def redrive(self, letters: Iterable[DeadLetter]) -> int:
        """Make dead letters ready again, as if they were new; return how many still were there.

        Raises:
            NotSupported: the backend's dead letters cannot be put back.
        """
        return await self._dead().redrive([self._anew(letter) for letter in letters])

    async def discard(self, letters: Iterable[DeadLetter]) -> int:
        """Delete dead letters for good; return how many still were there.

        Raises:
            NotSupported: the backend's dead letters cannot be dropped.
        """
        return await self._dead().discard(list(letters))

    def _dead(self) -> DeadLetters:
        if isinstance(self.backend, DeadLetters):
            return self.backend
        raise NotSupported(f"the backend of queue {self.name!r} keeps its dead letters to itself; use the service's own tools")

    def _anew(self, letter: DeadLetter) -> DeadLetter:
        try:
            message = envelope.decode(letter.body)
        except DecodeError:
            return letter  # it will be given up again, as intact as it is
        body = envelope.encode(msgspec.structs.replace(message, attempt=0), compress_from=self.options.compress_from)
        return msgspec.structs.replace(letter, body=body)

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"


def _raised(result: Enqueued) -> Enqueued:
    if result.error is None:
        return result
    if isinstance(result.error, BackendError):
        raise result.error
    raise BackendError(f"the backend refused the message: {result.error}") from result.error
