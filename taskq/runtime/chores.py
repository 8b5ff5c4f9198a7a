"""Housekeeping of backends that ask for it."""

from __future__ import annotations

import asyncio
import logging

from taskq.backends.base import Chores
from taskq.core.retry import backoff
from taskq.errors import BackendError

__all__ = ["do_chores_forever"]

logger = logging.getLogger("taskq")

_RETRY, _RETRY_MAX = 0.5, 5.0


async def do_chores_forever(backend: Chores, queue: str) -> None:
    """Do round after round, each when the last one said; after a failed one later and later."""
    failed = 0
    while True:
        try:
            pause = await backend.chores()
            failed = 0
        except BackendError as error:
            failed += 1
            pause = backoff(failed, _RETRY, _RETRY_MAX)
            logger.warning("housekeeping of queue %r failed, trying again: %s", queue, error)
        await asyncio.sleep(pause)
