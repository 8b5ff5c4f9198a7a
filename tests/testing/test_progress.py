"""The progress line: in place on a terminal, now and then elsewhere, and nothing too often."""

import io

import pytest

from taskq_testing.explore.progress import ProgressLine, progress_text


class Screen(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


class Line(ProgressLine):
    """A progress line whose time a test sets."""

    def __init__(self, terminal):
        self.now = 100.0
        self.screen = Screen(terminal)
        super().__init__(self.screen, lambda: self.now)

    def at(self, seconds, done, fired=()):
        self.now = 100.0 + seconds
        self.update(done, 10_000, dict(fired))


def test_the_line_has_seeds_speed_and_faults():
    """The most frequent fault comes first, and numbers are grouped."""
    text = progress_text(1204, 10_000, 2.92, {"lost_reply": 120, "crash": 310, "slow_handler": 1310})
    assert text == "simulate  1,204/10,000 seeds  412/s  faults: slow handler 1,310, crash 310, lost reply 120"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((7, None, 2.0, {}), "simulate  7 seeds  4/s"), ((0, 5, 0.0, {}), "simulate  0/5 seeds  -/s")],
)
def test_what_is_not_known_is_left_out(arguments, text):
    """No total, no time or no fault yet."""
    assert progress_text(*arguments) == text


def test_on_a_terminal_one_line_is_rewritten():
    """At most ten times a second, and the cursor is on a line of its own in the end."""
    line = Line(terminal=True)
    for step in range(100):
        line.at(step / 100, step)
    line.close()
    text = line.screen.getvalue()
    assert 9 <= text.count("\r") <= 11
    assert text.count("\n") == 1
    assert text.endswith("\rsimulate  99/10,000 seeds  100/s\x1b[K\n")


def test_a_long_line_is_cut_to_the_terminal(monkeypatch):
    """It never wraps, which would leave lines behind."""
    monkeypatch.setenv("COLUMNS", "40")
    line = Line(terminal=True)
    line.at(1, 5, {"a_fault_with_a_long_name": 5, "and_another": 3})
    line.close()
    assert all(len(part.removesuffix("\x1b[K")) <= 39 for part in line.screen.getvalue().strip().split("\r"))


def test_elsewhere_there_is_a_line_every_few_seconds():
    """A log of a long run has a line per five seconds, and the last state; without control characters."""
    line = Line(terminal=False)
    for step in range(120):
        line.at(step / 10, step)
    line.close()
    assert line.screen.getvalue().splitlines() == [
        "simulate  50/10,000 seeds  10/s",
        "simulate  100/10,000 seeds  10/s",
        "simulate  119/10,000 seeds  10/s",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_note_is_shown_if_it_is_time(terminal):
    """Shrinking tells how far it is, no more often than seeds do."""
    line = Line(terminal)
    line.note("too early")
    line.now += 6
    line.note("shrink  5/400 runs")
    line.note("too early again")
    text = line.screen.getvalue()
    assert "shrink  5/400 runs" in text
    assert "early" not in text


def test_closing_what_showed_nothing_prints_nothing():
    """An exploration that failed before its first seed leaves no line."""
    line = Line(terminal=True)
    line.close()
    assert line.screen.getvalue() == ""
