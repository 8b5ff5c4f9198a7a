"""Servers that speak SQS, on the loopback interface: moto in this process, ministack and LocalStack as processes of their own.

None of them is AWS, and each is wrong in its own way, so that what holds on all of them is likely to hold. moto starts at once;
ministack takes a second, LocalStack some; both need environments of their own (195 MB for LocalStack), made once and kept.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import urlopen

import boto3
from botocore.config import Config

from taskq_testing.services.child import Child, ServiceError
from taskq_testing.services.ports import HOST, Port

__all__ = ["CREDENTIALS", "LOCALSTACK", "MINISTACK", "SqsServer", "localstack_server", "ministack_server", "moto_server"]

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
"""What a program has to have in its environment, for these servers take any credentials, but boto3 insists on some."""

LOCALSTACK = ("localstack-core[base-runtime]==4.13.1", "cbor2<6")
"""What has to be installed for LocalStack: its last version that needs neither docker nor an account."""

MINISTACK = ("ministack==1.5.33",)
"""What has to be installed for ministack; it wants one version of botocore, and so an environment of its own."""

_PATIENCE = 60.0
_POLL = 0.01
_LOOK = 0.02
"""Seconds between two looks of a long poll of moto."""


class SqsServer:
    """Where a server listens.

    Attributes:
        name: which one it is: `moto`, `ministack` or `localstack`, or what a test calls another.
        endpoint: its URL for boto3.
    """

    def __init__(self, name: str, endpoint: str) -> None:
        self.name = name
        self.endpoint = endpoint

    @property
    def url(self) -> str:
        """Its URL for an App, which finds the credentials in the environment."""
        return f"sqs://?region={CREDENTIALS['AWS_DEFAULT_REGION']}&endpoint={quote(self.endpoint, safe='')}"

    def client(self, **settings: Any) -> Any:
        """Return a boto3 client of it, which tries everything once.

        Args:
            settings: more of botocore's Config.
        """
        return boto3.client(
            "sqs",
            endpoint_url=self.endpoint,
            region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(**{"retries": {"total_max_attempts": 1}, **settings}),
        )


# -- moto


_IN_TURN = (
    *("send_message", "send_message_batch", "delete_message", "delete_message_batch"),
    *("change_message_visibility", "change_message_visibility_batch", "purge_queue"),
)


@contextmanager
def moto_server() -> Iterator[SqsServer]:
    """Run moto in a thread of this process for the time of a `with` block.

    Two things of moto are put right: its queues are shared by threads without a lock, so that now and then a message is lost
    or delivered twice; and its long polls see only once a second what has become visible.
    """
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - it takes a second
    from moto.sqs.models import SQSBackend  # noqa: PLC0415 - the same

    lock = threading.RLock()
    mended: dict[str, Any] = {name: _in_turn(lock, getattr(SQSBackend, name)) for name in _IN_TURN}
    mended["receive_message"] = _long_poll(lock, SQSBackend.receive_message)
    with patch.multiple(SQSBackend, **mended), patch.object(logging.getLogger("werkzeug"), "disabled", new=True):
        server = ThreadedMotoServer(HOST, 0, verbose=False)
        server.start()
        try:
            host, port = server.get_host_and_port()
            yield SqsServer("moto", f"http://{host}:{port}")
        finally:
            server.stop()


def _in_turn(lock: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return method(*args, **kwargs)

    return call


def _long_poll(lock: Any, receive: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(receive)
    def call(backend: Any, name: str, count: int, wait: int, *args: Any) -> Any:
        deadline = time.monotonic() + wait
        while True:
            with lock:
                found = receive(backend, name, count, 0, *args)
            if found or time.monotonic() >= deadline:
                return found
            time.sleep(_LOOK)

    return call


# -- processes


@contextmanager
def ministack_server() -> Iterator[SqsServer]:
    """Run ministack for the time of a `with` block: the one on `PATH`, or of an environment that is made first if there is none.

    Raises:
        ServiceError: it cannot be installed, or does not start.
    """
    program = shutil.which("ministack") or _installed("ministack", MINISTACK).with_name("ministack")
    with _running("ministack", lambda _: [program], lambda port: {"GATEWAY_PORT": str(port)}) as server:
        yield server


@contextmanager
def localstack_server() -> Iterator[SqsServer]:
    """Run LocalStack for the time of a `with` block; its environment is made first if there is none.

    Raises:
        ServiceError: it cannot be installed, or does not start.
    """
    python, script = _installed("localstack", LOCALSTACK), Path(__file__).with_name("localstack_host.py")
    with _running("localstack", lambda port: [python, script, str(port)], lambda _: {}) as server:
        yield server


def _installed(name: str, packages: Sequence[str]) -> Path:
    """Return the Python of an environment that packages are installed in; make it if there is none.

    It is looked for where TASKQ_LOCALSTACK_HOME or TASKQ_MINISTACK_HOME says, or in the user's cache.

    Raises:
        ServiceError: it cannot be made.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = packages[0].rpartition("==")[2]
    home = Path(os.environ.get(f"TASKQ_{name.upper()}_HOME") or cache / "taskq" / f"{name}-{version}")
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        commands: tuple[list[str | Path], ...] = (
            [sys.executable, "-m", "venv", "--clear", home],
            [python, "-m", "pip", "install", "-q", *packages],
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - names are ours
            if done.returncode:
                raise ServiceError(f"{name} cannot be installed in {home}: {(done.stderr or done.stdout).strip()[-500:]}")
        (home / "complete").touch()
    return python


@contextmanager
def _running(
    name: str, argv: Callable[[int], Sequence[str | Path]], env: Callable[[int], Mapping[str, str]]
) -> Iterator[SqsServer]:
    port, directory = Port(), Path(tempfile.mkdtemp(prefix=f"taskq-{name}-"))
    ours = {"SERVICES": "sqs", "BIND_HOST": HOST, "MINISTACK_HOST": HOST, "FILESYSTEM_ROOT": str(directory)}
    log = directory / "log"
    try:
        with log.open("wb") as output:
            environment = {**os.environ, **CREDENTIALS, **ours, **env(port.number)}
            child = Child(argv(port.number), output=output, env=environment, cwd=directory, directory=directory)
        try:
            endpoint = f"http://{HOST}:{port.number}"
            _await_answer(name, child, endpoint, log)
            yield SqsServer(name, endpoint)
        finally:
            child.end()
    finally:
        port.close()
        shutil.rmtree(directory, ignore_errors=True)


def _await_answer(name: str, child: Child, endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _answers(endpoint):
        if not child.running or time.monotonic() > deadline:
            end = "\n".join(log.read_text(errors="replace").strip().splitlines()[-12:])
            raise ServiceError(f"{name} {'does not answer' if child.running else 'ended'}; its output ends:\n{end}")
        time.sleep(_POLL)


def _answers(endpoint: str) -> bool:
    """Whether anything is said there; what, is no matter."""
    try:
        with urlopen(endpoint, timeout=5):  # noqa: S310 - the address is ours
            return True
    except HTTPError:
        return True
    except (URLError, OSError):
        return False
