"""Which event loop a process runs on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Literal

from taskq.errors import ConfigError

__all__ = ["loop_factory"]


def loop_factory(name: Literal["auto", "uvloop", "asyncio"]) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the loop, or None for asyncio's own.

    Raises:
        ConfigError: uvloop was asked for and cannot be had.
    """
    if name == "asyncio" or (name == "auto" and os.name != "posix"):
        return None
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        if name == "auto":
            return None
        raise ConfigError("--loop uvloop needs uvloop; run: pip install 'taskq[uvloop]', or leave the option out") from None
    return uvloop.new_event_loop
