"""Where the commands of a Redis client begin and end in its bytes. No I/O."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Commands", "error_command"]


class Commands:
    """The bytes of one client, cut into commands; bytes that are no commands of Redis pass as they are.

    As long as nothing is to be replaced, bytes go on at once, whole commands or not.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._forwarded = 0  # bytes at the front of the buffer that went on already
        self._opaque: bool | None = None  # decided by the first byte

    def feed(self, data: bytes, replace: Callable[[bytes], bytes] | None) -> bytes:
        """Take what the client sent, and return what goes on to the server.

        Args:
            data: the bytes.
            replace: returns what goes on in place of a whole command. A command is held back until it is whole.
        """
        if self._opaque is None:
            self._opaque = not data.startswith(b"*")
        if self._opaque:
            return data
        self._buffer += data
        out = bytearray()
        start = 0
        while (end := self._end(start)) is not None:
            command = bytes(self._buffer[start:end])
            out += command[self._forwarded :] if replace is None or self._forwarded else replace(command)
            self._forwarded = 0
            start = end
        del self._buffer[:start]
        if replace is None or self._forwarded or self._opaque:
            out += self._buffer[self._forwarded :]
            self._forwarded = len(self._buffer)
        return bytes(out)

    def _end(self, start: int) -> int | None:
        try:
            return _end(self._buffer, start)
        except ValueError:
            self._opaque = True
            return None


def error_command(text: str) -> bytes:
    """Return a command that Redis answers with this error, so that it stands in its place among the answers."""
    words = [b"EVAL", b"return {err=ARGV[1]}", b"0", text.encode()]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _end(buffer: bytearray, start: int) -> int | None:
    """Return where the command that begins at `start` ends, or None if it is not whole; raise ValueError if it is none."""
    stop = buffer.find(b"\r\n", start)
    if stop < 0:
        return None
    if not buffer.startswith(b"*", start):
        return stop + 2  # a line of plain words, as Redis allows between the others
    count, position = int(buffer[start + 1 : stop]), stop + 2
    for _ in range(count):
        stop = buffer.find(b"\r\n", position)
        if stop < 0:
            return None
        position = stop + 2 + int(buffer[position + 1 : stop]) + 2
        if position > len(buffer):
            return None
    return position
