"""The command line. It parses, loads the user's app and prints; what it does is the library's. An error is one sentence.

One module a group of commands: `demo`, `worker` with `health`, `queues` (info, purge, enqueue), `dead` and `conformance`;
each adds its own to the parser.
"""

from __future__ import annotations

from collections.abc import Sequence

from taskq.cli import conformance, dead, demo, queues, worker
from taskq.cli.parser import Parser
from taskq.supervisor.exits import exit_status

__all__ = ["Parser", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 for bad health, 2 for a wrong call, 130 after Ctrl-C."""

    def command() -> int:
        arguments = _parser().parse_args(argv)
        status: int = arguments.command(arguments)
        return status

    return exit_status(command)


def _parser() -> Parser:
    parser = Parser(prog="taskq", description="A task queue for Python that shares its queues with Go.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (demo, worker, queues, dead, conformance):
        module.add(commands)
    return parser
