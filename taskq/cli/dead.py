"""`taskq dead`: the messages of a queue that were given up, to look at, put back or drop."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec

from taskq.backends.base import DeadLetter
from taskq.cli.asking import agreed, needs_terminal
from taskq.cli.parser import Command, add_command
from taskq.errors import ConfigError, DecodeError
from taskq.message import Message, printable
from taskq.queue import Queue
from taskq.supervisor.loading import load, queue_of
from taskq.wire import envelope

__all__ = ["add"]

T = TypeVar("T")


_BATCH = 500
"""Dead letters that are read and acted on in one step."""

_DEPTH = 1000
"""How many of the oldest are searched for an id unless --limit says otherwise."""


def add(commands: Any) -> None:
    """Add the commands."""
    text = "list, show, requeue or drop the messages of a queue that were given up"
    actions = commands.add_parser("dead", help=text, description=text).add_subparsers(required=True, metavar="ACTION")

    listing = _add(actions, "list", "list the oldest dead letters: id, task, attempt and reason", _list)
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (default: %(default)s)")
    listing.add_argument("--json", action="store_true", help="print one JSON array")

    show = _add(actions, "show", "show dead letters", _show)
    show.add_argument("ids", nargs="+", metavar="ID")
    show.add_argument("--limit", type=int, metavar="N", help=f"look for them among the oldest N (default: {_DEPTH})")
    show.add_argument("--args", action="store_true", help="show their arguments too, which may be secret")
    show.add_argument("--json", action="store_true", help="print one JSON array")

    for name, text, command in (
        ("requeue", "make dead letters ready again, as if they were new", _requeue),
        ("drop", "delete dead letters for good", _drop),
    ):
        action = _add(actions, name, text, command)
        action.add_argument("ids", nargs="*", metavar="ID", help="id of the letter, or of its message")
        action.add_argument("--limit", type=int, metavar="N",
                            help=f"the oldest N; with ids, look for them among these (default: {_DEPTH})")  # fmt: skip
        action.add_argument("--all", action="store_true", help="all that there are now, however many")
        if command is _drop:
            action.add_argument("--yes", action="store_true", help="do not ask")


def _add(actions: Any, name: str, text: str, command: Command) -> argparse.ArgumentParser:
    parser = add_command(actions, name, text, command)
    parser.add_argument("queue")
    return parser


# -- looking


def _list(arguments: argparse.Namespace) -> int:
    facts = [_facts(letter) for letter in _run(arguments, lambda queue: queue.dead_letters(_limit(arguments)))]
    if arguments.json:
        print(json.dumps(facts))
        return 0
    for each in facts:
        print("  ".join((each["id"], _line(each.get("task", "?")), str(each.get("attempt", "?")), _line(each["reason"]))))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    letters = _run(arguments, lambda queue: _find(queue, arguments.ids, _limit(arguments)))
    facts = [_facts(letter, args=arguments.args) for letter in letters]
    if arguments.json:
        print(json.dumps(facts))
        return 0
    for number, each in enumerate(facts):
        print(end="\n" if number else "")
        for name, value in each.items():
            print(f"{name}: {_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))}")
    return 0


def _facts(letter: DeadLetter, *, args: bool = False) -> dict[str, Any]:
    """Return what is told of a letter; its arguments only where they are asked for."""
    facts: dict[str, Any] = {"id": printable(letter.id)}
    try:
        message = envelope.decode(letter.body)
    except DecodeError as error:
        return facts | {"bytes": len(letter.body), "reason": letter.reason, "unreadable": str(error)}
    facts |= {"message": message.id_text, "task": message.task, "attempt": max(1, message.attempt)}
    facts |= {"bytes": len(letter.body), "reason": letter.reason}
    return facts | _arguments(message) if args else facts


def _arguments(message: Message) -> dict[str, Any]:
    try:
        args = message.args
    except DecodeError as error:
        return {"args_unreadable": str(error)}
    try:
        return {"args": msgspec.to_builtins(args, str_keys=True, enc_hook=repr)}
    except (TypeError, ValueError):  # such as a map whose keys are maps, from Go
        return {"args": repr(args)}


def _line(text: str) -> str:
    """Return text as one line that does nothing to a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


# -- acting


def _requeue(arguments: argparse.Namespace) -> int:
    _check_choice(arguments)
    count = _run(arguments, lambda queue: _act(queue, arguments, queue.redrive, lambda _: True))
    print(f"{count} dead letters of queue {arguments.queue} are ready again")
    return 0


def _drop(arguments: argparse.Namespace) -> int:
    _check_choice(arguments)
    if not arguments.yes:
        needs_terminal("dead drop")

    def agree(count: int) -> bool:
        return arguments.yes or agreed(f"Delete {count} dead letters of queue {arguments.queue} for good?")

    count = _run(arguments, lambda queue: _act(queue, arguments, queue.discard, agree))
    print("nothing was dropped" if count is None else f"{count} dead letters of queue {arguments.queue} were dropped")
    return 0


def _check_choice(arguments: argparse.Namespace) -> None:
    if arguments.ids and arguments.all:
        raise ConfigError("ids and --all do not go together; give one of them")
    if not arguments.ids and not arguments.all and arguments.limit is None:
        raise ConfigError("give the ids of dead letters, --limit N for the oldest, or --all")


async def _act(
    queue: Queue,
    arguments: argparse.Namespace,
    act: Callable[[Sequence[DeadLetter]], Coroutine[Any, Any, int]],
    agree: Callable[[int], bool],
) -> int | None:
    """Do something with the letters that were chosen and return with how many; None if that was not agreed to."""
    if arguments.ids:
        letters = await _find(queue, arguments.ids, _limit(arguments))
        return await act(letters) if agree(len(letters)) else None
    left = (await queue.size()).dead  # and not what comes meanwhile, or this might never end
    if not arguments.all:
        left = min(left, _limit(arguments))
    if not agree(left):
        return None
    done = 0
    while left > 0 and (letters := await queue.dead_letters(min(left, _BATCH))):
        done += await act(letters)
        left -= len(letters)
    return done


async def _find(queue: Queue, ids: Sequence[str], limit: int) -> list[DeadLetter]:
    """Return all letters of these ids; duplicates of one message have the same."""
    letters = [(_ids(letter), letter) for letter in await queue.dead_letters(limit)]
    for each in ids:
        if not any(each in known for known, _ in letters):
            raise ConfigError(
                f"no dead letter {each!r} is among the oldest {limit} of queue {queue.name!r}; nothing was done; "
                "`taskq dead list` shows them, and --limit looks further"
            )
    return [letter for known, letter in letters if known.intersection(ids)]


def _ids(letter: DeadLetter) -> set[str]:
    facts = _facts(letter)
    return {facts["id"], facts.get("message", facts["id"])}


def _limit(arguments: argparse.Namespace) -> int:
    limit = _DEPTH if arguments.limit is None else int(arguments.limit)
    if limit < 1:
        raise ConfigError(f"--limit {limit} is out of range; give at least 1")
    return limit


def _run(arguments: argparse.Namespace, act: Callable[[Queue], Coroutine[Any, Any, T]]) -> T:
    """Do something with the queue that was named, and let the app's connections go."""
    app = load(arguments.app)
    queue = queue_of(app, arguments.queue)

    async def bounded() -> T:
        async with app:
            return await act(queue)

    return asyncio.run(bounded())
