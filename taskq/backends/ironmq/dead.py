"""Dead letters of one queue: a queue of their own beside it, which holds the message's text as it was, and the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from taskq.backends.base import DeadLetter
from taskq.backends.ironmq.calls import MOST, Draft, Owned
from taskq.backends.ironmq.errors import Refusal
from taskq.backends.ironmq.mailbox import OK, Mailbox, queue_is_missing
from taskq.backends.ironmq.text import bytes_of, read, read_dead, text_of
from taskq.errors import BackendError

__all__ = ["DeadKey", "discard", "listed", "redrive"]


class DeadKey(NamedTuple):
    """What finds a dead letter.

    Attributes:
        id: of the entry.
        text: of the message that it holds.
    """

    id: str
    text: str


async def listed(dead: Mailbox, limit: int) -> list[DeadLetter]:
    """Return the oldest dead letters, at most `limit`, and at most 100: the service shows no more."""
    if limit < 1:
        return []
    try:
        entries = (await dead.do(dead.calls.peek(min(limit, MOST)))).get("messages", [])
    except Refusal as refusal:
        if queue_is_missing(refusal):
            return []
        raise
    return [_letter(entry) for entry in entries]


def _letter(entry: dict[str, Any]) -> DeadLetter:
    key = str(entry["id"])
    record = read_dead(str(entry["body"]))
    return DeadLetter((record.id or key).encode(), bytes_of(record.text), record.reason, DeadKey(key, record.text))


async def redrive(dead: Mailbox, live: Mailbox, letters: Sequence[DeadLetter]) -> int:
    """Post the messages of dead letters with `letter.body`, then delete those; return how many still were there.

    Raises:
        BackendError: a message was not taken; its dead letter stays, and those behind it.
    """
    count = 0
    for start in range(0, len(letters), MOST):
        part = letters[start : start + MOST]
        posted = await live.post([Draft(_text(letter)) for letter in part])
        refused = next((answer for answer in posted if isinstance(answer, BackendError)), None)
        pairs = [(letter, answer) for letter, answer in zip(part, posted, strict=True) if isinstance(answer, str)]
        statuses = await dead.delete([Owned(letter.key.id) for letter, _ in pairs])
        await live.delete([Owned(copy) for (_, copy), status in zip(pairs, statuses, strict=True) if status != OK])
        count += statuses.count(OK)
        if refused is not None:
            raise refused
    return count


def _text(letter: DeadLetter) -> str:
    text: str = letter.key.text
    if read(text) is None and letter.body == bytes_of(text):
        return text
    return text_of(letter.body)


async def discard(dead: Mailbox, letters: Sequence[DeadLetter]) -> int:
    """Delete dead letters; return how many still were there."""
    count = 0
    for start in range(0, len(letters), MOST):
        statuses = await dead.delete([Owned(letter.key.id) for letter in letters[start : start + MOST]])
        count += statuses.count(OK)
    return count
