"""Fixtures for all tests."""

import pytest
from hypothesis import HealthCheck, settings

import taskq

# A busy machine makes an example slow, not wrong; what has to be fast is measured in benchmarks/.
settings.register_profile("taskq", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("taskq")


@pytest.fixture
def app():
    """An app in memory that is closed afterwards."""
    app = taskq.App()
    yield app
    app.close()
