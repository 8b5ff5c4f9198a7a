"""The backend in memory and real services in lock step, in short: they agree, and what does not is found."""

from pathlib import Path

import pytest

from conformance.differential.__main__ import SERVICES, drive, main
from conformance.differential.lockstep import DIFFERENCES, Divergence
from conformance.differential.page import Drive, page
from conformance.mutants import all_mutants
from taskq_testing.services import redis_binaries

MUTANTS = {mutant.name: mutant for mutant in all_mutants()}
LIST = Path(__file__).parents[2] / "docs" / "divergences.md"


def drive_long_enough(service):
    """Drive until a bug that is there is found."""
    assert redis_binaries()
    return drive(service, 200, 30, shrink=False)


@pytest.mark.slow
@pytest.mark.parametrize(("service", "examples"), [("valkey", 25), ("sqs", 3)])
def test_a_service_agrees_with_memory(service, examples):
    """Every answer of a real service is that of the backend in memory, or differs in a way that is listed for it."""
    found = drive(service, examples, 20)
    assert found.examples == examples
    assert found.seen <= {each.name for each in DIFFERENCES if service in each.services}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a_delay_is_forgotten", "redis_counts_the_reserved_as_ready"])
def test_a_divergence_is_found(name):
    """A bug on one side alone, in memory or on Redis, is found as a divergence that says what each answered."""
    with MUTANTS[name].alive(), pytest.raises(Divergence, match="in memory .*, on valkey ") as caught:
        drive_long_enough("valkey")
    assert any("state." in note for note in caught.value.__notes__)


@pytest.mark.slow
def test_an_unlisted_difference_is_a_divergence(monkeypatch):
    """What differs on a service for which nobody has listed it is found."""
    name = "extension beyond the timeout"
    unlisted = {each.name: type(each)(each.name, () if each.name == name else each.services, "", "") for each in DIFFERENCES}
    monkeypatch.setattr("conformance.differential.lockstep._BY_NAME", unlisted)
    with pytest.raises(Divergence, match="extend: in memory .*, on valkey "):
        drive_long_enough("valkey")


def test_the_list_names_every_difference():
    """The published page has a part for each service, with each of its differences, why, and whether it was seen."""
    text = page(DIFFERENCES, {name: Drive(7, 9, frozenset({"order of plain messages"})) for name in SERVICES})
    for each in DIFFERENCES:
        assert text.count(each.what) == len(each.services)
    assert text.count("| yes |") == 1
    assert "7 examples of up to 9 steps." in text


def test_the_published_list_is_of_today():
    """The page in the documentation names the differences that the machine knows, and no others."""
    rows = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line.endswith(("| yes |", "| no |"))]
    wanted = [f"| {each.what} | {each.why} |" for name in SERVICES for each in DIFFERENCES if name in each.services]
    assert [row.rpartition(" yes |")[0].rstrip() or row.rpartition(" no |")[0].rstrip() for row in rows] == wanted


@pytest.mark.slow
def test_the_command_fails_where_answers_differ(capfd):
    """The command says what diverged, step by step, and fails; it writes no list then."""
    with MUTANTS["a_delay_is_forgotten"].alive():
        assert main(["--service", "valkey", "--examples", "200", "--no-shrink"]) == 1
    told = capfd.readouterr().out
    assert "in memory" in told
    assert "state.send" in told
