"""Strategies: in range, reproducible by seed, each as good at its own kind of bug as it claims."""

import random
from collections import Counter
from itertools import accumulate, groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import ToyQueue, toy_lost_update, toy_race

from taskq.errors import ConfigError
from taskq_testing.explore.strategies import SCHEDULE, DelayBounded, Mixed, Pct, Swarm, Uniform, by_name, named
from taskq_testing.tape import Quiet, Tape

EXPLORERS = [Uniform(), Pct(), Pct(1, 7), DelayBounded(), DelayBounded(0), Swarm(), Mixed()]
NAMES = ["a", "b", "c", "d", "e"]

quick = settings(max_examples=40, deadline=None)
every = pytest.mark.parametrize("explorer", EXPLORERS, ids=repr)
asked = st.lists(
    st.one_of(
        st.tuples(st.just(SCHEDULE), st.permutations(NAMES).map(lambda names: names[:3]), st.floats(0, 1)),
        st.tuples(st.sampled_from(["crash", "slow"]), st.integers(2, 9), st.floats(0, 1)),
    ),
    max_size=25,
)


def play(tape, draws):
    values = []
    for label, what, likely in draws:
        if label == SCHEDULE:
            values.append((tape.draw(label, len(what), ",".join(what), likely), len(what), likely))
        else:
            values.append((tape.draw(label, what, "x", likely), what, likely))
    return values


@every
@quick
@given(draws=asked, seed=st.integers(0, 10**6))
def test_values_are_in_range_and_the_same_for_the_same_seed(explorer, draws, seed):
    """Every value is one that the draw has, 0 where nothing else is wanted, and comes again with the seed."""
    values = play(Tape(seed, explorer.for_run(seed)), draws)
    assert all(0 <= value < n for value, n, _ in values)
    assert all(value == 0 for value, _, likely in values if likely == 0)
    assert play(Tape(seed, explorer.for_run(seed)), draws) == values


@every
@quick
@given(draws=asked, seed=st.integers(0, 10**6))
def test_draws_of_other_labels_change_nothing(explorer, draws, seed):
    """A label's values depend on its own draws alone."""
    together = play(Tape(seed, explorer.for_run(seed)), draws)
    for label in (SCHEDULE, "crash", "slow"):
        alone = play(Tape(seed, explorer.for_run(seed)), [draw for draw in draws if draw[0] == label])
        assert alone == [value for value, draw in zip(together, draws, strict=True) if draw[0] == label]


@every
def test_seeds_differ(explorer):
    """Among twenty seeds there are many different runs."""
    draws = [("crash", 9, 0.4)] * 30 + [(SCHEDULE, NAMES, 0.4)] * 30
    runs = {str(play(Tape(seed, explorer.for_run(seed)), draws)) for seed in range(20)}
    assert len(runs) > 10


def test_uniform_keeps_to_the_share_and_has_no_favourite():
    """About as often not boring as wanted, and then each other value alike."""
    rng = random.Random(1)
    counts = Counter(Uniform().draw("crash", "", 5, 0.2, rng) for _ in range(20_000))
    assert counts[0] == pytest.approx(16_000, rel=0.03)
    assert set(counts) == set(range(5))
    for value in range(1, 5):
        assert counts[value] == pytest.approx(1000, rel=0.15)
    assert all(Uniform().draw("crash", "", 5, 1.0, rng) for _ in range(1000))


# -- probabilistic concurrency testing


def schedule(strategy, rng, names, likely=0.1):
    return names[strategy.draw(SCHEDULE, ",".join(names), len(names), likely, rng)]


def test_pct_lets_the_same_process_go_on():
    """Without a change of priority the same one of those ready goes on, wherever it stands in the queue."""
    strategy, rng = Pct(depth=1).for_run(0), random.Random(5)
    order = random.Random(6)
    chosen = {schedule(strategy, rng, order.sample(NAMES, 5)) for _ in range(200)}
    assert len(chosen) == 1
    rest = [name for name in NAMES if name not in chosen]
    assert len({schedule(strategy, rng, order.sample(rest, 4)) for _ in range(200)}) == 1


