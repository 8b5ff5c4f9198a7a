"""The demo: an API part and a worker part over real files, through every feature. No clock reads, no printing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from taskq.app import App
from taskq.context import Context
from taskq.core.retry import Release
from taskq.core.stats import Histogram
from taskq.errors import ConfigError
from taskq.hooks.base import Hook
from taskq.hooks.events import Settled
from taskq.message import Enqueued, Message, MessageBatch, printable
from taskq.options import Batch, RateLimit
from taskq.runtime.clock import SystemClock

__all__ = ["Demo", "DemoOptions", "Report", "SourceFiles"]

Show = Callable[[int, int, str], None]

_LATE = 5
_HOPELESS = 2
_LIMITED = 60
_NAMED_TWICE = 50
_DELAY = 0.5


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo is given.

    Attributes:
        limit: files at most, from 1.
        rate: messages a second on the rate-limited queue.
        backend: URL of the backend.
    """

    limit: int = 2000
    rate: float = 200.0
    backend: str = "memory://"

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ConfigError(f"--limit {self.limit} is out of range; give at least 1")


class SourceFiles:
    """Real text files below a folder."""

    def __init__(self, path: str | Path, pattern: str = "*.py") -> None:
        self._root = Path(path)
        self._pattern = pattern

    def first(self, limit: int) -> list[str]:
        """Return the paths of at most `limit` files.

        Raises:
            ConfigError: the folder does not exist, or holds no such file.
        """
        if not self._root.is_dir():
            raise ConfigError(f"--path {self._root} is no folder; give one that holds text files")
        found = sorted(str(path) for path in self._root.rglob(self._pattern) if path.is_file())
        if not found:
            raise ConfigError(f"--path {self._root} holds no file that matches {self._pattern}; give another --pattern")
        return found[:limit]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo did; `rows` is the table, the fields are the JSON object."""

    files: int
    words: int
    processed: int
    retries: int
    failures: int
    fallbacks: int
    dead: int
    duplicates: int
    batches: int
    left: int
    seconds: float
    throughput: float
    latency_p50_ms: float
    latency_p99_ms: float

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values for people."""
        return [
            ("files", f"{self.files:,}"),
            ("words counted", f"{self.words:,}"),
            ("processed", f"{self.processed:,}"),
            ("retries", f"{self.retries:,}"),
            ("failures (given up)", f"{self.failures:,}"),
            ("fallbacks run", f"{self.fallbacks:,}"),
            ("dead letters", f"{self.dead:,}"),
            ("duplicates refused", f"{self.duplicates:,}"),
            ("batches", f"{self.batches:,}"),
            ("left in the queues", f"{self.left:,}"),
            ("wall time", f"{self.seconds:.2f} s"),
            ("throughput", f"{self.throughput:,.0f} messages/s"),
            ("latency p50 / p99", f"{self.latency_p50_ms:.1f} / {self.latency_p99_ms:.1f} ms"),
        ]


class _Tally(Hook):
    """Knows which messages are not done yet, and how long the others took from being due to the end of their last run."""

    def __init__(self, monotonic: Callable[[], float], on_done: Callable[[], None]) -> None:
        self.done = 0
        self.open: dict[bytes, float] = {}
        self.latency = Histogram()
        self._monotonic = monotonic
        self._on_done = on_done

    def before_enqueue(self, queue: str, message: Message) -> Message:  # noqa: ARG002 - a hook's signature
        # Noted before it is sent: a worker may be done with it before the sender's thread comes to `on_enqueue`.
        self.open[message.id] = self._monotonic() + message.delay
        return message

    def on_enqueue(self, queue: str, message: Message, result: Enqueued) -> None:  # noqa: ARG002 - a hook's signature
        if not result.accepted:
            self.open.pop(result.message_id, None)

    def on_settle(self, event: Settled) -> None:
        if isinstance(event.decision, Release):
            return
        due = self.open.pop(event.message.id, None)
        if due is not None:  # None: a shared backend hands out what others enqueued, too
            self.done += 1
            self.latency.add(max(0.0, self._monotonic() - due))
        if not self.open:
            self._on_done()


