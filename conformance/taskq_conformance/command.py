"""`taskq conformance`: runs the suite against a backend and shows how it goes. Rich where there is a terminal, else lines."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Protocol

from taskq.errors import ConfigError
from taskq_conformance.contract import GUARANTEES
from taskq_conformance.profile import Profile, Unavailable
from taskq_conformance.reporting import write
from taskq_conformance.results import Missing, Result, Run, Target
from taskq_conformance.run import environment, run_profile
from taskq_conformance.scenario import Scenario, all_scenarios
from taskq_conformance.targets import DEFAULT, find
from taskq_conformance.targets.by_url import profile_of_url

__all__ = ["run"]


class Show(Protocol):
    """Where progress is shown."""

    def begin(self, target: str, total: int) -> None:
        """Begin a target."""

    def result(self, result: Result) -> None:
        """Show one result."""

    def table(self, title: str, rows: Sequence[Sequence[str]]) -> None:
        """Show a table; the first row is its head."""

    def line(self, text: str) -> None:
        """Show a line."""

    def close(self) -> None:
        """End the show."""


def run(arguments: argparse.Namespace) -> int:
    """Run the command: 0 if every guarantee that is claimed was kept, 1 if one was not, or a target cannot run."""
    chosen = [each for each in all_scenarios() if arguments.only in each.name or arguments.only == each.guarantee]
    if not chosen:
        raise ConfigError(f"no scenario has {arguments.only!r} in its name; `taskq conformance --list` lists them")
    if arguments.list:
        for each in chosen:
            sys.stdout.write(f"{each.guarantee:<4} {each.name}: {each.sentence}\n")
        return 0
    missing: list[Missing] = []
    profiles = _profiles(arguments.targets or DEFAULT, missing)
    logger = logging.getLogger("taskq")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what a scenario provokes is no news
    show = _live() if sys.stdout.isatty() else _Lines()
    try:
        outcome = _all(profiles, chosen, arguments.seeds, show, missing)
    finally:
        show.close()
        logger.setLevel(level)
    if arguments.report is not None:
        write(outcome, arguments.report)
        show.line(f"the report is in {arguments.report}")
    return 0 if outcome.ok and not outcome.missing else 1


def _profiles(names: Sequence[str], missing: list[Missing]) -> list[Profile]:
    """Return the profiles of these names; what some of them need and is not installed is noted."""
    profiles = []
    for name in names:
        try:
            profiles.append(profile_of_url(name) if "://" in name else find(name))
        except ImportError as error:
            missing.append(Missing(name=name, reason=f"it needs what is not installed: {error}; install taskq[all,testing]"))
    return profiles


def _all(profiles: Sequence[Profile], chosen: Sequence[Scenario], seeds: int, show: Show, missing: list[Missing]) -> Run:
    targets: list[Target] = []
    for each in missing:
        show.line(f"{each.name} cannot run here: {each.reason}")
    for profile in profiles:
        show.begin(profile.name, len(chosen) * (1 + seeds if profile.time == "virtual" else 1))
        try:
            target = run_profile(profile, chosen, seeds=seeds, told=show.result)
        except Unavailable as error:
            missing.append(Missing(name=profile.name, reason=str(error)))
            show.line(f"{profile.name} cannot run here: {error}")
        else:
            targets.append(target)
            _conclude(target, show)
    return Run(environment=environment(), seeds=seeds, targets=tuple(targets), missing=tuple(missing))


def _conclude(target: Target, show: Show) -> None:
    groups: dict[str, list[Result]] = {each.group: [] for each in GUARANTEES.values()}
    for result in target.results:
        groups[GUARANTEES[result.guarantee].group].append(result)
    rows = [("", "passed", "failed", "not run", "expected failures")]
    rows += [_counts(group, found) for group, found in groups.items() if found]
    rows.append(_counts("in all", target.results))
    show.table(f"{target.name}: {target.about}, {target.seconds:.1f} s", rows)
    for result in target.results:
        if result.status == "failed":
            show.line(f"failed: {result.guarantee} {result.scenario}: {result.reason}")
    for reason in sorted({result.reason for result in target.results if result.status == "not run"}):
        show.line(reason)
    for suspicion in target.underclaimed:
        show.line(f"it seems to do more than it claims: {suspicion.text}")


def _counts(name: str, results: Sequence[Result]) -> tuple[str, str, str, str, str]:
    def count(status: str) -> str:
        found = sum(result.status == status for result in results)
        return str(found) if found else "-"

    return name, count("passed"), count("failed"), count("not run"), count("expected failure")


class _Lines:
    """Progress and result as plain lines."""

    def begin(self, target: str, total: int) -> None:
        """Say which target."""
        self.line(f"{target}: {total} scenarios")

    def result(self, result: Result) -> None:
        """Say what failed; the rest is in the table."""
        if result.status == "failed":
            self.line(f"failed: {result.guarantee} {result.scenario}")

    def table(self, title: str, rows: Sequence[Sequence[str]]) -> None:
        """Print columns."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        self.line(title)
        for row in rows:
            cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            self.line("  ".join(cells).rstrip())

    def line(self, text: str) -> None:
        """Print a line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def close(self) -> None:
        """Do nothing: lines need no end."""


def _live() -> Show:
    try:
        from taskq_conformance.live import Live  # noqa: PLC0415 - rich is an extra; without it there are plain lines
    except ImportError:
        return _Lines()
    return Live()
