"""What a command of the Redis adapter means: which operation it is, of which queue, and about which messages. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from taskq.backends.redis import queue, sending, stores
from taskq.backends.redis.scripts import Script

__all__ = ["CHORES", "Command"]

_MODULES = (queue, sending, stores)
_OPERATIONS = {
    "SEND": "send",
    "XREADGROUP": "reserve",
    "ACK": "ack",
    "RELEASE": "release",
    "EXTEND": "extend",
    "BURY": "dead_letter",
    "LOCK": "acquire",
    "UNLOCK": "unlock",
    "READ_RATE": "take",
}
"""Words of this library for commands and scripts; any other is called by its own name in small letters."""

CHORES = frozenset({"promote", "recover", "sweep", "leave", "xpending", "info", "client", "connect", "xgroup"})
"""Operations that look after things, over and over: faults are rarer in them, for there are so many."""

_names: dict[bytes, str] = {}


def _script_named(sha: bytes) -> str:
    """Return what the adapter calls a script; one that it was given for a while, too."""
    if sha not in _names:
        for module in _MODULES:
            _names.update({value.sha: name for name, value in vars(module).items() if isinstance(value, Script)})
    return _names.get(sha, "SCRIPT")


class Command(NamedTuple):
    """One command.

    Attributes:
        words: as it was sent.
        operation: what it is for, in words of this library where there is one.
        queue: the name of the queue whose keys it touches; empty if it touches none.
        keys: the keys of a script.
        args: a script's arguments, or the command's.
    """

    words: Sequence[bytes]
    operation: str
    queue: str
    keys: Sequence[bytes]
    args: Sequence[bytes]

    @classmethod
    def of(cls, words: Sequence[bytes]) -> Command:
        """Read one."""
        name = words[0].upper()
        if name in (b"EVAL", b"EVALSHA"):
            sha = words[1] if name == b"EVALSHA" else hashlib.sha1(words[1], usedforsecurity=False).hexdigest().encode()
            count = int(words[2])
            found, keys, args = _script_named(sha), words[3 : 3 + count], words[3 + count :]
        else:
            found, keys, args = name.decode(), words[1:], words[1:]
        operation = _OPERATIONS.get(found, found.lower())
        return cls(words, operation, _queue_of(keys), keys, args)

    @property
    def receipts(self) -> Sequence[bytes]:
        """The entries that it settles or extends, which it was given before."""
        if self.operation == "ack":
            return self.args[1:]
        return self.args[2:3] if self.operation in ("release", "dead_letter", "extend") else ()


def _queue_of(keys: Sequence[bytes]) -> str:
    for key in keys:
        if key.startswith(b"taskq:{"):
            return key[7 : key.rindex(b"}:")].decode(errors="surrogateescape")
    return ""
