"""The Redis backend keeps the contract."""

from taskq_conformance import BackendSuite
from taskq_conformance.targets.fakeredis import fakeredis


class TestFakeRedis(BackendSuite):
    """Every scenario, on fakeredis, in virtual time."""

    profile = fakeredis
