"""The parent of the worker processes: it starts them, forwards signals and reports on all. It never imports the user's app."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterator
from typing import Any

from taskq.runtime.clock import SystemClock
from taskq.supervisor.health import PERIOD, HealthFile
from taskq.supervisor.metrics import SharedFigures
from taskq.supervisor.options import WorkerOptions
from taskq.supervisor.place import Place, Shared
from taskq.supervisor.process import STOP_SIGNALS, log_to_stderr
from taskq.supervisor.watching import SourceWatch

__all__ = ["supervise"]

logger = logging.getLogger("taskq")


def supervise(options: WorkerOptions) -> int:
    """Keep the processes running until stopped by a signal, and return the exit status.

    That is 0 if all drained, 130 if they were interrupted, otherwise the worst of their last ones; that of the first
    process, if it ended before it consumed.

    Raises:
        ConfigError: metrics cannot be served.
    """
    log_to_stderr()
    with SharedFigures.serving(options) as figures, _health_file(options) as file:
        return asyncio.run(_Supervisor(options, figures, file).run())


@contextlib.contextmanager
def _health_file(options: WorkerOptions) -> Iterator[HealthFile | None]:
    if options.health_file is None:
        yield None
        return
    file = HealthFile(options.health_file)
    try:
        yield file
    finally:
        file.remove()


class _Supervisor:
    """The places of all processes, and what is done for them together."""

    def __init__(self, options: WorkerOptions, figures: SharedFigures | None, file: HealthFile | None) -> None:
        self._options = options
        self._file = file
        self._watch = SourceWatch() if options.reload else None
        self._signals = 0
        self._clock = SystemClock()
        shared = Shared(
            options=options,
            clock=self._clock,
            environment=_environment(options, figures),
            follow=self._watch.follow if self._watch is not None else _ignore,
            forget=figures.forget if figures is not None else _ignore,
        )
        self._places = [Place(shared, number) for number in range(1, options.processes + 1)]

    async def run(self) -> int:
        """Start the first process, and once it works the others; wait until all are over."""
        first, *others = self._places
        with self._listening():
            async with asyncio.TaskGroup() as group:
                helpers = [group.create_task(helper) for helper in self._helpers()]
                proof = group.create_task(first.works.wait())
                keeping = [group.create_task(first.keep())]
                # What is wrong with the call or the app is told once, by the first process, not by each of them.
                await asyncio.wait([proof, *keeping], return_when=asyncio.FIRST_COMPLETED)
                if first.works.is_set():
                    keeping += [group.create_task(place.keep()) for place in others]
                await asyncio.wait(keeping)
                for helper in (proof, *helpers):
                    helper.cancel()
        return max(place.status for place in self._places)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        self._signals += 1
        logger.info("%s", _ANSWERS[min(self._signals, len(_ANSWERS)) - 1])
        for place in self._places:
            place.close(self._signals)

    def _helpers(self) -> Iterator[Coroutine[Any, Any, None]]:
        if self._watch is not None:
            self._watch.follow(["."], self._clock.now())
            yield self._reload_forever(self._watch)
        if self._file is not None:
            yield self._report_forever(self._file)

    async def _reload_forever(self, watch: SourceWatch) -> None:
        while True:
            changed = await watch.changed()
            logger.info("%s changed; the processes drain and start anew", ", ".join(path.name for path in changed))
            for place in self._places:
                place.replace()

    async def _report_forever(self, file: HealthFile) -> None:
        while True:
            file.write([place.report for place in self._places])
            await asyncio.sleep(PERIOD)


_ANSWERS = (
    "stopping: the processes drain; another signal interrupts them",
    "interrupting: what the processes run is given back; another signal kills them",
    "killing the processes",
)


def _environment(options: WorkerOptions, figures: SharedFigures | None) -> dict[str, str]:
    environment = dict(figures.environment) if figures is not None else {}
    if options.reload:
        # Python takes a compiled file for fresh if the source has the same second and size: of two quick saves it might miss one.
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return environment


def _ignore(*_: object) -> None:
    """Do nothing, where nobody wants to know."""