class Demo:
    """Builds an app with two queues, enqueues as an API would, and consumes until all is done.

    Attributes:
        app: the app.
        interrupted: whether SIGINT ended it early.
    """

    def __init__(self, files: SourceFiles, options: DemoOptions) -> None:
        self._files = files.first(options.limit)
        self._counts: dict[str, int] = {}
        self._over = asyncio.Event()
        self._batches = self._duplicates = self._fallbacks = 0
        self.interrupted = False
        clock = SystemClock()
        self._tally = _Tally(clock.monotonic, self._over.set)
        self.app = App(options.backend, hooks=(self._tally,), clock=clock)
        self._words = self.app.queue("words", max_workers=64, dedup_window=60.0)
        self._mail = self.app.queue("mail", rate_limit=RateLimit(options.rate, burst=10), reservation_size=20)
        self._define_counting()
        self._define_failing()

    def _define_counting(self) -> None:
        words = self._words

        @words.task(batch=Batch(size=100, age=0.2))
        async def add_up(messages: MessageBatch) -> None:
            self._batches += 1
            # By file, so that a message that is delivered twice counts once.
            self._counts.update((path, count) for path, count in (message.args for message in messages))

        @words.task(max_attempts=2, min_backoff=0.05)
        def count_sync(path: str) -> None:
            add_up.enqueue(path, _count(path))

        @words.task(max_attempts=2, min_backoff=0.05)
        async def count_async(path: str) -> None:
            await add_up.enqueue_async(path, _count(path))

        @words.task(max_attempts=5, min_backoff=0.05, max_backoff=1.0)
        async def count_late(context: Context, path: str) -> None:
            if context.attempt == 1:
                raise ConnectionError("the first attempt fails")
            await add_up.enqueue_async(path, _count(path))

        self._count, self._count_late = (count_sync, count_async), count_late

    def _define_failing(self) -> None:
        @self._words.task(max_attempts=3, min_backoff=0.05, max_backoff=0.2)
        async def hopeless(path: str) -> None:
            raise ValueError(f"{path} cannot be counted")

        @hopeless.fallback
        async def hopeless_failed(message: Message) -> None:  # noqa: ARG001 - what a fallback is given
            self._fallbacks += 1

        @self._mail.task
        async def notify(path: str) -> None:
            """Stand for a mail; the rate limit is what is shown."""

        self._hopeless, self._notify = hopeless, notify

    def enqueue(self) -> None:
        """Do the API's part: one message per file, some given twice, one delayed, some that fail, some rate-limited."""
        files = self._files
        run = printable(self.app.clock.new_id())  # a shared backend remembers names: each run has its own
        messages = [
            (self._count_late if i < _LATE else self._count[i % 2]).message(path).named(f"{run} {path}")
            for i, path in enumerate(files)
        ]
        messages[-1] = messages[-1].delayed(_DELAY)
        results = self._words.enqueue_many(messages)
        results += self._words.enqueue_many(messages[:_NAMED_TWICE])
        results += self._words.enqueue_many(self._hopeless.message(path) for path in files[:_HOPELESS])
        results += self._mail.enqueue_many(self._notify.message(path) for path in files[:_LIMITED])
        self._duplicates = sum(result.duplicate for result in results)

    async def run(self, show: Show, every: float = 1.0) -> Report:
        """Enqueue and consume until all is done; SIGINT drains and ends it.

        Args:
            show: told what is done, out of how many messages, and a few words.
            every: seconds between two calls of `show`.
        """
        now = self.app.clock.monotonic
        began = now()
        with self._interruptible():
            self.enqueue()
            self._tell(show, f"enqueued, {self._duplicates} duplicates refused")
            consuming = asyncio.create_task(self.app.run())
            consuming.add_done_callback(lambda _: self._over.set())
            while not self._over.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), every)
                self._tell(show, f"{len(self._counts):,} files, {sum(self._counts.values()):,} words")
            ended = now()
            await self.app.stop()
            await consuming
        return await self._report((now() if self.interrupted else ended) - began)

    def _tell(self, show: Show, text: str) -> None:
        show(self._tally.done, self._tally.done + len(self._tally.open), text)

    async def _report(self, seconds: float) -> Report:
        stats = [self.app.consumer(name).stats() for name in self.app.queues]
        sizes = [await queue.size() for queue in self.app.queues.values()]
        await self.app.aclose()
        processed = sum(each.processed for each in stats)
        failures = sum(each.fails for each in stats)
        return Report(
            files=len(self._counts),
            words=sum(self._counts.values()),
            processed=processed,
            retries=sum(each.retries for each in stats),
            failures=failures,
            fallbacks=self._fallbacks,
            dead=sum(each.dead for each in stats),
            duplicates=self._duplicates,
            batches=self._batches,
            left=sum(size.ready + size.delayed + size.reserved for size in sizes),
            seconds=round(seconds, 3),
            throughput=round((processed + failures) / seconds, 1),
            latency_p50_ms=round(self._tally.latency.quantile(0.5) * 1000, 3),
            latency_p99_ms=round(self._tally.latency.quantile(0.99) * 1000, 3),
        )

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        def interrupt() -> None:
            self.interrupted = True
            self._over.set()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)


def _count(path: str) -> int:
    return len(Path(path).read_text(encoding="utf-8", errors="replace").split())
