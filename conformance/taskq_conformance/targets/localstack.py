"""The SQS backend on LocalStack, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from taskq_conformance.targets.servers import sqs_profile, sqs_started

__all__ = ["localstack"]


@contextmanager
def _server() -> Iterator[Any]:
    from taskq_testing.services.sqs import localstack_server  # noqa: PLC0415 - it needs boto3

    with localstack_server() as server:
        yield server


localstack = sqs_profile("localstack", sqs_started(_server), "the SQS backend on LocalStack, over HTTP")
