"""The IronMQ backend keeps the contract."""

import pytest

from taskq_conformance import BackendSuite
from taskq_conformance.targets.ironmq import ironmq

pytestmark = pytest.mark.slow


class TestIronMQ(BackendSuite):
    """Every scenario, on our emulator of the service, in virtual time."""

    profile = ironmq
