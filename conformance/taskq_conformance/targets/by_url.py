"""The profile of whatever a URL of taskq's own leads to, for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from taskq.backends import IRONMQ, REDIS, connect
from taskq.backends.base import Clock
from taskq.backends.memory import MemoryBroker
from taskq.errors import ConfigError
from taskq_conformance.profile import Connect, Profile, Service, of_url
from taskq_conformance.targets.memory import memory
from taskq_conformance.targets.servers import redis_profile, sqs_profile

__all__ = ["profile_of_url"]


def profile_of_url(url: str) -> Profile:
    """Return the profile of the backend at a URL.

    Raises:
        ConfigError: no backend serves such URLs.
    """
    scheme = urlsplit(url).scheme
    about = f"the backend at {scheme}://{urlsplit(url).hostname or ''}"
    if scheme == "memory":
        return memory
    if scheme in REDIS:
        return redis_profile(scheme, _directly(url), about)
    if scheme == "sqs":
        return sqs_profile("sqs", _with_one_store(url), about)
    if scheme in IRONMQ:
        from taskq_conformance.targets.ironmq import ironmq  # noqa: PLC0415 - it needs an extra

        return sqs_profile(scheme, _with_one_store(url), about, claims=ironmq.capabilities, expected=ironmq.expected)
    raise ConfigError(f"no backend serves {scheme or url}://; give the URL of an App, the name of a target, or module:attribute")


def _directly(url: str) -> Service:
    @contextmanager
    def service(_: Clock) -> Iterator[Connect]:
        yield of_url(url)

    return service


def _with_one_store(url: str) -> Service:
    """Return a service beside which this process keeps names, rate limits and locks, unless the URL names another store."""

    @contextmanager
    def service(clock: Clock) -> Iterator[Connect]:
        stores = None if "store=" in url else MemoryBroker(clock)
        yield lambda own: connect(url, own, None, stores)

    return service
