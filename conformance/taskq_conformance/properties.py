"""The properties of a test that carry its results to the reporter, through xdist too. Nothing is imported here."""

from __future__ import annotations

__all__ = ["RESULT", "TARGET"]

RESULT = "taskq_result"
"""What came of a scenario."""

TARGET = "taskq_target"
"""What is known of the target that it was run against."""
