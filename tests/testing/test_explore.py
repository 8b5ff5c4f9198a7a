"""Exploration: every seed counts, what fails is shrunk and told, and what is not deterministic is not believed."""

import logging
from collections import Counter

import msgspec
import pytest
from toys import BUG, ToyQueue, outcome, toy_race

from taskq.errors import ConfigError
from taskq_testing.explore import Exploration, Failure, explore, failure_text
from taskq_testing.explore.replay import NotDeterministic, NotReproducible, RunBroken, replay
from taskq_testing.explore.strategies import Pct, Uniform
from taskq_testing.history import History
from taskq_testing.outcome import Violation
from taskq_testing.tape import Quiet, Tape


class Heard:
    """A progress that keeps what it is told."""

    def __init__(self):
        self.updates, self.notes, self.closed = [], [], 0

    def update(self, done, total, fired):
        self.updates.append((done, total, dict(fired)))

    def note(self, text):
        self.notes.append(text)

    def close(self):
        self.closed += 1


def fine(tape):
    """A run in which nothing goes wrong, whatever happens."""
    history = History()
    tape.position = history.__len__
    for n in range(5):
        history.record(n * 10**9, "fault" if tape.draw("slow", 3, f"m{n}", 0.5) else "size")
    fired = {"slow": sum(event.kind == "fault" for event in history)}
    made = outcome(tape, history, fired=fired)
    seen = frozenset(("ready", event.kind, "body") for event in history)
    return msgspec.structs.replace(made, coverage=seen)


def test_everything_is_counted():
    """Seeds, time, faults, draws and coverage are the sums over all seeds, and the first run is none of them."""
    expected = [fine(Tape(seed, Uniform())) for seed in range(50)]
    result = explore(fine, seeds=50, strategy="uniform")
    assert result.failures == []
    assert result.seeds == 50
    assert result.virtual_hours == pytest.approx(50 * 4 / 3600)
    assert result.fired == {"slow": sum(one.fired["slow"] for one in expected)}
    assert result.draws == {"slow": 250}
    assert result.coverage == {("ready", "fault", "body"), ("ready", "size", "body")}
    assert result.seeds_per_s > 0
    assert result.seeds / result.seeds_per_s < result.seconds


def test_what_never_fired_is_named():
    """Faults and marks that no run met, in the order in which they were asked for."""
    result = explore(fine, seeds=5)
    assert result.never_fired(["storm", "slow", "crash"]) == ["storm", "crash"]


@pytest.mark.parametrize("strategy", ["uniform", "mixed", "swarm"])
def test_a_bug_is_found_and_made_small(strategy):
    """The first failing seed ends it, with exactly the draws that the bug needs."""
    result = explore(ToyQueue(), seeds=20_000, strategy=strategy)
    (failure,) = result.failures
    assert failure.smallest.entries == BUG
    assert failure.outcome.seed == result.seeds - 1
    assert failure.complete
    assert failure.outcome.signature == failure.smallest.signature == ("invariant", "1")


def test_a_seed_alone_repeats_its_run():
    """Whatever ran before it: strategies that learn do so from the same first run."""
    for strategy in ("mixed", "pct:2", "delay-bounded:5"):
        found = explore(toy_race, seeds=2000, strategy=strategy).failures[0]
        alone = explore(toy_race, seeds=[found.outcome.seed], strategy=strategy).failures[0]
        assert alone.outcome.entries == found.outcome.entries
        assert alone.smallest.entries == found.smallest.entries


def test_all_failures_are_collected_if_wanted():
    """Without a stop every seed is run, and each failure is kept."""
    failing = [seed for seed in range(300) if ToyQueue()(Tape(seed, Uniform())).failed]
    result = explore(ToyQueue(), seeds=300, strategy="uniform", stop_on_failure=False)
    assert result.seeds == 300
    assert [failure.outcome.seed for failure in result.failures] == failing
    assert len(failing) > 3
    assert all(failure.smallest.entries == BUG for failure in result.failures)


def test_given_seeds_are_run_in_order():
    """Any iterable of seeds does."""
    seen = []

    def run(tape):
        seen.append(tape.seed)
        return fine(tape)

    explore(run, seeds=iter([5, 3, 99]), check_determinism=False)
    assert seen == [0, 5, 3, 99]


def test_the_first_run_has_no_faults():
    """Whatever is likely, nothing happens in it, and what fails there is told without any exploration."""
    tapes = []

    def wild(tape):
        tapes.append(tape)
        tape.draw("crash", 9, likely=1.0)
        return outcome(tape, History())

    explore(wild, seeds=1, check_determinism=False)
    assert [bool(tape.entries) for tape in tapes] == [False, True]

    def run(tape):
        return outcome(tape, History(), error=None if tape.draw("lucky", 2, likely=0.5) else ValueError("always"))

    result = explore(run, seeds=100)
    assert result.seeds == 0
    (failure,) = result.failures
    assert failure.outcome.entries == {}
    assert failure.runs == 1
    assert failure.effort == ""
    everything = explore(run, seeds=100, stop_on_failure=False)
    assert everything.seeds == 100
    assert 20 < len(everything.failures) < 80


