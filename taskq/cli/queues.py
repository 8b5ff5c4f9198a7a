"""`taskq info`, `purge` and `enqueue`: looking after queues, and adding one message."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from typing import Any

import msgspec

from taskq.cli.asking import agreed, needs_terminal
from taskq.cli.parser import add_command
from taskq.errors import ConfigError
from taskq.message import printable
from taskq.options import QueueOptions, seconds
from taskq.supervisor.loading import load, queue_of

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the commands."""
    info = add_command(commands, "info", "show the queues: sizes and options", _info)
    info.add_argument("--json", action="store_true", help="print one JSON object")

    purge = add_command(commands, "purge", "drop all ready and delayed messages of a queue", _purge)
    purge.add_argument("queue")
    purge.add_argument("--yes", action="store_true", help="do not ask")

    enqueue = add_command(commands, "enqueue", "add one message", _enqueue)
    enqueue.add_argument("queue")
    enqueue.add_argument("task")
    enqueue.add_argument("args", nargs="*", metavar="JSON", help="arguments as JSON; what is no JSON is text")
    enqueue.add_argument("--delay", type=float, default=0.0, help="seconds")
    enqueue.add_argument("--name", help="accept it once under this name")


def _info(arguments: argparse.Namespace) -> int:
    app = load(arguments.app)

    async def sizes() -> dict[str, Any]:
        async with app:
            return {name: msgspec.to_builtins(await queue.size()) for name, queue in app.queues.items()}

    queues = asyncio.run(sizes())
    for name, queue in app.queues.items():
        queues[name]["tasks"] = sorted(queue.tasks.names)
        queues[name]["options"] = _changed(queue.options)
    if arguments.json:
        print(json.dumps(queues))
        return 0
    for name, facts in queues.items():
        counts = "  ".join(f"{state} {facts[state]}" for state in ("ready", "delayed", "reserved", "dead"))
        print(f"{name}: {counts}")
        print(f"  tasks: {', '.join(facts['tasks']) or 'none'}")
        for option, value in facts["options"].items():
            print(f"  {option} = {value}")
    return 0


def _changed(options: QueueOptions) -> dict[str, Any]:
    """Return the options that differ from the defaults."""
    default = msgspec.to_builtins(QueueOptions())
    return {name: value for name, value in msgspec.to_builtins(options).items() if value != default[name]}


def _purge(arguments: argparse.Namespace) -> int:
    app = load(arguments.app)
    queue = queue_of(app, arguments.queue)
    if not arguments.yes:
        needs_terminal("purge")
        size = asyncio.run(queue.size())
        if not agreed(f"Drop {size.ready + size.delayed} messages of queue {queue.name}?"):
            print("nothing was dropped")
            return 0

    async def purge() -> int:
        async with app:
            return await queue.purge()

    print(f"{asyncio.run(purge())} messages of queue {queue.name} were dropped")
    return 0


def _enqueue(arguments: argparse.Namespace) -> int:
    app = load(arguments.app)
    queue = queue_of(app, arguments.queue)
    values = [_value(text) for text in arguments.args]
    task = queue.tasks.find(arguments.task) if arguments.task in queue.tasks.names else None
    try:
        message = queue.message(arguments.task, *values) if task is None else task.message(*values)
    except TypeError as error:
        raise ConfigError(str(error)) from None
    message = message.delayed(seconds(arguments.delay, "--delay"))
    if arguments.name is not None:
        message = message.named(arguments.name)
    with contextlib.closing(app):
        result = queue.enqueue(message)
    if result.duplicate:
        print(f"duplicate: nothing was added under the name {arguments.name!r}")
        return 0
    print(printable(result.message_id))
    if not queue.backend.capabilities.durable:
        print("taskq: the in-memory backend lives in one process; the message ended with this command", file=sys.stderr)
    return 0


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
