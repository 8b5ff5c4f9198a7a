"""Asking in a terminal before something is lost."""

from __future__ import annotations

import sys

from taskq.errors import ConfigError

__all__ = ["agreed", "needs_terminal"]


def needs_terminal(command: str) -> None:
    """Refuse to ask where nobody can answer.

    Args:
        command: who wants to ask.

    Raises:
        ConfigError: stdin is no terminal.
    """
    if not sys.stdin.isatty():
        raise ConfigError(f"{command} drops messages and there is no terminal to ask; give --yes")


def agreed(question: str) -> bool:
    """Ask, and return whether the answer was yes."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
