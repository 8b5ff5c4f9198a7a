"""Tapes on disk, and draws in words."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import BUG, ToyQueue, outcome

from taskq.errors import ConfigError
from taskq_testing.explore.replay import replay
from taskq_testing.explore.tapes import entry_text, load, ordinal, save, sentence, words
from taskq_testing.history import History
from taskq_testing.outcome import Violation
from taskq_testing.tape import Quiet, Tape


def test_a_tape_comes_back_from_its_file(tmp_path):
    """Seed, draws, scenario and how it failed."""
    result = replay(ToyQueue(), 77, BUG)
    save(tmp_path / "new" / "a.tape", result, scenario="toys:ToyQueue")
    recording = load(tmp_path / "new" / "a.tape")
    assert recording.entries == BUG
    assert list(recording.entries) == list(result.entries)
    assert (recording.seed, recording.scenario) == (77, "toys:ToyQueue")
    assert recording.signature == ("invariant", "1")
    assert recording.sentence == "message api-1:2 was accepted and is neither done nor dead (invariant 1)"


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.tuples(st.text(), st.text(), st.integers(0, 10**6)), st.integers(1, 10**9), max_size=6))
def test_any_draws_come_back(tmp_path_factory, entries):
    """Whatever labels and keys look like."""
    tape = Tape(1, Quiet())
    tape.entries = entries
    path = tmp_path_factory.mktemp("tapes") / "a.tape"
    save(path, outcome(tape, History()))
    assert load(path).entries == entries
    assert load(path).signature == ()


def test_a_tape_can_be_read_and_edited_by_hand(tmp_path):
    """Each draw is a line, which says in words what it does and can be taken out."""
    path = tmp_path / "a.tape"
    save(path, replay(ToyQueue(), 0, BUG))
    lines = path.read_text().splitlines()
    crash = [line for line in lines if "crash" in line]
    assert len(crash) == 1
    assert json.loads(crash[0]) == {
        "label": "crash",
        "key": "worker-1",
        "count": 2,
        "value": 1,
        "words": "crash of worker-1, the 3rd time",
    }
    path.write_text("\n".join(lines).replace(crash[0], "").replace("},\n\n  ]", "}\n  ]"))
    assert load(path).entries == {draw: value for draw, value in BUG.items() if draw[0] != "crash"}


GOOD = {"schema": 1, "seed": 3, "draws": []}
DRAW = {"label": "a", "key": "x", "count": 0, "value": 1}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("no json", "is no tape: "),
        (json.dumps({"schema": 1}), "is no tape: Object missing required field `seed`"),
        (json.dumps({**GOOD, "draws": [{"label": "a"}]}), "is no tape: Object missing required field `value` - at `$.draws[0]`"),
        (json.dumps({**GOOD, "schema": 2}), "has schema 2 and this version reads 1; record it again"),
        (json.dumps({**GOOD, "draws": [DRAW, DRAW]}), "has a draw twice or below 0: ('a', 'x', 0)"),
        (json.dumps({**GOOD, "draws": [{**DRAW, "value": -1}]}), "has a draw twice or below 0"),
        (json.dumps({**GOOD, "draws": [{**DRAW, "count": -1}]}), "has a draw twice or below 0"),
    ],
)
def test_what_is_no_tape_is_refused(tmp_path, content, text):
    """With the file's name and what is wrong."""
    path = tmp_path / "a.tape"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "a.tape" in str(caught.value)
    assert text in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    """In one sentence."""
    with pytest.raises(ConfigError, match=r"tape '.*gone.tape' cannot be read: No such file or directory"):
        load(tmp_path / "gone.tape")


# -- in words


def judged(*violations, error=None):
    return outcome(Tape(0, Quiet()), History(), violations=violations, error=error)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (judged(Violation(7, "m ran twice."), Violation(1, "m is lost")), "m ran twice (invariant 7)"),
        (judged(Violation(1, "m is lost"), error=ValueError("\n  no money \n  at all")), "the test raised ValueError: no money"),
        (judged(error=ValueError("x" * 500)), f"the test raised ValueError: {'x' * 200}"),
        (judged(error=AssertionError()), "the test raised AssertionError"),
        (judged(), ""),
    ],
)
def test_what_is_wrong_is_a_sentence(result, text):
    """Of the error if there is one, else of the first broken invariant."""
    assert sentence(result) == text


@pytest.mark.parametrize(
    ("draw", "value", "text"),
    [
        (("crash", "worker-1", 0), 1, "crash of worker-1"),
        (("crash", "worker-1", 2), 1, "crash of worker-1, the 3rd time"),
        (("lost_reply", "api-1:2", 10), 4, "lost reply of api-1:2, the 11th time (4)"),
        (("executor", "", 0), 3, "executor (3)"),
        (("schedule", "a,b,c", 0), 2, "c goes on before a, the 1st time that a, b, c are ready"),
        (("schedule", "", 41), 1, "the process whose turn it is lets another go first, the 42nd time"),
        (("schedule", "worker-2", 0), 3, "worker-2 lets another go first (3)"),
        (("on", "lost_reply", 0), 1, "the run may have lost reply"),
        (("span", "worker-1 reserve", 3), 17, "for how long (17)"),
    ],
)
def test_a_draw_is_told_in_words(draw, value, text):
    """What, of whom, and which time."""
    assert entry_text(draw, value) == text


def test_the_draws_of_one_fault_are_one_line():
    """Which fault a place has is said with the place; how long and how it goes are left to the timeline."""
    entries = {
        ("on", "crash", 0): 1,
        ("on", "lost_reply", 0): 1,
        ("network", "worker-1 reserve", 3): 1,
        ("fault", "worker-1 reserve", 0): 2,
        ("span", "worker-1 reserve", 0): 12,
        ("network", "worker-1 reserve", 9): 1,
        ("fault", "worker-1 reserve", 1): 5,
        ("variant", "worker-1 reserve", 1): 2,
        ("delivery", "m/0#1", 0): 1,
        ("schedule", "", 3): 1,
    }
    assert words(entries) == [
        "lost reply of worker-1 reserve, the 4th time",
        "crash of worker-1 reserve, the 10th time",
        "duplicate of m/0#1",
        "the process whose turn it is lets another go first, the 4th time",
        "faults that the run may have: crash, lost_reply",
    ]


def test_each_draw_is_told_as_it_is_meant(tmp_path):
    """A place has the fault that another draw chose; so the file says it, and what the other draws are for."""
    tape = Tape(1, Quiet())
    tape.entries = {("network", "w reserve", 3): 1, ("fault", "w reserve", 0): 2, ("span", "w reserve", 0): 12}
    save(tmp_path / "a.tape", outcome(tape, History()))
    lines = [json.loads(line.rstrip(","))["words"] for line in (tmp_path / "a.tape").read_text().splitlines() if "label" in line]
    assert lines == ["lost reply of w reserve, the 4th time", "which fault it is (2)", "for how long (12)"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st"), (112, "112th")],
)
def test_ordinals(number, text):
    """As one writes them."""
    assert ordinal(number) == text
