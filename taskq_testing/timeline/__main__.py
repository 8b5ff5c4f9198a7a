"""The command line of the timeline: reads a recorded history, writes a page or prints text. An error is one sentence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from taskq_testing import timeline
from taskq_testing.history import History

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are told like all others."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; `{self.prog} --help` shows what can be given")


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit status: 0, or 2 for a wrong call or a file that is no history."""
    try:
        sys.stdout.write(f"{_answer(_parser().parse_args(argv))}\n")
    except OSError as error:
        sys.stderr.write(f"timeline: {error.filename} cannot be opened: {error.strerror}\n")
        return 2
    except ValueError as error:
        sys.stderr.write(f"timeline: {error}\n")
        return 2
    return 0


def _parser() -> _Parser:
    parser = _Parser(prog="python -m taskq_testing.timeline", description="Show one recorded run.")
    parser.add_argument("history", type=Path, metavar="HISTORY.jsonl", help="a file written by History.save")
    parser.add_argument("-o", "--output", type=Path, help="the page to write (default: the history's name with .html)")
    parser.add_argument("--text", action="store_true", help="print the run as lines of text")
    parser.add_argument("--why", metavar="MESSAGE", help="print why a message is where it is")
    return parser


def _answer(arguments: argparse.Namespace) -> str:
    """Do what is asked and return what is to be printed."""
    history = History.load(arguments.history)
    output = arguments.output
    answers = []
    if arguments.text:
        answers.append(timeline.text(history, limit=None))
    if arguments.why is not None:
        answers.append(timeline.why(history, arguments.why))
    if output is not None or not answers:
        output = output or arguments.history.with_suffix(".html")
        timeline.page(history, output, title=arguments.history.name)
        answers.append(f"{output} is written; open it in a browser")
    return "\n\n".join(answers)


if __name__ == "__main__":
    sys.exit(main())
