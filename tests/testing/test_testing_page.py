"""The examples of docs/testing.md, written to files as the page names them and run."""

import re
import textwrap
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FILES = {match[1]: code for kind, code in BLOCKS if kind in ("python", "toml") and (match := re.match(r"# (\S+)\n", code))}
FAILING = ("test_failing.py", "test_race.py")
PASSING = [name for name in FILES if name.startswith("test_") and name not in FAILING]


@pytest.fixture
def project(pytester):
    for name, code in FILES.items():
        (pytester.path / name).write_text(code)
    return pytester


def run(project, name):
    return project.runpytest_subprocess("-p", "no:asyncio", "-p", "no:xdist", "-p", "no:cacheprovider", "-W", "error", name)


def expected_text(name):
    """The first text after a failing file."""
    following = PAGE[PAGE.index(f"# {name}\n") :]
    return [line for line in re.search(r"```text\n(.*?)```", following, re.DOTALL)[1].splitlines() if line]


def test_the_page_is_read_as_it_is_meant():
    """Every block of code has a file name, and every file but the failing ones is run below."""
    assert len(FILES) == sum(kind in ("python", "toml") for kind, _ in BLOCKS)
    assert {"pyproject.toml", "jobs.py", *FAILING} <= set(FILES)
    assert len(PASSING) >= 8


@pytest.mark.parametrize("name", PASSING)
def test_examples_pass(project, name):
    """Each test on the page passes, and none is skipped."""
    count = len(re.findall(r"^(?:async )?def test_|^Test\w+ = ", FILES[name], re.MULTILINE))
    run(project, name).assert_outcomes(passed=count)


@pytest.mark.parametrize("name", FAILING)
def test_examples_fail_as_they_say(project, name):
    """What the page shows of a failure is what pytest prints, line by line."""
    result = run(project, name)
    result.assert_outcomes(failed=1)
    output = textwrap.dedent(re.sub(r"^E ", "  ", result.stdout.str(), flags=re.MULTILINE))
    position = 0
    for line in expected_text(name):
        assert line in output[position:], line
        position = output.index(line, position)
