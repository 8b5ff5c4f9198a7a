"""`taskq demo`: runs the demo and shows how it goes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec

from taskq.cli.parser import add_command
from taskq.demo import Demo, DemoOptions, SourceFiles

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    text = "count the words of real files, through every feature of the queue"
    demo = add_command(commands, "demo", text, _demo, app=False)
    demo.add_argument("--path", default=Path(os.__file__).parent, help="folder of text files (default: Python's own sources)")
    demo.add_argument("--pattern", default="*.py", help="which files (default: %(default)s)")
    demo.add_argument("--limit", type=int, default=2000, help="at most so many files (default: %(default)s)")
    demo.add_argument("--rate", type=float, default=200.0, help="rate-limited messages a second (default: %(default)s)")
    demo.add_argument("--backend", default="memory://", help="URL of the backend (default: %(default)s)")
    demo.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def _demo(arguments: argparse.Namespace) -> int:
    options = DemoOptions(limit=arguments.limit, rate=arguments.rate, backend=arguments.backend)
    demo = Demo(SourceFiles(arguments.path, arguments.pattern), options)
    plain = arguments.json or not sys.stdout.isatty()
    with contextlib.closing(_Lines(sys.stderr if arguments.json else sys.stdout) if plain else _live()) as show:
        report = asyncio.run(demo.run(show, show.every))
        if arguments.json:
            print(json.dumps(msgspec.to_builtins(report)))
        else:
            show.table(report.rows())
    if demo.interrupted:
        print(f"taskq: interrupted; {report.left} messages were left", file=sys.stderr)
        return 130
    return 0


class _Lines:
    """Progress and result as plain lines."""

    every = 1.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, done: int, total: int, text: str) -> None:
        print(f"{done}/{total} {text}", file=self._stream, flush=True)

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """Print names and values in two columns."""
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            print(f"{name:<{width}}  {value}", file=self._stream)

    def close(self) -> None:
        """Do nothing: lines need no end."""


def _live() -> Any:
    try:
        from taskq.demo.live import Live  # noqa: PLC0415 - rich is an extra; without it there are plain lines
    except ImportError:
        return _Lines(sys.stdout)
    return Live()
