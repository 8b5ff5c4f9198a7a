"""The simulator keeps the contract, and with `--taskq-seeds` its histories are free of breaches under faults."""

from taskq_conformance import BackendSuite
from taskq_conformance.targets.simulator import simulator


class TestSimulator(BackendSuite):
    """Every scenario, in virtual time; the oracle judges as well."""

    profile = simulator