def test_strategies_learn_from_the_first_run():
    """Its draws per label are what they are calibrated with."""
    learned = []

    class Learning(Uniform, frozen=True):
        def calibrated(self, draws):
            learned.append(dict(draws))
            return Pct(2, 7)

    explore(toy_race, seeds=3, strategy=Learning())
    quiet = Tape(0, Quiet())
    toy_race(quiet)
    assert learned == [quiet.drawn()]


# -- determinism


def forgetful(kind):
    """Return a run that is another one when its seed comes again."""
    seen = Counter()

    def run(tape):
        seen[tape.seed] += 1
        again = seen[tape.seed] > 1 and tape.seed == 40
        history = History()
        history.record(0, "spawn", process="worker-1")
        history.record(5, "crash" if again and kind == "event" else "suspend", process="worker-1")
        made = outcome(tape, history, error=ValueError("x") if again and kind == "error" else None)
        return msgspec.structs.replace(made, trace=f"{made.trace}{again and kind == 'trace'}")

    return run


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("event", "event 1 was `0.000000 s suspend worker-1` and then `0.000000 s crash worker-1`"),
        ("trace", "their events are equal, and what came of them is not"),
        ("error", "their events are equal, and what came of them is not"),
    ],
)
def test_a_seed_that_gives_two_runs_is_not_believed(kind, text):
    """The first event that differs is named, or that it is something else."""
    with pytest.raises(NotDeterministic) as caught:
        explore(forgetful(kind), seeds=100)
    assert str(caught.value).startswith(f"seed 40 was run twice and gave two different runs: {text}; something random")


@pytest.mark.parametrize(("setting", "runs"), [(True, 5), (False, 0), (0, 0), (1, 100), (30, 4)])
def test_every_so_many_seeds_one_is_run_twice(setting, runs):
    """True means every twentieth, beginning with the first; False none."""
    seen = []

    def run(tape):
        seen.append(tape.seed)
        return fine(tape)

    result = explore(run, seeds=100, check_determinism=setting)
    assert len(seen) == 1 + 100 + runs
    assert result.draws == {"slow": 500}


@pytest.mark.parametrize("number", [1, 7])
def test_a_random_run_is_noticed_when_it_fails(number):
    """A failure that does not come again is no failure of what is tested, be it the first run or a later one."""
    calls = []

    def run(tape):
        calls.append(tape)
        return msgspec.structs.replace(fine(tape), violations=[Violation(1, "by chance")] if len(calls) == number else [])

    with pytest.raises(NotReproducible, match="something random is not drawn from the tape"):
        explore(run, seeds=1000, check_determinism=False)


# -- what goes wrong beside


def broken_when(condition):
    def run(tape):
        if condition(tape):
            raise ZeroDivisionError("oops")
        return ToyQueue()(tape)

    return run


@pytest.mark.parametrize("condition", [lambda tape: tape.recorded is None and tape.seed == 0, lambda tape: tape.seed == 3])
def test_a_run_that_breaks_ends_the_exploration(condition):
    """An exception of the machinery is told as such, with its cause; progress is closed."""
    heard = Heard()
    with pytest.raises(RunBroken) as caught:
        explore(broken_when(condition), seeds=100, progress=heard)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert heard.closed == 1


def test_a_run_that_breaks_while_shrinking_names_the_failure():
    """Both are told: the break, and what was being made smaller."""
    with pytest.raises(RunBroken) as caught:
        explore(broken_when(lambda tape: tape.recorded is not None and len(tape.recorded) < 3), seeds=1000)
    (note,) = caught.value.__notes__
    assert note.startswith("It broke while the failure of seed ")
    assert note.endswith("message api-1:2 was accepted and is neither done nor dead (invariant 1)")


def test_ctrl_c_goes_through():
    """An interrupt ends it, and progress is closed."""

    def run(tape):
        if tape.seed == 5:
            raise KeyboardInterrupt
        return fine(tape)

    heard = Heard()
    with pytest.raises(KeyboardInterrupt):
        explore(run, seeds=100, progress=heard)
    assert heard.closed == 1


def test_progress_is_told():
    """After each seed, and while a failure is made smaller."""
    heard = Heard()
    result = explore(ToyQueue(), seeds=5000, progress=heard, shrink_budget=50)
    assert [done for done, _, _ in heard.updates] == list(range(1, result.seeds + 1))
    assert {total for _, total, _ in heard.updates} == {5000}
    assert heard.updates[-1][2] == result.fired
    assert heard.notes[0].startswith("shrink  ")
    assert "/50 runs  " in heard.notes[0]
    assert heard.notes[-1].endswith("  3 draws are left")
    assert heard.closed == 1


