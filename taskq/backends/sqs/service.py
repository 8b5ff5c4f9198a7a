"""SQS as this process reaches it: boto3's clients, and the threads in which their calls wait. Nothing is decided here.

Clients are made when the first call needs one, and are used by all threads, as botocore allows. Calls that wait for messages
have threads and a client of their own, so that they hold nothing else up. A forked child makes its own of everything.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import NoCredentialsError

from taskq.backends.base import Clock
from taskq.backends.sqs.errors import translate
from taskq.backends.sqs.settings import Settings, settings_for
from taskq.errors import ConfigError

__all__ = ["LONGEST_POLL", "Access", "Service", "access_for", "from_client"]

T = TypeVar("T")

logger = logging.getLogger("taskq")

LONGEST_POLL = 20
"""Seconds that SQS waits for messages at most."""

_CONNECT, _ANSWER = 5.0, 10.0
"""Seconds for a connection, and for an answer that the service does not delay on purpose."""

_CALLS, _POLLS = 8, 64
"""Threads for calls, and for those that wait for messages, at most; they are started when needed."""


class Access(NamedTuple):
    """How to reach one account.

    Attributes:
        settings: which queues.
        make: returns a client whose calls may take so many seconds.
        lasting: whether the client is the user's own, to be left alone.
    """

    settings: Settings
    make: Callable[[float], Any]
    lasting: bool = False


def access_for(url: str) -> Access:
    """Return how to reach what a URL names; nothing is read or connected yet.

    Raises:
        ConfigError: the URL cannot be read.
    """
    settings = settings_for(url)
    session = cache(partial(_session, settings))  # clients of one session share what it has read
    return Access(settings, lambda patience: _client(session(), settings, patience))


def from_client(client: Any, url: str) -> Access:
    """Return how to reach what a boto3 client reaches. The client is used as it is, with its timeouts and retries.

    Raises:
        ConfigError: it is no boto3 client of SQS, or the URL says what the client knows already.
    """
    service = getattr(getattr(getattr(client, "meta", None), "service_model", None), "service_name", None)
    if service != "sqs":
        raise ConfigError(f"a {type(client).__name__} is no boto3 client of SQS; give boto3.client('sqs')")
    settings = settings_for(url)
    for name in ("region", "endpoint", "profile", "role"):
        if getattr(settings, name) is not None:
            raise ConfigError(f"the client knows its {name} already; leave {name} out of the sqs:// URL")
    return Access(settings, lambda _patience: client, lasting=True)


def _session(settings: Settings) -> Any:
    session = botocore.session.Session(profile=settings.profile)
    if settings.region is not None:
        session.set_config_variable("region", settings.region)
    return session if settings.role is None else _assuming(session, settings.role)


def _client(session: Any, settings: Settings, patience: float) -> Any:
    config = Config(
        # A send whose answer was lost must not be sent again behind our back: SQS would add it twice.
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=_CONNECT,
        read_timeout=patience,
        max_pool_connections=_CALLS + _POLLS,
        tcp_keepalive=True,
        user_agent_extra="taskq",
    )
    return boto3.session.Session(botocore_session=session).client("sqs", endpoint_url=settings.endpoint, config=config)


def _assuming(source: Any, role: str) -> Any:
    """Return a session with the credentials of a role, which are renewed when they run out."""
    credentials = source.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    fetcher = AssumeRoleCredentialFetcher(source.create_client, credentials, role, extra_args={"RoleSessionName": "taskq"})
    session = botocore.session.Session()
    session.set_config_variable("region", source.get_config_variable("region"))
    session._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")  # noqa: SLF001 - botocore's own way takes a file
    return session


class Service:
    """What the queues of one broker talk through.

    Attributes:
        settings: which queues of which account.
        clock: time.
    """

    def __init__(self, access: Access, clock: Clock) -> None:
        self.settings = access.settings
        self.clock = clock
        self._access = access
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._clients: dict[float, Any] = {}
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._locks: dict[str, threading.RLock] = {}

    @property
    def lock(self) -> threading.RLock:
        """What guards everything that threads share here, never during a call: event loops wait for it too.

        A forked child has another one.
        """
        if self._pid != os.getpid():
            self._forget()
        return self._lock

    def lock_of(self, name: str) -> threading.RLock:
        """Return what only threads wait for, while one of them finds or makes the queue of this name; `""` is for clients."""
        with self.lock:
            return self._locks.setdefault(name, threading.RLock())

    # -- in threads

    def call(self, operation: str, *, polling: bool = False, **parameters: Any) -> Any:
        """Do one call of boto3 and return what it returns, or raise what it raises."""
        patience = _ANSWER + (LONGEST_POLL if polling else 0)
        with self.lock:
            client = self._clients.get(patience)
        if client is None:
            client = self._make(patience)
        return getattr(client, operation)(**parameters)

    def _make(self, patience: float) -> Any:
        with self.lock_of(""):  # boto3 reads files, and may ask the machine or a service for credentials
            if patience not in self._clients:
                self._clients[patience] = self._access.make(patience)
            return self._clients[patience]

    # -- on event loops

    async def run(self, where: str, function: Callable[..., T], *args: Any, polling: bool = False) -> T:
        """Run a function that does calls in a thread; errors of boto3 are translated.

        Args:
            where: what it is about, for people.
            function: what to run.
            args: its arguments.
            polling: whether it waits for messages.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads(polling=polling), function, *args)
        except Exception as error:
            raise translate(error, where) from error

    def run_later(self, function: Callable[..., object], *args: Any) -> None:
        """Have a function run in a thread, which nobody waits for."""
        asyncio.get_running_loop().run_in_executor(self._threads(polling=False), _quietly, function, *args)

    def _threads(self, *, polling: bool) -> ThreadPoolExecutor:
        size = _POLLS if polling else _CALLS
        with self.lock:
            pool = self._pools.get(size)
            if pool is None:
                pool = self._pools[size] = ThreadPoolExecutor(size, "taskq-sqs-poll" if polling else "taskq-sqs")
            return pool

    async def aclose(self) -> None:
        """Wait for the calls that are under way, and let clients and threads go."""
        with self.lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await asyncio.get_running_loop().run_in_executor(None, pool.shutdown)
        with self.lock:
            clients, self._clients = list(self._clients.values()), {}
        if not self._access.lasting:
            for client in clients:
                client.close()


def _quietly(function: Callable[..., object], *args: Any) -> None:
    try:
        function(*args)
    except Exception as error:  # noqa: BLE001 - nobody waits for it
        logger.warning("SQS: %s", error)
