"""The in-memory backend keeps the contract."""

from taskq_conformance import BackendSuite
from taskq_conformance.targets.memory import memory


class TestMemory(BackendSuite):
    """Every scenario, in virtual time."""

    profile = memory
