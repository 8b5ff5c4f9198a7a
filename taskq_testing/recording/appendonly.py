"""The append-only file of a Redis server: what it did, command by command, in the order in which it did it.

A script or a MULTI is one transaction of several commands; a command by itself is one of its own. Every time and id stands
there as the server drew it. Source: the "Append-only file" part of Redis' documentation of persistence, version 7 and Valkey.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["Words", "commands", "transactions"]

Words = list[bytes]


def transactions(directory: Path) -> Iterator[list[Words]]:
    """Yield what a server has written, from its start on, if it was never told to rewrite the file.

    Args:
        directory: the server's own; it has to have `appendonly yes` and `auto-aof-rewrite-percentage 0`.

    Raises:
        FileNotFoundError: there is no append-only file.
    """
    files = sorted((directory / "appendonlydir").glob("*.incr.aof"), key=_number)
    if not files:
        raise FileNotFoundError(f"{directory} holds no append-only file; start the server with appendonly")
    together: list[Words] | None = None
    for words in (words for file in files for words in commands(file.read_bytes())):
        name = words[0].upper()
        if name == b"MULTI":
            together = []
        elif name == b"EXEC":
            if together:
                yield together
            together = None
        elif name == b"SELECT":
            continue
        elif together is None:
            yield [words]
        else:
            together.append(words)


def _number(file: Path) -> int:
    return int(file.name.split(".")[-3])


def commands(data: bytes) -> Iterator[Words]:
    """Yield each whole command of a file; what a crash left of the last one is passed over."""
    position = 0
    while position < len(data):
        line, position = _line(data, position)
        if line.startswith(b"#"):
            continue
        words: Words = []
        for _ in range(int(line[1:] or 0)):
            line, position = _line(data, position)
            end = position + int(line[1:] or 0)
            words.append(data[position:end])
            position = end + 2
        if position > len(data):
            return
        yield words


def _line(data: bytes, position: int) -> tuple[bytes, int]:
    end = data.find(b"\r\n", position)
    return (data[position:end], end + 2) if end >= 0 else (b"", len(data) + 1)
