"""Mutants, in short: each change can be made and is taken back, a few are killed, and what no longer fits fails loudly."""

import pytest

from conformance.mutants import Mutant, Unapplied, all_mutants
from conformance.mutants.__main__ import main
from conformance.mutants.hunt import hunt, in_order, suite
from conformance.mutants.matrix import idle_of, line, matrix, summary
from conformance.mutants.patches import Attribute, Lua, Rewrite
from taskq.backends.redis import scripts
from taskq.core import retry
from taskq.runtime import leases
from taskq_conformance.contract import GUARANTEES

MUTANTS = {mutant.name: mutant for mutant in all_mutants()}
BACKOFF = ("math.ldexp(min_backoff, doublings)", "min_backoff")


def test_there_are_many():
    """There are more than sixty of each sort of place, each breaks a guarantee that there is, and most flaws are among them."""
    assert len(MUTANTS) >= 60
    assert {mutant.target for mutant in MUTANTS.values()} == {"memory", "fakeredis", "moto", "ironmq"}
    assert {mutant.guarantee for mutant in MUTANTS.values()} <= set(GUARANTEES)
    assert len({mutant.flaw for mutant in MUTANTS.values()} - {""}) >= 30


@pytest.mark.slow
def test_each_change_can_be_made_and_is_taken_back():
    """Every mutant still finds what it changes, and leaves nothing behind."""
    before = retry.backoff.__code__, scripts.SEND.text, scripts.SEND.sha
    for mutant in MUTANTS.values():
        with mutant.alive():
            pass
    assert (retry.backoff.__code__, scripts.SEND.text, scripts.SEND.sha) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "a_delay_takes_twice_as_long",
        "a_backoff_does_not_grow",
        "names_are_never_free",
        "a_failing_fallback_drops_its_message",
        "a_late_release_resurrects",
        "redis_recovers_by_the_age_of_an_entry",
        "ironmq_extends_by_a_second",
    ],
)
def test_a_mutant_is_killed(name):
    """The suite kills a mutant by a scenario of the guarantee that it breaks, and says what broke."""
    verdict = hunt(MUTANTS[name])
    assert verdict.killed
    assert verdict.reason
    assert {each.name: each.guarantee for each in suite()}[verdict.killers[0]] == MUTANTS[name].guarantee


@pytest.mark.slow
def test_what_changes_nothing_survives(monkeypatch):
    """A mutant that behaves as it should is killed by nothing, and is told as a survivor."""
    harmless = Mutant("harmless", "G16", (Rewrite("taskq.core.retry:backoff", *BACKOFF[:1], "1.0 * " + BACKOFF[0]),))
    few = tuple(each for each in suite() if each.guarantee == "G16")
    monkeypatch.setattr("conformance.mutants.hunt.suite", lambda: few)
    verdict = hunt(harmless)
    assert (verdict.killed, verdict.killers, verdict.tried) == (False, (), len(few))
    assert "SURVIVED" in line(harmless, verdict)
    assert "**nothing**" in matrix([harmless], {"harmless": verdict})
    assert "Survivors: harmless." in summary([harmless], {"harmless": verdict}, None, 1.0)
    assert idle_of(few, [verdict]) == [each.name for each in few]


def test_scenarios_of_the_guarantee_come_first():
    """A mutant meets the scenarios of what it breaks before all others."""
    ordered = in_order(MUTANTS["a_delay_is_forgotten"], suite())
    count = sum(each.guarantee == "G12" for each in suite())
    assert {each.guarantee for each in ordered[:count]} == {"G12"}
    assert len(ordered) == len(suite())


@pytest.mark.parametrize(
    "change",
    [
        Rewrite("taskq.core.retry:backoff", "what stands there no more", ""),
        Rewrite("taskq.core.retry:backoff", "min_backoff", ""),
        Rewrite("taskq.core.retry:gone", "a", "b"),
        Rewrite("taskq.core.retry:ACK", "a", "b"),
        Rewrite("taskq.gone:a", "a", "b"),
        Attribute("taskq.runtime.leases:_GONE", lambda _: 1),
        Attribute("taskq.runtime.leases:_MARGIN", lambda value: value),
        Lua("SEND", "what stands there no more", ""),
        Lua("GONE", "a", "b"),
    ],
)
def test_what_no_longer_fits_fails(change):
    """A change that does not find what it changes, or finds it twice, or changes nothing, is an error and not a survivor."""
    with pytest.raises(Unapplied), Mutant("stale", "G16", (change,)).alive():
        pass


def test_a_rewrite_reaches_whoever_has_imported_it():
    """Inside of the block the function is another one for everybody; afterwards it is what it was."""
    function = retry.backoff
    with Rewrite("taskq.core.retry:backoff", *BACKOFF).applied():
        assert function(5, 1.0, 60.0) == 1.0
    assert function(5, 1.0, 60.0) == 16.0


def test_an_attribute_is_set_and_set_back():
    """A value of a module is another one inside of the block."""
    before = leases._MARGIN
    with Attribute("taskq.runtime.leases:_MARGIN", lambda value: value + 1).applied():
        assert before + 1 == leases._MARGIN
    assert before == leases._MARGIN


@pytest.mark.slow
def test_the_command_hunts_and_tells(capfd):
    """The command tells each mutant as it comes, prints the matrix, and succeeds if none survives; of none it fails."""
    assert main(["--only", "a_delay_takes_twice_as_long,names_are_never_free", "--quick", "--processes", "1"]) == 0
    told = capfd.readouterr().out
    assert "[1/2] killed" in told
    assert "2 of 2 mutants were killed" in told
    assert "Survivors: none." in told
    assert main(["--only", "nothing is called so"]) == 1
