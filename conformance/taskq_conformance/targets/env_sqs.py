"""The endpoint that TASKQ_TEST_SQS_ENDPOINT names: LocalStack, ElasticMQ, AWS itself. Credentials are boto3's business."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taskq.backends.base import Clock
from taskq_conformance.profile import Connect, Unavailable
from taskq_conformance.targets.servers import sqs_connect, sqs_profile, variable

__all__ = ["env_sqs"]


@contextmanager
def _service(clock: Clock) -> Iterator[Connect]:
    endpoint = variable("TASKQ_TEST_SQS_ENDPOINT")
    import boto3  # noqa: PLC0415 - an extra
    from botocore.config import Config  # noqa: PLC0415 - the same
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - the same

    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=200)
    try:
        client = boto3.client("sqs", endpoint_url=endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        raise Unavailable(f"TASKQ_TEST_SQS_ENDPOINT={endpoint}: {error}; it is to be like http://localhost:4566") from None
    yield sqs_connect(client, clock)


env_sqs = sqs_profile("env_sqs", _service, "the endpoint that TASKQ_TEST_SQS_ENDPOINT names")
