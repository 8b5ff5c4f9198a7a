"""The oracle against a second judge that shares no code with it, on random histories."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from testing import reference
from testing.histories import Story
from testing.random_histories import VITAL, Fleet, damaged

from taskq_testing.history import KINDS
from taskq_testing.oracle import judge

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_both_judges_agree():
    """On 5,000 random histories both find the same invariants broken, and each of them often enough to mean something."""
    broken, different = reference.compare(5_000)
    assert [(number, found, expected) for number, found, expected, _ in different] == []
    assert min(broken[number] for number in reference.CORE) >= 10
    assert broken["none"] > 1_000


@pytest.mark.parametrize("number", [1, 7, 12])
def test_a_judge_that_overlooks_something_is_found(monkeypatch, number):
    """If one of them forgets an invariant, the comparison says so."""
    monkeypatch.setattr(reference, "judge", lambda history, only: judge(history, only=set(only) - {number}))
    _, different = reference.compare(600)
    assert {frozenset(expected - found) for _, found, expected, _ in different} >= {frozenset({number})}


def test_a_judge_that_accuses_the_honest_is_found(monkeypatch):
    """If both accuse an honest history, the comparison says so too."""
    monkeypatch.setattr(reference.Judge, "violated", lambda self: {1})
    monkeypatch.setattr(
        reference, "judge", lambda history, only: judge(Story().add(0, "m", stored=False)(1, "rest").history, only=only)
    )
    _, different = reference.compare(20)
    assert different


@pytest.mark.slow
def test_honest_histories_are_honest():
    """What the fleet writes breaks no invariant at all that is about messages, and uses every operation."""
    met = set()
    for number in range(1_000):
        history = Fleet(random.Random(number)).play(6)
        assert judge(history, only=reference.CORE) == []
        met |= {event.kind for event in history}
    assert met >= {
        *VITAL,
        "add",
        "accepted",
        "unknown",
        "refused",
        "duplicate",
        "purged",
        "redriven",
        "cloned",
        "stale",
        "crash",
        "rest",
    }
    assert met <= KINDS


def test_damage_leaves_a_history_in_order():
    """Damaged histories are numbered anew, keep their set-up, and their time never goes back."""
    changed = 0
    for number in range(300):
        rng = random.Random(number)
        honest = Fleet(rng).play(6)
        history = damaged(honest, rng, 5)
        assert [event.seq for event in history] == list(range(len(history)))
        assert [event.kind for event in history][:2] == ["queue", "task"]
        times = [event.t for event in history]
        assert times == sorted(times)
        changed += history.events != honest.events
    assert changed > 290


@pytest.mark.slow
def test_the_command_line_counts():
    """`python -m tests.testing.reference` prints how many histories it compared and what they broke."""
    command = [sys.executable, "-m", "tests.testing.reference", "200", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("200 of 200 random histories are judged alike")
    assert ", 19: " in done.stdout
