"""The programs of docs/sqs.md run as they stand, and the tests that pages name exist."""

import re
from pathlib import Path

import pytest
from sqs_support import set_credentials

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sqs.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_of_the_page_runs(program, monkeypatch, capsys):
    """Each one asserts what the page says."""
    set_credentials(monkeypatch)
    assert "assert " in program
    exec(compile(program, "docs/sqs.md", "exec"), {"__name__": "__main__"})


def test_the_page_has_programs():
    """A page whose programs are not found would pass."""
    assert len(PROGRAMS) == 2


@pytest.mark.parametrize(("page", "rows"), [("sqs.md", 17), ("ironmq.md", 17)])
def test_the_tests_that_a_page_names_exist(page, rows):
    """Each row of the bar names at least one, and each of those is there."""
    table = (ROOT / "docs" / page).read_text().partition("## Which test holds what")[2]
    lines = [line for line in table.splitlines() if re.match(r"\| \d+ ", line)]
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    there = set(re.findall(r"^def test_(\w+)", "\n".join(sources), re.MULTILINE))
    named = [set(re.findall(r"`(\w+)`", line)) for line in lines]
    assert len(lines) == rows
    assert all(named)
    assert set().union(*named) <= there
