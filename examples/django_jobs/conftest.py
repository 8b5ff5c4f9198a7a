"""Django in pytest: a test database, and the harness for test classes. With pytest-django only the last fixture is needed."""

import os
from collections.abc import Iterator

import django
import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

from django.test.utils import setup_databases, setup_test_environment, teardown_databases, teardown_test_environment  # noqa: E402

from taskq_testing import Harness  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def database() -> Iterator[None]:
    """Make the test database once."""
    setup_test_environment()
    before = setup_databases(verbosity=0, interactive=False)
    yield
    teardown_databases(before, verbosity=0)
    teardown_test_environment()


@pytest.fixture(autouse=True)
def sim(request: pytest.FixtureRequest, taskq_sim: Harness) -> None:
    """Give every test class the harness as `self.sim`."""
    request.instance.sim = taskq_sim
