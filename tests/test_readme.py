"""The README's and the guide's Python blocks run as they stand, and its example programs do what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_python_blocks_run(page, capsys):
    """All blocks of a page run one after another as one program."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(blocks) >= 2
    code = "\n".join(blocks).replace("from __future__ import annotations\n", "")
    exec(compile(code, page, "exec"), {"__name__": "page"})
    if page == "README.md":
        assert capsys.readouterr().out.count("hello,") >= 3


@pytest.mark.slow
def test_the_api_worker_example_runs():
    """The API program enqueues, refuses a duplicate, and with memory:// does the worker's part."""
    done = subprocess.run(
        [sys.executable, "api.py", "Ada", "Grace", "Ada"],
        cwd=ROOT / "examples" / "api_worker",
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[:3] == ["Ada: enqueued", "Grace: enqueued", "Ada: greeted already"]
    assert sorted(lines[3:]) == ["hello, Ada", "hello, Grace"]
