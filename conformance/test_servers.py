"""The backends keep the contract on real servers too. Run by name: `pytest conformance --taskq-target valkey,cluster`."""

import pytest

from taskq_conformance import BackendSuite
from taskq_conformance.targets.cluster import cluster
from taskq_conformance.targets.env_redis import env_redis
from taskq_conformance.targets.env_sqs import env_sqs
from taskq_conformance.targets.localstack import localstack
from taskq_conformance.targets.ministack import ministack
from taskq_conformance.targets.redis import redis
from taskq_conformance.targets.valkey import valkey

pytestmark = pytest.mark.slow


class TestValkey(BackendSuite):
    """Redis, on Valkey."""

    profile = valkey


class TestRedis(BackendSuite):
    """Redis, on Redis."""

    profile = redis


class TestCluster(BackendSuite):
    """Redis, on three nodes."""

    profile = cluster


class TestLocalStack(BackendSuite):
    """SQS, on LocalStack."""

    profile = localstack


class TestMinistack(BackendSuite):
    """SQS, on ministack."""

    profile = ministack


class TestNamedRedis(BackendSuite):
    """Redis, where TASKQ_TEST_REDIS_URL says."""

    profile = env_redis


class TestNamedSqs(BackendSuite):
    """SQS, where TASKQ_TEST_SQS_ENDPOINT says."""

    profile = env_sqs
