"""The production SQS adapter on moto in this process, in virtual time.

moto is asked without waiting, and the time of day follows the loop, since moto goes by it.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any
from unittest.mock import patch

from taskq.backends import connect
from taskq.backends.base import Clock
from taskq.backends.memory import MemoryBroker
from taskq_conformance.capabilities import Capabilities, Max, Ordering, Unsupported, Window
from taskq_conformance.profile import Connect, Profile, Unavailable
from taskq_conformance.targets import ADAPTERS
from taskq_testing.loop.wall import wall_clock

__all__ = ["CLAIMS", "moto"]

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}

_LOOK = "taskq.backends.sqs.polls._LOOK"

CLAIMS = Capabilities(
    delay=Max(900.0),
    dedup=Window(),
    extension=Max(43_200.0),
    payload=Max(836_812.0),
    ordering=Ordering.NONE,
    repeated_sends=Unsupported("a standard queue does not compare ids"),
)
"""What SQS does, with a store beside it that all processes share."""


@functools.cache
def _parts() -> tuple[Any, Any]:
    """Return moto, and a client that it answers; both take a second to make."""
    try:
        mock: Any = importlib.import_module("moto")
        boto: Any = importlib.import_module("boto3")
    except ImportError as error:
        raise Unavailable(f"moto or boto3 is not installed ({error}); `pip install moto[sqs] boto3`") from None
    config: Any = importlib.import_module("botocore.config")
    with patch.dict("os.environ", _ENVIRONMENT):
        client = boto.client("sqs", region_name="us-east-1", config=config.Config(retries={"total_max_attempts": 1}))
    return mock, client


@contextmanager
def _service(clock: Clock) -> Iterator[Connect]:
    mock, client = _parts()
    stores = MemoryBroker(clock)
    # The backend looks less often at first: each look costs milliseconds here, and bounds are for the looks after that.
    with patch.dict("os.environ", _ENVIRONMENT), patch(_LOOK, 0.5), mock.mock_aws(), wall_clock(clock):
        yield lambda own: connect("sqs://?long_poll=no", own, client, stores)


def _versions() -> Mapping[str, str]:
    return {name: version(name) for name in ("moto", "boto3")}


moto = Profile(
    name="moto",
    service=_service,
    capabilities=CLAIMS,
    late=2.1,
    about="the SQS backend on moto in this process, in virtual time",
    versions=_versions,
    brief=ADAPTERS,
)
