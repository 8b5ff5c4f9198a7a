"""Our own targets, by name. Each module has one; it is imported when it is asked for."""

from __future__ import annotations

import importlib

from taskq.errors import ConfigError
from taskq_conformance.profile import Profile

__all__ = ["ADAPTERS", "DEFAULT", "NAMES", "find"]

ADAPTERS = frozenset({
    "batches", "crash", "dead_letters", "dedup", "delay", "enqueue", "expiry", "extension", "fencing", "honesty", "long_delay",
    "order", "payload", "purge", "release", "size", "waiting", "wire",
})  # fmt: skip
"""The groups of scenarios that say most about an adapter, and least about the runtime above it."""

DEFAULT = ("memory", "fakeredis", "moto", "ironmq")
"""What is run where nothing is named: all in virtual time."""

NAMES = (*DEFAULT, "simulator", "valkey", "redis", "cluster", "localstack", "ministack", "env_redis", "env_sqs")
"""All of our own targets."""


def find(name: str) -> Profile:
    """Return a target: one of ours by its name, or a stranger's as `module:attribute`.

    Raises:
        ConfigError: there is none.
    """
    module_name, _, attribute = name.partition(":")
    if attribute:
        try:
            found = getattr(importlib.import_module(module_name), attribute, None)
        except ImportError as error:
            raise ConfigError(f"target {name!r} cannot be imported: {error}") from None
    elif name in NAMES:
        found = getattr(importlib.import_module(f"taskq_conformance.targets.{name}"), name)
    else:
        raise ConfigError(f"there is no target {name!r}; give module:attribute, or one of: {', '.join(NAMES)}")
    if not isinstance(found, Profile):
        raise ConfigError(f"target {name!r} is no taskq_conformance.Profile; give the name of one")
    return found
