"""A worker process: it loads the user's app and consumes until it is told to stop. Alone, or below a parent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

from taskq.app import App
from taskq.errors import ConfigError
from taskq.hooks.base import Hooks
from taskq.supervisor.executor import LoopThreads
from taskq.supervisor.exits import INTERRUPTED
from taskq.supervisor.health import HealthFile
from taskq.supervisor.loading import load, queue_of, source_folders
from taskq.supervisor.loops import loop_factory
from taskq.supervisor.metrics import observe, serving, share_figures
from taskq.supervisor.options import WorkerOptions
from taskq.supervisor.recycling import MB, RunLimit, check_memory_limit, lowered, resident_memory
from taskq.supervisor.reporting import Reporter
from taskq.supervisor.reports import Found, Ready, Report, encode

__all__ = ["STOP_SIGNALS", "log_to_stderr", "work", "work_below"]

logger = logging.getLogger("taskq")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_LOOK = 0.2
"""Seconds between two looks at the memory of a process."""

_LINGER = 1.0
"""Seconds for which the end of a process waits for what handlers began in threads of asyncio's and was given up with them."""


def log_to_stderr() -> None:
    """Log as a program does, unless the user's app has set logging up."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


def work(options: WorkerOptions) -> int:
    """Consume in this process, alone, and return its exit status.

    Raises:
        ConfigError: what was asked for cannot work.
    """
    app = load(options.app)
    with contextlib.ExitStack() as stack:
        if options.metrics_port is not None:
            observe(app)
        process = _Process(app, options)
        log_to_stderr()
        if options.metrics_port is not None:
            stack.enter_context(serving(options))
        if options.health_file is not None:
            file = HealthFile(options.health_file)
            stack.callback(file.remove)
            process.report = lambda report: file.write([report])
        return process.run()


def work_below(options: WorkerOptions, number: int, parent: socket.socket) -> int:
    """Consume in a process that has a parent, and return its exit status.

    Args:
        options: what the parent was asked for.
        number: which of its places this is, from 1.
        parent: where notes go; its end means that the parent is gone.

    Raises:
        ConfigError: what was asked for cannot work.
    """
    if options.metrics_port is not None:
        share_figures(number)
    app = _load_watched(options.app, parent) if options.reload else load(options.app)
    if options.metrics_port is not None:
        observe(app)
    process = _Process(app, options)
    _check_durable(app, process.queues, options)
    if options.max_memory is not None:
        check_memory_limit(options.max_memory, resident_memory())
    log_to_stderr()
    return process.run(parent)


def _load_watched(target: str, parent: socket.socket) -> App:
    """Load the app and tell which sources it is made from, also if it fails."""
    try:
        app = load(target)
    except ConfigError as error:
        parent.sendall(encode(Found(source_folders(error))))
        raise
    parent.sendall(encode(Found(source_folders())))
    return app


def _check_durable(app: App, queues: list[str], options: WorkerOptions) -> None:
    if all(app.queues[name].backend.capabilities.durable for name in queues):
        return
    if options.processes > 1:
        raise ConfigError("the in-memory backend lives in one process; give --processes 1, or another backend")
    if options.recycles:
        raise ConfigError("the in-memory backend ends with its process; give no --max-jobs and --max-memory, or another backend")


class _Process:
    """The consumers of one process, from their start to the process's end.

    Attributes:
        queues: the names of what is consumed.
        report: what is told about once a second how it fares, if anything is.
    """

    def __init__(self, app: App, options: WorkerOptions) -> None:
        self.queues = list(dict.fromkeys(options.queues or app.queues))
        if not self.queues:
            raise ConfigError("this app has no queue to consume; make one with app.queue(name)")
        self.report: Callable[[Report], None] | None = None
        self._app = app
        self._options = options
        self._run_limit: RunLimit | None = None
        if options.max_jobs is not None:
            self._run_limit = RunLimit(lowered(options.max_jobs, app.clock.random()))
            app.hooks = Hooks((*app.hooks.listed, self._run_limit))
        self._consumers = [app.consumer(queue_of(app, name)) for name in self.queues]
        self._new_loop = loop_factory(options.loop)
        self._stop_asked = asyncio.Event()
        self._signalled = False

    def run(self, parent: socket.socket | None = None) -> int:
        """Consume until told to stop; return the exit status."""
        try:
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                runner.get_loop().set_default_executor(LoopThreads(_LINGER))
                runner.run(self._main(parent))
        except asyncio.CancelledError:
            logger.info("worker %d was interrupted by a second signal", os.getpid())
            return INTERRUPTED
        logger.info("worker %d stopped", os.getpid())
        return 0

    async def _main(self, parent: socket.socket | None) -> None:
        with self._signals(below=parent is not None):
            async with self._app, asyncio.TaskGroup() as group:
                consuming = group.create_task(self._app.run(self.queues))
                while not all(consumer.running for consumer in self._consumers):  # noqa: ASYNC110 - a few steps of the loop
                    await asyncio.sleep(0)  # stopping what does not run yet would stop nothing
                helpers = [group.create_task(helper) for helper in await self._helpers(parent)]
                await asyncio.wait([consuming])
                for helper in helpers:
                    helper.cancel()

    async def _helpers(self, parent: socket.socket | None) -> list[Coroutine[Any, Any, None]]:
        """Return what runs beside the consumers, and say that they run."""
        helpers = [self._stop_when_asked()]
        if parent is not None:
            watcher = threading.Thread(target=self._stop_without, args=(parent.dup(), asyncio.get_running_loop()), daemon=True)
            watcher.start()
            _, writer = await asyncio.open_connection(sock=parent)
            writer.write(encode(Ready(self._stop_timeout())))
            self.report = lambda report: None if writer.is_closing() else writer.write(encode(report))
        if self._run_limit is not None:
            helpers.append(self._stop_after_runs(self._run_limit))
        if self._options.max_memory is not None:
            helpers.append(self._stop_at_memory(lowered(self._options.max_memory * MB, self._app.clock.random())))
        if self._options.health_file is not None and self.report is not None:
            helpers.append(Reporter(self._app, self.queues).report_forever(self.report))
        hint = "; stop it with Ctrl-C" if parent is None else ""
        logger.info("worker %d consumes %s%s", os.getpid(), ", ".join(self.queues), hint)
        return helpers

    @contextlib.contextmanager
    def _signals(self, *, below: bool) -> Iterator[None]:
        """Drain at the first signal, interrupt at the second, and leave the third to the system, which kills.

        Set without the loop's help, which would put the system's answer back for a moment when it ends: a process that has
        drained below a parent ignores what comes too late, or it would count as killed.
        """
        loop, main, pid = asyncio.get_running_loop(), asyncio.current_task(), os.getpid()
        assert main is not None
        before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        afterwards = dict.fromkeys(STOP_SIGNALS, signal.SIG_IGN) if below else before

        def on_signal() -> None:
            if self._signalled:
                _handle(dict.fromkeys(STOP_SIGNALS, signal.SIG_DFL))
                main.cancel()
            self._signalled = True
            self._stop_asked.set()

        def answer(number: int, _frame: object) -> None:
            if os.getpid() == pid:
                loop.call_soon_threadsafe(on_signal)
            else:  # a handler's fork: it ends as any program does, and its signals are not ours
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)

        _handle(dict.fromkeys(STOP_SIGNALS, answer))
        try:
            yield
        finally:
            _handle(afterwards)

    # -- what ends it

    async def _stop_when_asked(self) -> None:
        await self._stop_asked.wait()
        await self._app.stop()

    def _stop_without(self, parent: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        """Wait, in a thread that a blocked loop does not stop, for the end of the parent; then do its part and be patient."""
        with parent, selectors.DefaultSelector() as selector:
            selector.register(parent, selectors.EVENT_READ)
            selector.select()
        logger.warning("the parent of worker %d is gone; it drains and ends", os.getpid())
        with contextlib.suppress(RuntimeError):  # the loop is closed: it ends already
            loop.call_soon_threadsafe(self._stop_asked.set)
        threading.Event().wait(self._stop_timeout() + self._options.grace)
        os.killpg(0, signal.SIGKILL)  # itself, and what its handlers have started, as its parent would

    async def _stop_after_runs(self, limit: RunLimit) -> None:
        await limit.reached.wait()
        logger.info("worker %d has done its %d runs; it drains and is replaced", os.getpid(), limit.limit)
        self._stop_asked.set()

    async def _stop_at_memory(self, limit: float) -> None:
        while (memory := resident_memory()) < limit:  # noqa: ASYNC110 - memory tells nobody that it grows
            await asyncio.sleep(_LOOK)
        logger.info("worker %d takes %d MB of %d; it drains and is replaced", os.getpid(), memory // MB, limit // MB)
        self._stop_asked.set()

    def _stop_timeout(self) -> float:
        return max(self._app.queues[name].options.stop_timeout for name in self.queues)


def _handle(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