def test_progress_does_without_a_total():
    """Seeds that cannot be counted beforehand have none."""
    heard = Heard()
    explore(fine, seeds=iter(range(3)), progress=heard)
    assert [update[:2] for update in heard.updates] == [(1, None), (2, None), (3, None)]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"seeds": 0}, "seeds=0 is out of range; give a whole number of at least 1, or the seeds themselves"),
        ({"seeds": 1, "strategy": "psychic"}, "there is no strategy 'psychic'"),
        ({"seeds": 1, "shrink_budget": -1}, "shrink_budget=-1 is out of range; give a whole number of at least 0"),
        ({"seeds": 1, "check_determinism": -2}, "check_determinism=-2 is out of range"),
        ({"seeds": 1, "shrink_budget": 1.5}, "shrink_budget=1.5 is out of range"),
        ({"seeds": 1, "jobs": 4}, "'jobs' is not an option; the options are: stop_on_failure"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, text):
    """Before anything runs."""
    with pytest.raises(ConfigError) as caught:
        explore(None, **settings)
    assert text in str(caught.value)


def test_taskqs_own_log_is_still_meanwhile(caplog):
    """Failing handlers are what one looks for; afterwards the log is as it was, whatever happened."""
    logger = logging.getLogger("taskq")

    def run(tape):
        logger.error("a handler failed")
        if tape.seed == 3:
            raise LookupError
        return fine(tape)

    explore(run, seeds=3)
    with pytest.raises(RunBroken):
        explore(run, seeds=5)
    assert caplog.records == []
    logger.error("after")
    assert [record.message for record in caplog.records] == ["after"]


# -- in words


def smallest(**changes):
    made = replay(ToyQueue(), 70, BUG)
    return msgspec.structs.replace(made, **changes)


def failure(entries, runs, complete):
    found = smallest(entries=entries)
    return Failure(outcome=found, smallest=smallest(), runs=runs, complete=complete)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (failure(dict.fromkeys(range(1234), 1), 57, True), "shrunk from 1,234 by 57 runs, and nothing smaller fails"),
        (failure({("a", "", 0): 1}, 1, False), "shrunk from 1 by 1 run, which was the budget: a smaller one may exist"),
        (failure({("a", "", 0): 1}, 0, False), "as it was found, nothing was made smaller"),
    ],
)
def test_how_a_failure_was_shrunk_is_told(made, text):
    """From how much, how long it took, and why it ended."""
    assert made.effort == text


def test_a_failure_is_told_from_the_sentence_to_the_command():
    """What is wrong, what it takes, what happens, how to have it again, in this order."""
    found = smallest(seed=70)
    text = failure_text(found, found, effort="shrunk", commands=["TASKQ_SEED=70 pytest x.py", "python -m y"])
    lines = text.splitlines()
    assert lines[0] == "message api-1:2 was accepted and is neither done nor dead (invariant 1)."
    assert lines[2:6] == [
        "It takes this (3 draws, shrunk):",
        "  lost reply of api-1:2",
        "  slow of api-1:2 (7)",
        "  crash of worker-1, the 3rd time",
    ]
    assert lines[7] == "What happens:"
    crash = [line for line in lines if "20.000s" in line]
    assert len(crash) == 1
    assert "worker-1" in crash[0]
    assert "crashed" in crash[0]
    assert lines[-4:] == ["To have it again:", "  TASKQ_SEED=70 pytest x.py", "  python -m y", "Seed 70."]
    assert text.count("neither done nor dead") == 1


def test_other_broken_promises_are_listed():
    """Once each, by number; an error of the test comes before them all."""
    broken = [Violation(1, "m is lost"), Violation(7, "twice"), Violation(7, "again"), Violation(3, "orphan")]
    text = failure_text(smallest(violations=broken), smallest(violations=broken))
    assert text.splitlines()[:2] == ["m is lost (invariant 1).", "Broken too: 2 invariants (3, 7)."]
    both = smallest(violations=broken[:1], error=AssertionError("no money"))
    assert failure_text(both, both).splitlines()[:2] == [
        "the test raised AssertionError: no money.",
        "Broken too: 1 invariant (1).",
    ]


def test_a_failure_without_faults_says_so():
    """Nothing is listed where nothing is needed."""
    plain = smallest(entries={})
    text = failure_text(plain, plain)
    assert "It takes no fault and no other order than the plainest." in text
    assert "To have it again" not in text


def test_an_exploration_without_time_has_no_speed():
    """Nothing is divided by 0 when the very first run fails."""
    result = explore(lambda tape: outcome(tape, History(), error=ValueError()), seeds=5)
    assert isinstance(result, Exploration)
    assert result.seeds_per_s == 0.0
