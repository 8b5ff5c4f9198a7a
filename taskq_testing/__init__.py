"""Testing with taskq: a deterministic simulator, fixtures and assertions.

The names here are loaded when they are used. This module imports no pytest and nothing heavy, for the plugin
(`taskq_testing.plugin`) is loaded by every run of pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskq_testing.explore.decorator import SimulationFailed, simulation
    from taskq_testing.harness import Drained, Harness
    from taskq_testing.harness.assertions import Pending
    from taskq_testing.harness.machine import QueueMachine
    from taskq_testing.harness.matching import ANY, Exactly
    from taskq_testing.harness.performing import Performed
    from taskq_testing.harness.probes import NotReached, Signal
    from taskq_testing.harness.runs import Performance
    from taskq_testing.harness.stage import Stuck

__all__ = [
    "ANY",
    "Drained",
    "Exactly",
    "Harness",
    "NotReached",
    "Pending",
    "Performance",
    "Performed",
    "QueueMachine",
    "Signal",
    "SimulationFailed",
    "Stuck",
    "simulation",
]

_HOME = {
    "ANY": "harness.matching",
    "Drained": "harness",
    "Exactly": "harness.matching",
    "Harness": "harness",
    "NotReached": "harness.probes",
    "Pending": "harness.assertions",
    "Performance": "harness.runs",
    "Performed": "harness.performing",
    "QueueMachine": "harness.machine",
    "Signal": "harness.probes",
    "SimulationFailed": "explore.decorator",
    "Stuck": "harness.stage",
    "simulation": "explore.decorator",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value