@quick
@given(depth=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_pct_changes_priorities_at_most_depth_minus_one_times(depth, seed):
    """Among processes that are always ready, who goes on changes at few places, and each fall goes to the very end."""
    strategy, rng = Pct(depth, 25).for_run(seed), random.Random(seed)
    chosen = [schedule(strategy, rng, NAMES) for _ in range(100)]
    changes = sum(before != after for before, after in pairwise(chosen))
    assert changes <= depth - 1
    assert len(set(chosen)) == min(changes + 1, 5)


@quick
@given(depth=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_pct_puts_the_last_one_below_all_others(depth, seed):
    """Of two processes each change lets the other go on, however often and in whatever order they stand."""
    strategy, rng, order = Pct(depth, 25).for_run(seed), random.Random(seed), random.Random(seed)
    chosen = [schedule(strategy, rng, order.sample(NAMES[:2], 2)) for _ in range(100)]
    changes = sum(before != after for before, after in pairwise(chosen))
    assert changes <= depth - 1


def test_pct_reaches_every_depth_and_place():
    """Over many seeds the full number of changes happens, early and late."""
    places = Counter()
    for seed in range(300):
        strategy, rng = Pct(3, 30).for_run(seed), random.Random(seed)
        chosen = [schedule(strategy, rng, NAMES) for _ in range(120)]
        changes = [index for index in range(1, 120) if chosen[index - 1] != chosen[index]]
        places.update(["two"] * (len(changes) == 2))
        places.update("early" if index < 30 else "late" for index in changes)
    assert places["two"] > 200
    assert places["early"] > 100
    assert places["late"] > 50


def test_pct_keeps_its_promise():
    """A bug of depth 2 among 2 processes is met at least once in 2k runs on average, k being 1.5 times the length of a run."""
    tape = Tape(0, Quiet())
    toy_lost_update(tape)
    explorer = Pct(2).calibrated(tape.drawn())
    found = sum(toy_lost_update(Tape(seed, explorer.for_run(seed))).failed for seed in range(2000))
    assert found >= 2000 / (2 * 1.5 * explorer.length)


def overtakings(explorer):
    return sum(toy_race(Tape(seed, explorer.for_run(seed)), lead=8).failed for seed in range(100))


def test_pct_finds_a_late_overtaking_that_uniform_does_not():
    """That one process gets far ahead of another is common with priorities and rare with single deviations."""
    assert overtakings(Pct(3, 40)) > 20
    assert overtakings(Uniform()) < 10


@pytest.mark.parametrize("explorer", [Pct(), DelayBounded()], ids=repr)
@pytest.mark.parametrize(("key", "names"), [("a,b", "a, b"), ("", "none")])
def test_strategies_of_the_schedule_want_to_know_who_is_ready(explorer, key, names):
    """A choice among processes that nobody names is refused with what is expected."""
    with pytest.raises(ValueError, match=f"a choice among 3 processes names {names}; set `tape.ready`, or name them in its key"):
        Tape(0, explorer.for_run(0)).draw(SCHEDULE, 3, key)


@pytest.mark.parametrize("explorer", [Pct(3, 20), DelayBounded(3, 20)], ids=repr)
def test_the_loop_may_tell_who_is_ready(explorer):
    """Names that the loop tells do as well as those in the key."""
    for seed in range(20):
        by_key, by_loop = (Tape(seed, explorer.for_run(seed)) for _ in range(2))
        order = random.Random(seed)
        for _ in range(60):
            names = order.sample(NAMES, 3)
            by_loop.ready = lambda names=names: names
            assert by_loop.draw(SCHEDULE, 3) == by_key.draw(SCHEDULE, 3, ",".join(names))


def test_pct_does_not_let_one_process_hold_up_the_others_for_ever():
    """One that goes on and on while others are ready is put last in the end."""
    strategy, rng = Pct(depth=1).for_run(0), random.Random(0)
    chosen = [schedule(strategy, rng, NAMES[:2]) for _ in range(2500)]
    assert Counter(chosen).keys() == {"a", "b"}
    assert chosen[:1000] == chosen[:1] * 1000
    assert chosen[1000] != chosen[0]


# -- delay-bounded


def delays(bound, length, seed, steps):
    """Return when each delay of the oldest process began, and how long it was."""
    strategy, rng = DelayBounded(bound, length).for_run(seed), random.Random(seed)
    passed_over = [schedule(strategy, rng, NAMES) != "a" for _ in range(steps)]
    runs = [(held, len(list(group))) for held, group in groupby(passed_over)]
    begins = accumulate((size for _, size in runs), initial=0)
    return [(begin, size) for begin, (held, size) in zip(begins, runs, strict=False) if held]


@quick
@given(bound=st.integers(0, 5), seed=st.integers(0, 10**6))
def test_delay_bounded_keeps_its_bound(bound, seed):
    """The oldest goes on but for at most `bound` stretches, however long the run."""
    assert len(delays(bound, 20, seed, 500)) <= bound


def test_delay_bounded_holds_back_one_process_and_no_other():
    """Whoever else is oldest goes on; the one that is held back comes again when its time is over."""
    skipped = Counter()
    for seed in range(50):
        strategy, rng, order = DelayBounded(1, 30).for_run(seed), random.Random(seed), random.Random(seed)
        held = set()
        for _ in range(200):
            names = order.sample(NAMES, 4)
            chosen = schedule(strategy, rng, names)
            held.update(names[: names.index(chosen)])
            skipped["choices"] += chosen != names[0]
        assert len(held) <= 1
        skipped.update(held)
    assert len(skipped) == 6
    assert skipped["choices"] > 100


def test_delay_bounded_spreads_its_delays_over_the_length_of_runs():
    """They begin early and late, are short and long, and none begins long after a run's end."""
    found = [delay for seed in range(400) for delay in delays(1, 100, seed, 1000)]
    assert len(found) == 400
    early, late = (sum(begin // 100 == place for begin, _ in found) for place in (0, 1))
    assert early > late > 50
    assert early + late == 400
    assert sum(size == 1 for _, size in found) > 20
    assert sum(1 < size < 30 for _, size in found) > 100
    assert sum(30 <= size <= 200 for _, size in found) > 100
    assert max(size for _, size in found) <= 201


def test_delay_bounded_finds_what_takes_a_long_delay():
    """That one process is overtaken by far takes a delay that lasts, not a single choice."""
    assert overtakings(DelayBounded(2, 40)) > 10
    tape = Tape(0, Quiet())
    toy_lost_update(tape)
    explorer = DelayBounded(2).calibrated(tape.drawn())
    assert sum(toy_lost_update(Tape(seed, explorer.for_run(seed))).failed for seed in range(500)) > 5


@pytest.mark.parametrize("explorer", [Pct(2, 9), DelayBounded(1, 9)], ids=repr)
def test_calibration_takes_the_length_of_the_schedule(explorer):
    """What a run without faults drew is the length from then on; other settings stay."""
    longer = explorer.calibrated({SCHEDULE: 1234, "crash": 5})
    assert longer.length == 1234
    assert longer == type(explorer)(longer.depth if isinstance(explorer, Pct) else longer.bound, 1234)
    assert explorer.calibrated({}).length == 1


@pytest.mark.parametrize("explorer", [Uniform(), Swarm()], ids=repr)
def test_calibration_changes_nothing_where_length_does_not_matter(explorer):
    """Strategies without places stay what they are."""
    assert explorer.calibrated({SCHEDULE: 1234}) is explorer


# -- swarm


def test_swarm_has_a_subset_of_labels_at_rates_of_their_own():
    """Half of the labels are off for a whole run; the others are rarer or more frequent than wanted."""
    shares = []
    for seed in range(200):
        tape = Tape(seed, Swarm().for_run(seed))
        for label in ("crash", "slow", "lost"):
            shares.append(sum(tape.draw(label, 2, likely=0.1) for _ in range(400)) / 400)
    off = sum(share == 0 for share in shares)
    assert 230 < off < 370
    assert sum(0 < share < 0.07 for share in shares) > 50
    assert sum(share > 0.2 for share in shares) > 50
    assert max(shares) < 0.5


def test_swarm_leaves_choices_of_how_alone():
    """What is mostly not boring is no fault: it is never off."""
    for seed in range(50):
        tape = Tape(seed, Swarm().for_run(seed))
        assert sum(bool(tape.draw("span", 9, likely=0.9)) for _ in range(100)) > 70


# -- mixed and names


def test_mixed_takes_turns_by_seed():
    """The seed says whose turn it is, so that it alone repeats the run."""
    members = (Uniform(), Pct(2, 50), Swarm())
    mixed = Mixed(members)
    draws = [("crash", 9, 0.4), (SCHEDULE, NAMES, 0.4)] * 20
    for seed in range(12):
        expected = play(Tape(seed, members[seed % 3].for_run(seed)), draws)
        assert play(Tape(seed, mixed.for_run(seed)), draws) == expected


def test_mixed_calibrates_its_members():
    """Each member learns the length."""
    assert Mixed().calibrated({SCHEDULE: 70}).members == (Uniform(), Pct(3, 70), DelayBounded(2, 70), Swarm())


def test_state_is_fresh_for_each_run():
    """What one run drew changes nothing for the next."""
    for explorer in EXPLORERS:
        first = ToyQueue()(Tape(3, explorer.for_run(3)))
        ToyQueue()(Tape(4, explorer.for_run(4)))
        assert ToyQueue()(Tape(3, explorer.for_run(3))).entries == first.entries


@pytest.mark.parametrize(
    ("name", "explorer"),
    [
        ("uniform", Uniform()),
        ("pct", Pct(3)),
        ("pct:7", Pct(7)),
        ("delay-bounded", DelayBounded(2)),
        ("delay-bounded:0", DelayBounded(0)),
        ("swarm", Swarm()),
        ("mixed", Mixed()),
    ],
)
def test_strategies_have_names(name, explorer):
    """A name gives its explorer, and by_name the strategy of one run of it."""
    assert named(name) == explorer
    assert named(explorer) is explorer
    draws = [("crash", 9, 0.4), (SCHEDULE, NAMES, 0.4)] * 20
    assert play(Tape(5, by_name(name, 5)), draws) == play(Tape(5, explorer.for_run(5)), draws)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: named("psychic"), "there is no strategy 'psychic'; there are: delay-bounded, mixed, pct, swarm, uniform, pct:N"),
        (lambda: named("swarm:3"), "there is no strategy 'swarm:3'"),
        (lambda: named("pct:"), "'' in 'pct:' is no number; give a whole one, such as pct:3"),
        (lambda: named("pct:-1"), "'-1' in 'pct:-1' is no number"),
        (lambda: named("pct:0"), "Pct.depth=0 is out of range; give a whole number of at least 1"),
        (lambda: Pct(length=0), "Pct.length=0 is out of range"),
        (lambda: DelayBounded(-1), "DelayBounded.bound=-1 is out of range; give a whole number of at least 0"),
        (lambda: DelayBounded(length=0), "DelayBounded.length=0 is out of range"),
        (lambda: Mixed(()), "Mixed has no members; give at least one strategy"),
    ],
)
def test_what_cannot_work_is_refused(make, text):
    """An unknown name or a number out of range is told in a sentence."""
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(text)
