"""How a worker process fares: its own figures, and whether its backend answers. It asks and adds up; it decides nothing."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Sequence

from taskq.app import App
from taskq.core.retry import describe
from taskq.supervisor.health import PERIOD
from taskq.supervisor.reports import Report

__all__ = ["Reporter"]

_PATIENCE = 5.0
"""Seconds in which a backend has to answer."""


class Reporter:
    """Reports on the consumers of some queues of an app."""

    def __init__(self, app: App, queues: Sequence[str]) -> None:
        self._app = app
        self._queues = queues
        self._errors: dict[str, str] = {}
        self._well_at = 0.0

    async def report_forever(self, tell: Callable[[Report], None]) -> None:
        """Ask one queue after another, about one a second, and tell after each how everything is.

        One question at a time costs a server the same however many queues there are. The asking runs on the consumers'
        loop, so that a loop which is blocked tells nothing.
        """
        for name in itertools.cycle(self._queues):
            await self._ask(name)
            tell(self._report())
            await asyncio.sleep(PERIOD)

    async def _ask(self, name: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._app.queues[name].size()
        except TimeoutError:
            self._errors[name] = f"queue {name!r} does not answer: it took more than {_PATIENCE:.0f} s"
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises is what the probe has to see
            self._errors[name] = f"queue {name!r} does not answer: {describe(error)}"
        else:
            self._errors.pop(name, None)
        if not self._errors:
            self._well_at = self._app.clock.now()

    def _report(self) -> Report:
        stats = {name: self._app.consumer(name).stats() for name in self._queues}
        return Report(
            pid=os.getpid(),
            time=self._well_at,
            queues=list(self._queues),
            processed=sum(each.processed for each in stats.values()),
            retries=sum(each.retries for each in stats.values()),
            failed=sum(each.fails for each in stats.values()),
            in_flight=sum(each.in_flight for each in stats.values()),
            paused={name: dict(each.paused) for name, each in stats.items() if each.paused},
            backend_error=next(iter(self._errors.values()), ""),
        )
