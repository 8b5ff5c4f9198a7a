"""The suite as pytest sees it: a class to be subclassed, with one test for each scenario."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest

from taskq_conformance.profile import Profile, Unavailable
from taskq_conformance.results import Result
from taskq_conformance.run import run_real, run_virtual
from taskq_conformance.scenario import Scenario, all_scenarios

__all__ = ["BackendSuite"]

Outcome = Callable[[Scenario], Result]

_known: pytest.StashKey[dict[Any, dict[str, Result] | str]] = pytest.StashKey()
"""The results of suites in real time, by class; or why there are none."""


class BackendSuite:
    """Subclass it, set `profile`, and pytest runs every scenario against your backend.

    Attributes:
        profile: what is to be judged.
    """

    profile: ClassVar[Profile]

    @pytest.fixture
    def taskq_profile(self) -> Profile:
        """What is to be judged; override it where a profile needs fixtures, such as a folder."""
        return self.profile

    @pytest.fixture
    def taskq_outcome(self, request: pytest.FixtureRequest, taskq_profile: Profile) -> Outcome:
        """How one scenario is run: alone in virtual time; in real time all that were chosen, side by side, at the first one."""
        if taskq_profile.time == "virtual":
            return lambda scenario: run_virtual(taskq_profile, scenario)
        known = request.session.stash.setdefault(_known, {})
        if request.cls not in known:
            known[request.cls] = _all_at_once(request, taskq_profile)
        results = known[request.cls]
        if isinstance(results, str):
            pytest.skip(f"not run: {results}")
        return lambda scenario: results[scenario.name]

    @pytest.mark.timeout(300)
    @pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda scenario: scenario.name)
    def test_scenario(self, scenario: Scenario, taskq_outcome: Outcome, record_property: Callable[[str, Any], None]) -> None:
        """The backend keeps the guarantee that the scenario tries."""
        result = taskq_outcome(scenario)
        record_property("taskq_result", msgspec.to_builtins(result))
        if result.status == "not run":
            pytest.skip(result.reason)
        if result.status == "expected failure":
            pytest.xfail(result.reason)
        assert result.status == "passed", f"{scenario.guarantee}: {scenario.sentence}\n{result.reason}\n{result.error}"


def _all_at_once(request: pytest.FixtureRequest, profile: Profile) -> dict[str, Result] | str:
    """Run what was chosen of a class."""
    chosen = [_scenario_of(item) for item in request.session.items if getattr(item, "cls", None) is request.cls]
    try:
        results = run_real(profile, [each for each in chosen if each is not None])
    except Unavailable as error:
        return str(error)
    return {result.scenario: result for result in results}


def _scenario_of(item: Any) -> Scenario | None:
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("scenario") if callspec is not None else None
    return found if isinstance(found, Scenario) else None
