"""One server as an object: its configuration file, its start, its signals and its end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from redis.backoff import NoBackoff
from redis.connection import UnixDomainSocketConnection
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError  # noqa: A004 - redis-py's names
from redis.retry import Retry

from taskq_testing.services.binaries import Binary, find_binary
from taskq_testing.services.child import Child, ServiceError
from taskq_testing.services.ports import HOST, Port

__all__ = ["Config", "RedisServer", "redis_server"]

Config = Mapping[str, str | int | Sequence[str]]
"""Directives of redis.conf; a directive with a sequence is repeated."""

_PATIENCE = 30.0
"""Seconds in which a server has to start or to stop."""

_POLL = 0.002
_CONNECTION: Any = UnixDomainSocketConnection  # its types say less than it can


class RedisServer:
    """A server of its own directory, on a port of the loopback interface and on a unix socket.

    `redis_server` makes one. It stays the same object, with the same port, socket and data, when it is stopped, killed and
    started again.

    Attributes:
        host: where it listens.
        port: where it listens; nobody else gets the port while the server is down.
        socket: the path of the unix socket on which it listens too.
        directory: where its configuration, its log and its data are; removed at the end.
    """

    def __init__(
        self,
        binary: Path,
        config: Config,
        *,
        username: str | None = None,
        password: str | None = None,
        mode: Sequence[str] = (),
        port: Port | None = None,
    ) -> None:
        self._binary, self._mode = binary, mode
        self._username, self._password = username, password
        self._child: Child | None = None
        self._port = port or Port()
        self.host, self.port = HOST, self._port.number
        self.directory = Path(tempfile.mkdtemp(prefix="taskq-redis-"))
        self.socket = self.directory / "socket"
        self._file, self._log = self.directory / "redis.conf", self.directory / "log"
        self._file.write_text(_render(self._base() | dict(config)))

    # -- where it is

    @property
    def url(self) -> str:
        """The URL of database 0, with the credentials."""
        return f"redis://{self._credentials()}{self.host}:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """The same by the unix socket."""
        return f"unix://{self._credentials()}{self.socket}?db=0"

    @property
    def pid(self) -> int:
        """The process id; a server that was started again has another."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether its process lives, paused or not."""
        return self._child is not None and self._child.running

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    # -- its life

    def start(self) -> None:
        """Start it and wait until it answers, its data loaded.

        Raises:
            ServiceError: it runs, or it ended at once, or it does not answer; the end of its log is in the text.
        """
        if self.running:
            raise ServiceError(f"the server on port {self.port} runs already; stop() or kill() it first")
        with self._log.open("ab") as output:
            self._child = Child(
                [self._binary, self._file, *self._mode],
                output=output,
                env={**os.environ, "LC_ALL": "C"},
                cwd=self.directory,
                directory=self.directory,
            )
        try:
            self._await_answer(self._child)
        except BaseException:
            self._child.end()
            raise

    def stop(self) -> None:
        """End it as an operator does, with SIGTERM: it writes what its configuration tells it to."""
        child = self._running()
        child.signal(signal.SIGTERM)
        child.resume()
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            raise ServiceError(f"the server on port {self.port} ignores SIGTERM; its log ends:\n{_tail(self.log)}") from None
        child.end()

    def kill(self) -> None:
        """End it with SIGKILL, as a crash does: what it has not written is lost."""
        self._running().end()

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same port with what it has written."""
        if self.running:
            self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it with SIGSTOP: connections stay open, and nothing is answered."""
        self._running().pause()

    def resume(self) -> None:
        """Let a paused one go on."""
        self._running().resume()

    def close(self) -> None:
        """End it and remove its directory; safe to call twice."""
        if self._child is not None:
            self._child.end()
        self._port.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- talking to it

    def cli(self, *command: str | bytes | float) -> Any:
        """Send one command on a connection of its own and return the answer as it is (in RESP2), text decoded.

        Raises:
            redis.RedisError: the server refuses, or cannot be reached; nothing is tried again.
        """
        connection = _CONNECTION(
            path=str(self.socket),
            username=self._username,
            password=self._password,
            protocol=2,
            decode_responses=True,
            socket_timeout=_PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            connection.send_command(*command)
            return connection.read_response()
        finally:
            connection.disconnect()

    def config_set(self, name: str, value: str | float) -> None:
        """Change a setting of the running server; a restart forgets it."""
        self.cli("CONFIG", "SET", name, value)

    # -- inside

    def _base(self) -> dict[str, str | int | Sequence[str]]:
        return {"bind": self.host, "port": self.port, "unixsocket": str(self.socket), "dir": str(self.directory), "save": '""'}

    def _credentials(self) -> str:
        if self._password is None:
            return ""
        return f"{quote(self._username or '', safe='')}:{quote(self._password, safe='')}@"

    def _running(self) -> Child:
        if self._child is None or not self._child.running:
            raise ServiceError(f"the server on port {self.port} does not run; start() it first")
        return self._child

    def _await_answer(self, child: Child) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if not child.running or time.monotonic() > deadline:
                reason = f"does not answer for {_PATIENCE:.0f} s" if child.running else f"ended with status {child.wait()}"
                raise ServiceError(f"{self._binary} {reason}; its log ends:\n{_tail(self.log)}")
            time.sleep(_POLL)

    def _answers(self) -> bool:
        """Ask by the unix socket, which is certainly its own."""
        try:
            return bool(self.cli("PING") == "PONG")
        except (ConnectionError, TimeoutError, BusyLoadingError):
            return False


@contextmanager
def redis_server(
    binary: str | os.PathLike[str] | Binary | None = None,
    *,
    appendonly: str = "no",
    username: str | None = None,
    password: str | None = None,
    config: Config | None = None,
) -> Iterator[RedisServer]:
    """Run a server for the time of a `with` block.

    Args:
        binary: the program, as a path or as a name on PATH, or one of `redis_binaries`; the first installed by default.
        appendonly: `always`, `everysec` or `no`: whether accepted writes survive `kill`.
        username: the only user, who may do everything; nobody else gets in. It needs a password.
        password: what clients have to say.
        config: more directives of redis.conf, as they would stand there, such as `{"save": "60 1", "maxmemory": "50mb"}`.

    Raises:
        ServiceError: no server is installed, or it does not start; the text says why.
    """
    directives: dict[str, str | int | Sequence[str]] = {}
    if appendonly != "no":
        directives |= {"appendonly": "yes", "appendfsync": appendonly}
    if username is not None:
        if password is None:
            raise ValueError("a username needs a password; give both, or neither")
        secret = _quoted(f">{password}")
        directives |= {"user": [f"{_quoted(username)} on {secret} ~* &* +@all", "default off"]}
    elif password is not None:
        directives |= {"requirepass": _quoted(password)}
    server = RedisServer(find_binary(binary), directives | dict(config or {}), username=username, password=password)
    try:
        server.start()
        yield server
    finally:
        server.close()


def _render(config: Config) -> str:
    lines = []
    for name, value in config.items():
        lines += [f"{name} {one}\n" for one in ([str(value)] if isinstance(value, str | int) else value)]
    return "".join(lines)


def _quoted(text: str) -> str:
    """Write any text as one word of redis.conf."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def _tail(log: str) -> str:
    return "\n".join(log.strip().splitlines()[-12:]) or "(nothing)"
