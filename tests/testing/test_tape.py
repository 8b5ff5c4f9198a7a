"""The tape: labelled draws, remembered where they are not boring, repeated by label, key and count."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskq_testing.explore.strategies import Uniform
from taskq_testing.tape import Quiet, Tape

quick = settings(max_examples=50, deadline=None)
draws = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "x", "y"]), st.integers(0, 9)), max_size=30)


def play(tape, asked):
    return [tape.draw(label, n, key, likely=0.5) for label, key, n in asked]


@quick
@given(draws, st.integers(0, 1000))
def test_a_recorded_tape_repeats_every_draw(asked, seed):
    """What a strategy decided comes again from the entries alone, whatever the seed."""
    tape = Tape(seed, Uniform())
    values = play(tape, asked)
    again = Tape(seed + 1, Quiet(), recorded=tape.entries)
    assert play(again, asked) == values
    assert again.entries == tape.entries
    assert again.draws == tape.draws == sum(n > 1 for _, _, n in asked)


@quick
@given(draws, st.integers(0, 1000), st.integers(0, 29))
def test_taking_out_one_entry_leaves_all_others(asked, seed, which):
    """Without one entry exactly that draw is boring."""
    tape = Tape(seed, Uniform())
    values = play(tape, asked)
    if not tape.entries:
        return
    gone = list(tape.entries)[which % len(tape.entries)]
    again = Tape(seed, Quiet(), recorded={draw: value for draw, value in tape.entries.items() if draw != gone})
    changed = [(before, after) for before, after in zip(values, play(again, asked), strict=True) if before != after]
    assert changed == [(tape.entries[gone], 0)]


@quick
@given(draws, draws, st.integers(0, 1000))
def test_labels_have_streams_of_their_own(asked, others, seed):
    """Draws of other labels in between change nothing."""
    others = [(f"other {label}", key, n) for label, key, n in others]
    alone = play(Tape(seed, Uniform()), asked)
    tape, mixed = Tape(seed, Uniform()), []
    for index, one in enumerate(asked):
        mixed += play(tape, [one])
        play(tape, others[index : index + 2])
    assert mixed == alone


def test_a_recorded_value_that_is_too_high_is_the_highest():
    """A draw that has fewer values than when it was recorded stays below its number."""
    tape = Tape(0, Quiet(), recorded={("a", "", 0): 9})
    assert tape.draw("a", 3) == 2
    assert tape.entries == {("a", "", 0): 2}


def test_the_listener_is_told_of_each_draw_that_is_not_boring():
    """Which, its value and how many values it could have had; a draw without a choice is none."""
    heard = []
    tape = Tape(0, Quiet(), recorded={("a", "x", 1): 2})
    tape.listener = lambda draw, value, n: heard.append((draw, value, n))
    assert [tape.draw("a", 5, "x"), tape.draw("a", 1, "x"), tape.draw("a", 5, "x")] == [0, 0, 2]
    assert heard == [(("a", "x", 1), 2, 5)]


def test_draws_are_counted_per_label():
    """Over all keys, boring or not, and without those that had no choice."""
    tape = Tape(0, Quiet())
    for label, n, key in [("a", 2, "x"), ("a", 2, "y"), ("a", 2, "y"), ("b", 9, ""), ("b", 1, "")]:
        tape.draw(label, n, key)
    assert tape.drawn() == {"a": 3, "b": 1}
    assert tape.draws == 4


@pytest.mark.parametrize("seed", [0, 1, 77])
def test_streams_depend_on_seed_and_label(seed):
    """Equal for equal seed and label, and different for any other."""

    def numbers(seed, label):
        return [Tape(seed, Quiet()).stream(label).random() for _ in range(3)]

    assert numbers(seed, "a") == numbers(seed, "a")
    assert numbers(seed, "a") != numbers(seed, "b")
    assert numbers(seed, "a") != numbers(seed + 1, "a")


def test_a_stream_goes_on_where_it_was():
    """The same label gives the same stream, not a new one."""
    tape = Tape(0, Quiet())
    assert tape.stream("a") is tape.stream("a")


def test_a_tape_nobody_places_is_at_the_beginning():
    """Position is 0 until who carries the run out says otherwise."""
    assert Tape(0, Quiet()).position() == 0


def test_a_pick_has_no_favourite():
    """Each value is as likely as any other, the boring one too."""
    tape = Tape(3, Uniform())
    counts = Counter(tape.pick("fault", 4) for _ in range(8000))
    assert set(counts) == {0, 1, 2, 3}
    assert all(1800 < count < 2200 for count in counts.values())
