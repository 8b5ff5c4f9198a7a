"""Shrinking: a failure becomes as small as it can, stays the same failure, and noise is told from it."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import BUG, ToyQueue, outcome, toy_lost_update, toy_race

from taskq_testing.explore.replay import NotReproducible, RunBroken, replay
from taskq_testing.explore.shrink import Shrinker, shrink
from taskq_testing.explore.strategies import Pct, Uniform
from taskq_testing.history import History
from taskq_testing.outcome import Violation
from taskq_testing.tape import Quiet, Tape


def found(run, explorer=None, skip=0):
    """Return the first failure, or a later one."""
    explorer = explorer or Uniform()
    for seed in range(5000):
        result = run(Tape(seed, explorer.for_run(seed)))
        if result.failed:
            if not skip:
                return result
            skip -= 1
    raise AssertionError("no seed fails")


def size(result):
    return len(result.entries), sum(result.entries.values())


@pytest.mark.parametrize("skip", range(4))
def test_a_failure_becomes_exactly_what_it_needs(skip):
    """Noise goes, and what is left has the lowest values that still fail."""
    run = ToyQueue()
    failure = found(run, skip=skip)
    assert len(failure.entries) > len(BUG) + 2
    shrinker = Shrinker(run, failure)
    smallest = shrinker.shrink()
    assert smallest.entries == BUG
    assert smallest.signature == failure.signature == ("invariant", "1")
    assert shrinker.best is smallest
    assert shrinker.complete
    assert shrinker.runs < 60
    assert replay(run, 0, smallest.entries).signature == failure.signature


@pytest.mark.parametrize("run", [toy_race, toy_lost_update], ids=lambda run: run.__name__)
@pytest.mark.parametrize("skip", range(3))
def test_nothing_smaller_is_left(run, skip):
    """Of a race's choices none can be left out and none lowered by one."""
    failure = found(run, Pct(3, 30), skip)
    smallest = shrink(run, failure)
    assert 1 <= len(smallest.entries) < len(failure.entries)
    for draw, value in smallest.entries.items():
        without = {other: v for other, v in smallest.entries.items() if other != draw}
        assert replay(run, 0, without).signature != failure.signature
        if value > 1:
            assert replay(run, 0, {**without, draw: value - 1}).signature != failure.signature


def test_each_step_is_smaller_and_the_way_is_the_same_every_time():
    """Shrinking is deterministic and never takes a step back."""
    ways = []
    for _ in range(2):
        steps = []
        run = ToyQueue()
        shrinker = Shrinker(run, found(run), on_progress=lambda runs, best, steps=steps: steps.append((runs, size(best))))
        shrinker.shrink()
        ways.append((steps, shrinker.runs))
    steps = ways[0][0]
    assert ways[0] == ways[1]
    assert len(steps) >= 3
    assert all(after[1] < before[1] and after[0] > before[0] for before, after in pairwise(steps))


def test_nothing_is_tried_twice():
    """Each set of draws is run once at most."""
    toy, tried = ToyQueue(), []

    def run(tape):
        tried.append(frozenset((tape.recorded or {}).items()))
        return toy(tape)

    failure = found(toy)
    shrinker = Shrinker(run, failure)
    shrinker.shrink()
    assert len(tried) == len(set(tried)) == shrinker.runs


@pytest.mark.parametrize("budget", [1, 5, 12])
def test_the_budget_is_kept_and_its_end_is_told(budget):
    """No run more than allowed; what was found by then counts, and is not called complete."""
    run = ToyQueue()
    failure = found(run)
    before = run.runs
    shrinker = Shrinker(run, failure, budget=budget)
    smallest = shrinker.shrink()
    assert shrinker.runs == budget == run.runs - before
    assert not shrinker.complete
    assert smallest.signature == failure.signature
    assert size(smallest) <= size(failure)


