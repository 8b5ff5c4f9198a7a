"""Putting results together and writing them down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from taskq_conformance.report import write_beside
from taskq_conformance.results import Result, Run, Target, suspicions, written
from taskq_conformance.run import environment

__all__ = ["run_of", "write"]


def run_of(targets: Mapping[str, Any], results: Mapping[str, Sequence[Any]]) -> Run:
    """Return a run made of plain values, as they come from the processes of pytest.

    Args:
        targets: what is known of each target, by name.
        results: what came of each.
    """
    return Run(environment=environment(), targets=tuple(_target(each, results.get(name, ())) for name, each in targets.items()))


def _target(plain: Any, results: Sequence[Any]) -> Target:
    found = tuple(sorted(msgspec.convert(results, list[Result]), key=lambda each: (each.scenario, each.seed)))
    return msgspec.structs.replace(
        msgspec.convert(plain, Target),
        results=found,
        underclaimed=suspicions(found),
        seconds=sum(result.seconds for result in found),
    )


def write(run: Run, folder: Path) -> None:
    """Write a run into a folder: as JSON, as a page, as a table in Markdown and as a badge."""
    written(run, folder)
    write_beside(run, folder)
