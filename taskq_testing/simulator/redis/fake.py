"""The commands of a Redis server at moments of virtual time, carried out by fakeredis; and what is wrong with that, put right.

This is the only module that knows fakeredis. It goes through the connection that fakeredis shares with redis-py, answers as
a server does in RESP2, and has no connections of its own: `server` has those, and lets nobody but itself wait.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.connection import DefaultParser
from redis.exceptions import RedisError

from taskq_testing.clock import EPOCH

try:
    from fakeredis import FakeRedisConnection, FakeServer
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError(f"simulating Redis needs fakeredis with Lua ({error}); install fakeredis[lua]") from None

__all__ = ["DIVERGENCES", "EPOCH_MS", "FakeRedis", "Snapshot", "error_of"]

DIVERGENCES = {
    "blocking": "a blocking read waits in real time, and on cancellation takes what nobody reads: `server` waits instead",
    "time": "TTLs, idle times, entry ids and TIME follow the machine, TIME also within one script: all are given one moment",
    "missing_stream": "XREADGROUP on a key that is missing answers with another error than NOGROUP",
    "wrong_type": "XREADGROUP on a key that is no stream breaks the connection",
    "pcall": "the error that redis.pcall returns to a script is an object of Python instead of a string",
    "info": "there is no INFO: what `Deployment.inspect` asks for is answered here",
}
"""What of fakeredis differs from a real server and matters to this adapter. A test shows of each that it still does."""

EPOCH_MS = round(EPOCH * 1000)
"""Milliseconds since 1970 at the loop's time 0."""

_NO_GROUP = "NOGROUP No such key or consumer group in XREADGROUP with GROUP option"
_WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
_INFO = b"# Server\r\nredis_version:7.2.0\r\n# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
_parse_error: Callable[[str], Exception] = DefaultParser.parse_error
_LATER = 0.25e-6
"""Seconds by which the clock is ahead, so that floats, which are this coarse, do not round a whole microsecond down."""

Snapshot = dict[bytes, tuple[bytes, int]]
"""For each key what it holds, as DUMP tells it, and the millisecond of its end; 0 without one."""


class _Moment:
    """Stands in for the module `time` in fakeredis while a command is carried out."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self) -> float:
        return self.seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


_moment = _Moment()
_CLOCKED = [
    vars(module)
    for name, module in sorted(sys.modules.items())
    if name.partition(".")[0] == "fakeredis" and vars(module).get("time") is time
]
"""What names the module `time` in each module of fakeredis."""


@contextlib.contextmanager
def _standing_still(now: int) -> Iterator[None]:
    """Let fakeredis see one moment, `now` nanoseconds after the epoch of virtual time."""
    _moment.seconds = EPOCH + (now // 1000) / 1e6 + _LATER
    for names in _CLOCKED:
        names["time"] = _moment
    try:
        yield
    finally:
        for names in _CLOCKED:
            names["time"] = time


def error_of(text: str) -> Exception:
    """Return what redis-py makes of an error that a server answers with, such as "READONLY You can't write"."""
    error: Exception = _parse_error(text)
    return error


def _mend_pcall(socket: Any) -> None:
    """Let scripts have the text of an error."""

    def pcall(runtime: Any, expected: set[Any], operation: bytes, *args: Any) -> Any:
        try:
            return socket._lua_redis_call(runtime, expected, operation, *args)  # noqa: SLF001 - there is no other way in
        except Exception as error:  # noqa: BLE001 - whatever it is, the script is to have it
            return runtime.table_from({b"err": str(error).encode()})

    socket._lua_redis_pcall = pcall  # noqa: SLF001


class FakeRedis:
    """One server's data."""

    def __init__(self) -> None:
        self._server = FakeServer(version=(7,), server_type="redis")
        self._connection: Any = FakeRedisConnection(server=self._server, protocol=2)
        self._connection.connect()
        _mend_pcall(self._connection.get_socket())

    def execute(self, words: Sequence[bytes], now: int) -> Any:
        """Carry out one command at `now` nanoseconds of virtual time.

        Returns:
            The answer as redis-py reads it undecoded; an error that the server answers with is returned, not raised.
        """
        name = words[0].upper()
        if name == b"INFO":
            return _INFO
        with _standing_still(now):
            if name == b"XREADGROUP":
                found = self._talk(b"TYPE", words[words.index(b"STREAMS") + 1])
                if found != b"stream":
                    return error_of(_NO_GROUP if found == b"none" else _WRONG_TYPE)
            return self._talk(*words)

    def _talk(self, *words: bytes) -> Any:
        try:
            self._connection.send_command(*words)
            return self._connection.read_response(disable_decoding=True)
        except RedisError as error:
            return error

    # -- restarting

    def dump(self, now: int) -> Snapshot:
        """Return a copy of everything."""
        saved: Snapshot = {}
        for key in sorted(self.execute((b"KEYS", b"*"), now)):
            left = self.execute((b"PTTL", key), now)
            saved[key] = self.execute((b"DUMP", key), now), EPOCH_MS + now // 1_000_000 + left if left >= 0 else 0
        return saved

    def load(self, saved: Snapshot, now: int) -> None:
        """Become what `dump` returned, but for what has come to its end since."""
        self.execute((b"FLUSHALL",), now)
        for key, (value, end) in saved.items():
            left = end - EPOCH_MS - now // 1_000_000
            if not end or left > 0:
                self.execute((b"RESTORE", key, b"%d" % left if end else b"0", value), now)

    def forget_scripts(self, now: int) -> None:
        """Know no script any more."""
        self.execute((b"SCRIPT", b"FLUSH"), now)