def test_without_a_budget_nothing_is_run():
    """The failure stays as it was found."""
    run = ToyQueue()
    failure = found(run)
    before = run.runs
    assert shrink(run, failure, budget=0) is failure
    assert run.runs == before


def test_a_budget_that_just_suffices_is_complete():
    """Complete means that nothing smaller is left to try, not that there was budget to spare."""
    run = ToyQueue()
    failure = found(run)
    enough = Shrinker(run, failure)
    enough.shrink()
    exact = Shrinker(run, failure, budget=enough.runs)
    exact.shrink()
    assert exact.complete
    short = Shrinker(run, failure, budget=enough.runs - 1)
    short.shrink()
    assert not short.complete


@settings(max_examples=60, deadline=None)
@given(
    needed=st.dictionaries(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 3)), st.integers(1, 90), min_size=1, max_size=5
    ),
    seed=st.integers(0, 10**6),
)
def test_any_set_of_lower_bounds_is_found_exactly(needed, seed):
    """Whatever draws a bug needs, and however high, exactly these are left with exactly these values."""

    def run(tape):
        values = {
            (label, key, count): tape.draw(label, 100, key, 0.95) for count in range(4) for label in "abcd" for key in "xyz"
        }
        broken = all(values[draw] >= least for draw, least in needed.items())
        return outcome(tape, History(), violations=[Violation(1, "broken")] if broken else [])

    rng = random.Random(seed)
    noise = {(label, key, count): rng.randrange(100) for count in range(4) for label in "abcd" for key in "xyz"}
    high = {draw: rng.randrange(least, 100) for draw, least in needed.items()}
    failure = run(Tape(0, Quiet(), recorded={**noise, **high}))
    shrinker = Shrinker(run, failure, budget=2000)
    assert shrinker.shrink().entries == needed
    assert shrinker.complete


