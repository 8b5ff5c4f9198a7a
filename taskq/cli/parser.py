"""What the commands share: a parser that tells its errors as a sentence, and how an app is named."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from taskq.errors import ConfigError

__all__ = ["Command", "Parser", "add_command"]

Command = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are told like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise what was wrong, as one sentence."""
        raise ConfigError(f"{message}; `{self.prog} --help` shows what can be given")


def add_command(commands: Any, name: str, text: str, command: Command, *, app: bool = True) -> argparse.ArgumentParser:
    """Add a command to those of a parser and return its own parser.

    Args:
        commands: what `add_subparsers` returned.
        name: the command's name.
        text: what it does.
        command: runs it and returns the exit status.
        app: whether it begins with the place of an app.
    """
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    if app:
        parser.add_argument("app", metavar="MODULE:APP", help="where the App is, such as myproject.jobs:app")
    parser.set_defaults(command=command)
    return parser
