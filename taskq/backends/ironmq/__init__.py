"""The IronMQ backend: version 3 of its HTTP interface, by httpx, with the bodies of Go taskq v3.

`settings` says where and who, `link` carries calls there, `calls` are their forms and `errors` what may come back. `mailbox`
is a queue of the service, `sending` lets callers share requests, `text` is how a message is written, `receipt` who owns one,
`queue` is the backend, `dead` its dead letters, `broker` holds it together.
"""

from __future__ import annotations

import os
from pathlib import Path

from taskq.backends.ironmq.broker import IronMQBroker
from taskq.backends.ironmq.settings import Settings, settings_for

__all__ = ["IronMQBroker", "Settings", "configured", "settings_for"]


def configured(url: str) -> Settings:
    """Return the settings for a URL; what it leaves out is looked for where the service's own clients look.

    Raises:
        ConfigError: something is missing, or cannot be read.
    """
    return settings_for(url, os.environ, [_text(Path.home() / ".iron.json"), _text(Path("iron.json"))])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
