"""The long form of these tests runs, and the page about reliability names a test for each row."""

import logging
import re
import sys

import pytest

from tests.chaos import __main__ as program
from tests.chaos.fleet import ROOT

ROWS = [2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 20, 22, 24, 28, 34, 44, 45]


@pytest.fixture(autouse=True)
def _logging():
    """The program silences what this process logs; other tests listen to it."""
    logger = logging.getLogger("taskq")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.mark.slow
def test_a_row_is_tried_and_told(monkeypatch, capsys):
    """The long form, as small as it can be, prints a row of a table and says that nothing was wrong."""
    monkeypatch.setattr(sys, "argv", ["chaos", "--rows", "15", "--scale", "0.001"])
    assert program.main() == 0
    assert re.search(r"^\| 15 \| 2 jobs an hour old, .* \| 0 duplicates, 0 lost, .* \|$", capsys.readouterr().out, re.MULTILINE)


def test_a_row_that_breaks_is_told_and_stops_no_other(monkeypatch, capsys):
    """What is wrong with one row makes the run fail, and the next is tried all the same."""

    def breaks(place):
        yield "something", "3 lost", ["3 messages were lost"]
        raise OSError("no server")

    monkeypatch.setattr(program, "ROWS", {"1": breaks, "2": lambda place: iter([("another thing", "0 lost", [])])})
    monkeypatch.setattr(sys, "argv", ["chaos", "--rows", "1,2"])
    assert program.main() == 1
    told = capsys.readouterr()
    assert [line.split("|")[3].strip() for line in told.out.splitlines()[2:]] == ["3 lost", "FAILED", "0 lost"]
    assert "3 messages were lost" in told.err
    assert "no server" in told.err


def test_each_row_has_its_test():
    """The table of rows on the page is whole, and each test that it names exists where it says."""
    table = re.findall(r"^\| (\d+) \| `(\w+\.py)` \| (.+) \|$", (ROOT / "docs" / "reliability.md").read_text(), re.MULTILINE)
    assert [int(row) for row, _, _ in table] == ROWS
    for _, file, names in table:
        text = (ROOT / "tests" / "chaos" / file).read_text()
        assert all(f"def {name}(" in text for name in re.findall(r"`(test_\w+)", names)), names
        assert "`test_" in names
