"""The SQS backend keeps the contract."""

import pytest

from taskq_conformance import BackendSuite
from taskq_conformance.targets.moto import moto

pytestmark = pytest.mark.slow


class TestMoto(BackendSuite):
    """Every scenario, on moto in this process, in virtual time."""

    profile = moto
