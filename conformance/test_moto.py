"""The SQS backend keeps the contract."""

from taskq_conformance import BackendSuite
from taskq_conformance.targets.moto import moto


class TestMoto(BackendSuite):
    """Every scenario, on moto in this process, in virtual time."""

    profile = moto
