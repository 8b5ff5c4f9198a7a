"""A stranger's backend, the example of under a hundred lines, keeps all of the contract that it claims."""

import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "third_party_backend"
sys.path.append(str(EXAMPLE))

from test_sqlite_backend import TestSqlite  # noqa: E402 - the example is no package

__all__ = ["TestSqlite"]

pytestmark = pytest.mark.slow


def test_the_example_is_short():
    """It has fewer than a hundred lines that are not empty."""
    lines = (EXAMPLE / "sqlite_backend.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) < 100
