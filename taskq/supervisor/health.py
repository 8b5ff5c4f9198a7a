"""The health file: what the processes report, written as a whole once a second, and the judgement of a probe that reads it."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from taskq.supervisor.reports import Report

__all__ = ["MAX_AGE", "PERIOD", "Health", "HealthFile", "check"]

logger = logging.getLogger("taskq")

PERIOD = 1.0
"""Seconds between two reports."""

MAX_AGE = 30.0
"""Seconds after which a report counts as stale unless the probe says otherwise: longer than a fail-over of the server."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a health file.

    Attributes:
        time: the earliest time of its processes, which is what a probe looks at; 0 while one of them has never been well.
        processes: the last report of each.
    """

    time: float
    processes: list[Report]


class HealthFile:
    """A file that always holds a whole document: it is replaced, never rewritten."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        self._failed = False
        self.remove()  # what another worker left says nothing about this one

    def write(self, reports: Sequence[Report]) -> None:
        """Write what the processes report now; a failure is logged once, and is no reason to stop working."""
        health = Health(time=min(report.time for report in reports), processes=list(reports))
        try:
            self._draft.write_bytes(msgspec.json.encode(health) + b"\n")
            self._draft.replace(self._path)
            self._failed = False
        except OSError as error:
            if not self._failed:
                logger.warning("the health file cannot be written, trying again: %s", error)
            self._failed = True

    def remove(self) -> None:
        """Delete the file: nobody works here."""
        for path in (self._path, self._draft):
            with contextlib.suppress(OSError):
                path.unlink()


def check(path: str, now: float, max_age: float) -> tuple[bool, str]:
    """Return whether all processes behind a health file were well lately, and a sentence about it.

    Args:
        path: the file.
        now: unix seconds.
        max_age: seconds before `now`; what was well before that counts as ill.
    """
    try:
        health = msgspec.json.decode(Path(path).read_bytes(), type=Health)
    except FileNotFoundError:
        return False, f"{path} does not exist: no worker runs with this --health-file"
    except (OSError, msgspec.MsgspecError) as error:
        return False, f"{path} is no health file: {error}"
    ailing = [_complaint(report, now) for report in health.processes if abs(now - report.time) > max_age]
    if ailing:
        return False, "; ".join(ailing)
    done, age = sum(report.processed for report in health.processes), max(0.0, now - health.time)
    return True, f"all was well {age:.1f} s ago; processes: {len(health.processes)}, messages processed: {done}"


def _complaint(report: Report, now: float) -> str:
    who = f"process {report.pid}" if report.pid else "a process that has not started"
    when = f"was well {now - report.time:.1f} s ago" if report.time else "has not been well yet"
    return f"{who} {when}" + (f": {report.backend_error}" if report.backend_error else "")
