"""The pytest plugin of the suite: which targets are run, and a report of what came of them.

Every run of pytest where taskq is installed loads this module, so it imports nothing but pytest until it has something to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskq_conformance.properties import RESULT, TARGET


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options."""
    group = parser.getgroup("taskq-conformance", "taskq: the conformance suite")
    group.addoption("--taskq-target", metavar="NAMES", help="run the suites of these profiles only, separated by commas")
    group.addoption("--taskq-report", type=Path, metavar="DIR", help="write what came of the conformance suites into this folder")


def pytest_configure(config: pytest.Config) -> None:
    """Get ready to report, in the process that hears of all tests."""
    # The suite's tests carry it for those who have pytest-timeout: in real time the first of them does the work of all.
    config.addinivalue_line("markers", "timeout(seconds): how long a test may take (pytest-timeout)")
    folder = config.getoption("taskq_report")
    if folder is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Reporter(folder), "taskq-conformance-reporter")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the suites of targets that are not wanted."""
    suites = [(item, profile) for item in items if (profile := _profile_of(item)) is not None]
    if not suites:
        return
    named = config.getoption("taskq_target")
    wanted = {name.strip() for name in named.split(",")} if named else None
    if wanted is not None and (unknown := wanted - {profile.name for _, profile in suites}):
        raise pytest.UsageError(f"--taskq-target: no suite that was collected has the profile {', '.join(sorted(unknown))}")
    left_out = {item for item, profile in suites if not _wanted(item, profile, wanted)}
    if wanted is not None:
        left_out |= set(items) - {item for item, _ in suites}
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


def _profile_of(item: pytest.Item) -> Any:
    """Return the profile of the suite that a test belongs to, or None."""
    suite = getattr(item, "cls", None)
    if suite is None or not hasattr(suite, "taskq_outcome"):
        return None
    return getattr(suite, "profile", None)


def _wanted(item: pytest.Item, profile: Any, names: set[str] | None) -> bool:
    if names is not None:
        return profile.name in names
    callspec = getattr(item, "callspec", None)
    scenario = callspec.params.get("scenario") if callspec is not None else None
    return profile.default and (not profile.brief or scenario is None or scenario.group in profile.brief)


class _Reporter:
    """Collects results and writes them at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._results: dict[str, list[Any]] = {}
        self._targets: dict[str, Any] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the results of one test."""
        if report.when != "call":
            return
        properties: list[tuple[str, Any]] = report.user_properties
        for name, value in properties:
            if name == TARGET:
                self._targets[value["name"]] = value
            elif name == RESULT:
                self._results.setdefault(value["target"], []).append(value)

    def pytest_sessionfinish(self) -> None:
        """Write the report."""
        if self._targets:
            from taskq_conformance.reporting import run_of, write

            write(run_of(self._targets, self._results), self._folder)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where it is."""
        if self._targets:
            terminalreporter.write_line(f"taskq: the report of the conformance suite is in {self._folder}")