@pytest.mark.parametrize("needed", ["label", "key"])
def test_what_belongs_together_goes_together(needed):
    """A label or a message that has nothing to do with it goes in one run, however its draws lie among those that matter."""
    draws = [(f"label {n % 20}", "noise" if n % 7 else "needed", n // 20) for n in range(400)]
    if needed == "label":
        draws = [(key, label, count) for label, key, count in draws]

    def run(tape):
        values = {draw: tape.draw(draw[0], 2, f"{draw[1]}{draw[2]}" if needed == "label" else draw[1]) for draw in draws}
        broken = all(value for draw, value in values.items() if "needed" in draw[:2])
        return outcome(tape, History(), violations=[Violation(1, "broken")] if broken else [])

    failure = run(Tape(0, Uniform()))
    shrinker = Shrinker(run, failure)
    assert len(failure.entries) == 400
    assert len(shrinker.shrink().entries) == 58
    assert shrinker.complete
    noticed = []
    Shrinker(run, failure, budget=45, on_progress=lambda runs, best: noticed.append(len(best.entries))).shrink()
    assert noticed[-1] == 58


def test_values_that_do_not_matter_are_lowered_together():
    """One run brings them all down, not one for each."""

    def run(tape):
        values = [tape.draw("pause", 100, f"m{n}", 0.99) for n in range(30)]
        return outcome(tape, History(), violations=[Violation(1, "broken")] if all(values) else [])

    failure = run(Tape(0, Quiet(), recorded={("pause", f"m{n}", 0): 50 + n for n in range(30)}))
    steps = []
    assert set(shrink(run, failure, on_progress=lambda runs, best: steps.append(size(best))).entries.values()) == {1}
    assert steps == [(30, 30)]


def fails_with(**others):
    """Return a run that fails otherwise without `noise` than with it."""

    def run(tape):
        bug, noise = tape.draw("bug", 2), tape.draw("noise", 2)
        if bug and noise:
            return outcome(tape, History(), violations=[Violation(7, "the one"), Violation(1, "later")])
        return outcome(tape, History(), **(others if bug else {}))

    return run


@pytest.mark.parametrize(
    "others",
    [{"violations": [Violation(1, "another"), Violation(7, "later")]}, {"error": ValueError("an error")}, {}],
    ids=["another invariant", "an error", "nothing"],
)
def test_another_failure_is_not_taken_for_it(others):
    """Smaller tapes that fail in another way, or not, are left alone."""
    run = fails_with(**others)
    failure = run(Tape(0, Quiet(), recorded={("bug", "", 0): 1, ("noise", "", 0): 1}))
    assert shrink(run, failure).entries == failure.entries


def test_the_type_of_an_error_is_what_has_to_stay():
    """An error of the same type with another text is the same failure; one of another type is not."""

    def run(tape):
        bug, noise, kind = tape.draw("bug", 2), tape.draw("noise", 9), tape.draw("kind", 2)
        error = (KeyError if kind else ValueError)(f"noise {noise}") if bug else None
        return outcome(tape, History(), error=error)

    everything = {("bug", "", 0): 1, ("noise", "", 0): 5, ("kind", "", 0): 1}
    smallest = shrink(run, run(Tape(0, Quiet(), recorded=everything)))
    assert smallest.entries == {("bug", "", 0): 1, ("kind", "", 0): 1}
    assert str(smallest.error) == "'noise 0'"


# -- what cannot be shrunk


def unrecorded(changes):
    """Return a run that is another one each time: with a draw, a value, an event or an outcome that comes from elsewhere."""
    calls = []

    def run(tape):
        calls.append(1)
        history = History()
        history.record(0, "spawn", process="worker-1")
        first = len(calls) == 1
        if changes == "a draw" and not first:
            tape.draw("extra", 2, recorded_one(tape))
        value = tape.draw("bug", 9, "x" if changes != "a value" or first else "y")
        if changes == "an event":
            history.record(5, "crash" if first else "suspend", process="worker-1")
        broken = bool(value) and first
        return outcome(tape, history, violations=[Violation(1, "broken")] if broken else [])

    def recorded_one(tape):
        tape.recorded = {**tape.recorded, ("extra", "z", 0): 1}
        return "z"

    return run


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ("a value", "the first draw that differs is ('bug', 'x', 0), which was 3 and then 0"),
        ("a draw", "the first draw that differs is ('extra', 'z', 0), which was not there and then 1"),
        (
            "an event",
            "is not drawn from the tape; event 1 was `0.000000 s crash worker-1` and then `0.000000 s suspend worker-1`",
        ),
        ("nothing", "something random is not drawn from the tape; no event differs"),
    ],
)
def test_a_failure_that_does_not_come_again_is_not_shrunk(changes, text):
    """Noise is no failure: what differs first is named, and no further run is spent on it."""
    run = unrecorded(changes)
    failure = run(Tape(42, Quiet(), recorded={("bug", "x", 0): 3}))
    shrinker = Shrinker(run, failure)
    with pytest.raises(NotReproducible) as caught:
        shrinker.shrink()
    assert str(caught.value).startswith(
        "the failure of seed 42 does not come again when its draws are repeated: nothing is wrong"
    )
    assert text in str(caught.value)
    assert shrinker.runs == 1


def test_a_failure_that_becomes_another_is_not_shrunk():
    """The text says as what it comes out."""
    toy = ToyQueue()
    failure = found(toy)

    def other(tape):
        return outcome(tape, History(), error=KeyError("x"))

    with pytest.raises(NotReproducible, match="it comes out as error KeyError"):
        shrink(other, failure)


def test_a_run_that_breaks_is_not_a_finding():
    """An exception of the machinery goes up, with its cause, whatever draws led to it."""
    toy = ToyQueue()
    failure = found(toy)

    def run(tape):
        if not tape.recorded:
            raise ZeroDivisionError("oops")
        return toy(tape)

    with pytest.raises(RunBroken, match=rf"seed {failure.seed} broke before it was judged.*ZeroDivisionError: oops") as caught:
        shrink(run, failure)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
