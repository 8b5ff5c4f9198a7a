"""The programs of docs/ironmq.md run as they stand."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "ironmq.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_of_the_page_runs(program, capsys):
    """Each one asserts what the page says."""
    assert "assert " in program
    exec(compile(program, "docs/ironmq.md", "exec"), {})


def test_the_page_has_programs():
    """A page whose programs are not found would pass."""
    assert len(PROGRAMS) == 2
