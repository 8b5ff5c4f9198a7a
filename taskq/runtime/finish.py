"""Finishing what has to be finished, such as giving reservations back, although whoever waits for it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["finish"]


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Wait for `work` to its end, however often the caller is cancelled meanwhile; the cancellation is raised afterwards.

    A plain `asyncio.shield` would leave at the first one, and the work would be cut off when the loop closes.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
