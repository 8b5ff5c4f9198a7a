"""The SQS backend on ministack, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from taskq_conformance.targets.servers import sqs_profile, sqs_started

__all__ = ["ministack"]


@contextmanager
def _server() -> Iterator[Any]:
    from taskq_testing.services.sqs import ministack_server  # noqa: PLC0415 - it needs boto3

    with ministack_server() as server:
        yield server


ministack = sqs_profile("ministack", sqs_started(_server), "the SQS backend on ministack, over HTTP")
