"""Fixtures of the chaos tests: a server of one's own for each, and a fleet round it."""

import pytest

from taskq_testing.services import Processes
from tests.chaos.fleet import ROOT, Fleet, recorded_server


@pytest.fixture
def server():
    """A server that nobody else uses, and that writes down what it does."""
    with recorded_server() as server:
        yield server


@pytest.fixture
def processes():
    """Starts worker processes, and leaves none behind."""
    with Processes(cwd=ROOT) as processes:
        yield processes


@pytest.fixture
def make_fleet(tmp_path, processes):
    """Returns fleets round any server."""
    fleets = []

    def make_fleet(server, **options):
        fleets.append(Fleet(tmp_path, server, processes, **options))
        return fleets[-1]

    yield make_fleet
    for each in fleets:
        each.close()


@pytest.fixture
def fleet(make_fleet, server):
    """Returns a fleet round the server."""

    def fleet(**options):
        return make_fleet(server, **options)

    return fleet
