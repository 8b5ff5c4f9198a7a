"""The pytest plugin, in a project of a stranger's."""

import pytest

from taskq_conformance.results import read

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

PROJECT = """
import dataclasses
from taskq_conformance import BackendSuite
from taskq_conformance.targets.memory import memory


class TestOne(BackendSuite):
    profile = memory


class TestSeldom(BackendSuite):
    profile = dataclasses.replace(memory, name="seldom", default=False)


class TestBrief(BackendSuite):
    profile = dataclasses.replace(memory, name="brief", brief=frozenset({"order"}))


class TestWrong(BackendSuite):
    profile = dataclasses.replace(memory, name="wrong", default=False, expected={"enqueue.a_message_runs_once": "an old flaw"})


class TestFixture(BackendSuite):
    profile = dataclasses.replace(memory, name="named")

    @pytest.fixture
    def taskq_profile(self, tmp_path):
        return dataclasses.replace(memory, name="named", about=str(tmp_path.name))


def test_of_another_kind():
    assert True
"""


@pytest.fixture
def project(pytester):
    """Five suites and a test."""
    pytester.makepyfile("import pytest\n" + PROJECT)
    return pytester


def test_without_a_target_the_usual_suites_run(project):
    """Those that are not run by default are left out, brief ones run in brief, and other tests run."""
    outcome = project.runpytest_subprocess("-k", "runs_once or in_their_order or another_kind", "-p", "no:cacheprovider", "-v")
    told = outcome.stdout.str()
    outcome.assert_outcomes(passed=told.count(" PASSED"))
    assert "TestSeldom" not in told
    assert "TestBrief::test_scenario[order.messages_come_in_their_order]" in told
    assert "TestBrief::test_scenario[enqueue" not in told
    assert "test_of_another_kind PASSED" in told
    assert "TestFixture::test_scenario[enqueue.a_message_runs_once] PASSED" in told


def test_targets_are_chosen_and_reported(project):
    """A target that is named runs, and nothing else; the report has each result, also of a stale expectation, and an under-claim."""
    outcome = project.runpytest_subprocess("--taskq-target", "seldom,wrong", "--taskq-report", "out", "-k", "enqueue or repeated")
    run = read(project.path / "out" / "conformance.json")
    tallies = {target.name: target.tally() for target in run.targets}
    assert set(tallies) == {"seldom", "wrong"}
    assert tallies["seldom"]["failed"] == 0
    assert tallies["wrong"]["failed"] == 1
    (stale,) = [result for target in run.targets for result in target.results if result.status == "failed"]
    assert (stale.scenario, "strike it out" in stale.reason) == ("enqueue.a_message_runs_once", True)
    assert {result.probe for target in run.targets for result in target.results if result.status == "not run"} == {"failed"}
    outcome.stdout.fnmatch_lines(["*it was expected to fail and did not*"])


def test_a_target_that_is_not_there_is_told(project):
    """Its name is in the error, and nothing runs."""
    outcome = project.runpytest_subprocess("--taskq-target", "nothing")
    outcome.stderr.fnmatch_lines(["*no suite that was collected has the profile nothing*"])
    assert outcome.ret == 4
