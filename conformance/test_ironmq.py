"""The IronMQ backend keeps the contract."""

from taskq_conformance import BackendSuite
from taskq_conformance.targets.ironmq import ironmq


class TestIronMQ(BackendSuite):
    """Every scenario, on our emulator of the service, in virtual time."""

    profile = ironmq
