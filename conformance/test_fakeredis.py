"""The Redis backend keeps the contract."""

import pytest

from taskq_conformance import BackendSuite
from taskq_conformance.targets.fakeredis import fakeredis

pytestmark = pytest.mark.slow


class TestFakeRedis(BackendSuite):
    """Every scenario, on fakeredis, in virtual time."""

    profile = fakeredis
