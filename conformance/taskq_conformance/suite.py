"""The suite as pytest sees it: a class to be subclassed, with one test for each scenario."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest

from taskq_conformance.profile import Profile, Unavailable
from taskq_conformance.properties import RESULT, TARGET
from taskq_conformance.results import Result
from taskq_conformance.run import described, run_real, run_virtual
from taskq_conformance.scenario import Scenario, all_scenarios
from taskq_testing import settings

__all__ = ["BackendSuite"]

Outcome = Callable[[Scenario], list[Result]]

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
            probes = request.config.getoption("taskq_report", None) is not None
            return lambda scenario: _alone(taskq_profile, scenario, probes=probes)
        known = request.session.stash.setdefault(_known, {})
        if request.cls not in known:
            known[request.cls] = _all_at_once(request, taskq_profile)
        results = known[request.cls]
        if isinstance(results, str):
            pytest.skip(f"not run: {results}")
        return lambda scenario: [results[scenario.name]]

    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda scenario: scenario.name)
    def test_scenario(
        self,
        scenario: Scenario,
        taskq_profile: Profile,
        taskq_outcome: Outcome,
        record_property: Callable[[str, Any], None],
    ) -> None:
        """The backend keeps the guarantee that the scenario tries."""
        results = taskq_outcome(scenario)
        record_property(TARGET, msgspec.to_builtins(described(taskq_profile)))
        for result in results:
            record_property(RESULT, msgspec.to_builtins(result))
        for result in results:
            assert result.status != "failed", _told(scenario, result)
        if results[0].status == "not run":
            pytest.skip(results[0].reason)
        if results[0].status == "expected failure":
            pytest.xfail(results[0].reason)
        assert {result.status for result in results} == {"passed"}


def _told(scenario: Scenario, result: Result) -> str:
    seed = f" (seed {result.seed})" if result.seed else ""
    return f"{scenario.guarantee}: {scenario.sentence}\n{result.reason}{seed}\n{result.error}"


def _alone(profile: Profile, scenario: Scenario, *, probes: bool) -> list[Result]:
    """Run one scenario in the promised order, and in as many others as `--taskq-seeds` asks for."""
    try:
        return [
            run_virtual(profile, scenario, seed, probes=probes and not seed) for seed in range((settings.current.seeds or 0) + 1)
        ]
    except Unavailable as error:
        pytest.skip(f"not run: {error}")


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
