"""The pytest plugin: the fixtures `taskq_app` and `taskq_sim`, the marker `taskq`, and the options of simulations.

Every run of pytest where taskq is installed loads this module, so it imports nothing but pytest until a fixture is used.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskq_testing import settings

if TYPE_CHECKING:
    from taskq.app import App
    from taskq_testing.debug import Journey
    from taskq_testing.harness import Harness

_INI = {
    "app": ("", 'the app under test, as "module:attribute"'),
    "mode": ("manual", "what enqueue does in a test: manual, inline or off"),
    "wall": ("auto", "whether the time of day follows virtual time: auto, time_machine, freezegun or off"),
    "threads": ("inline", "where sync handlers run: inline, or in turns"),
    "start": ("", "when virtual time begins, in ISO format with a time zone; now if empty"),
    "leftovers": ("report", "what to do about messages that a test leaves: report, error or ignore"),
}
_LEFTOVERS = ("report", "error", "ignore")
_MARKER = (
    f"taskq({', '.join(f'{name}=...' for name in _INI)}): how taskq_sim behaves in this test, instead of what the settings say"
)

_left = pytest.StashKey[list[str]]()
_failed = pytest.StashKey[bool]()
_journey: pytest.StashKey[Journey] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options and settings."""
    for name, (default, text) in _INI.items():
        parser.addini(f"taskq_{name}", f"taskq: {text}", default=default)
    group = parser.getgroup("taskq", "taskq: simulations")
    group.addoption("--taskq-seed", type=int, metavar="N", help="run simulations with this seed only")
    group.addoption("--taskq-seeds", type=int, metavar="N", help="run simulations with N seeds")
    group.addoption("--taskq-strategy", metavar="S", help="explore with this strategy")
    group.addoption("--taskq-replay", type=Path, metavar="TAPE", help="repeat the run in this file")
    group.addoption("--taskq-write-regression", action="store_true", help="write a failure as a test into its module")
    group.addoption("--taskq-timeline", type=Path, metavar="DIR", help="write a timeline of each failure into this folder")
    group.addoption("--taskq-debug", action="store_true", help="step through a failure, forwards and back in time")


def pytest_configure(config: pytest.Config) -> None:
    """Pass the options on, and get ready to report."""
    config.addinivalue_line("markers", _MARKER)
    names = ("seed", "seeds", "strategy", "replay", "write_regression", "timeline", "debug")
    before = settings.use(settings.Settings(**{name: config.getoption(f"taskq_{name}") for name in names}))
    config.add_cleanup(partial(settings.use, before))  # type: ignore[arg-type]  # what it returns is not looked at
    config.pluginmanager.register(_Reporter(), "taskq-reporter")


# -- fixtures


@pytest.fixture
def taskq_app(request: pytest.FixtureRequest) -> App:
    """The app under test, as the setting `taskq_app` or the marker names it; override this fixture to give another."""
    place = _option(request, "app")
    if not place:
        pytest.fail(
            'no app is known: write taskq_app = "module:attribute" into the pytest settings, or define a fixture taskq_app',
            pytrace=False,
        )
    return _load(place)


@pytest.fixture
def taskq_sim(request: pytest.FixtureRequest, taskq_app: App) -> Iterator[Harness]:
    """The app in virtual time, and in memory whatever its backend: what it enqueues waits until the test processes it."""
    from taskq_testing.harness import Harness

    leftovers, start = _option(request, "leftovers"), _option(request, "start")
    if leftovers not in _LEFTOVERS:
        pytest.fail(f"taskq: leftovers={leftovers!r} is unknown; give one of: {', '.join(_LEFTOVERS)}", pytrace=False)
    options = {name: _option(request, name) for name in ("mode", "wall", "threads")}
    try:
        harness = Harness(taskq_app, start=datetime.fromisoformat(start) if start else None, **options)
    except ValueError as error:
        pytest.fail(f"taskq: {error}", pytrace=False)
    with harness as sim, contextlib.ExitStack() as stack:
        if settings.current.debug and options["mode"] != "off":
            request.node.stash[_journey] = stack.enter_context(sim.debug())
        yield sim
    left = sim.close()
    if not left or leftovers == "ignore" or request.node.stash.get(_failed, False):
        return
    if leftovers == "error":
        pytest.fail("\n  ".join(["the test leaves what it has neither processed nor asserted:", *left]), pytrace=False)
    request.node.stash[_left] = left


def _option(request: pytest.FixtureRequest, name: str) -> Any:
    """Return what the nearest marker says, or the settings."""
    for marker in request.node.iter_markers("taskq"):
        unknown = [*marker.args, *(set(marker.kwargs) - set(_INI))]
        if unknown:
            pytest.fail(f"@pytest.mark.taskq takes {', '.join(_INI)} by name, not {unknown[0]!r}", pytrace=False)
        if name in marker.kwargs:
            return marker.kwargs[name]
    return request.config.getini(f"taskq_{name}")


def _load(place: Any) -> App:
    from taskq.app import App

    if isinstance(place, App):
        return place
    module_name, _, attribute = str(place).partition(":")
    try:
        app: Any = import_module(module_name)
    except ImportError as error:
        pytest.fail(f"taskq_app={place!r}: module {module_name!r} cannot be imported: {error}", pytrace=False)
    for part in (attribute or "app").split("."):
        app = getattr(app, part, None)
    if not isinstance(app, App):
        pytest.fail(f'taskq_app={place!r} is no taskq.App but a {type(app).__name__}; give "module:attribute"', pytrace=False)
    return app


# -- reports


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Put what a test leaves into its report, which travels to the main process of xdist."""
    report: Any = yield
    if report.failed:
        item.stash[_failed] = True
    if call.when == "teardown":
        report.taskq_leftovers = item.stash.get(_left, [])
    return report


class _Reporter:
    """Collects what was left over and tells it at the end."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._lines += [f"{report.nodeid}: {line}" for line in getattr(report, "taskq_leftovers", ())]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._lines:
            return
        terminalreporter.section("taskq: left over, neither processed nor asserted")
        for line in self._lines:
            terminalreporter.line(line)
        terminalreporter.line('(process them, assert them, drop them with taskq_sim.clear(), or set taskq_leftovers = "ignore")')

    def pytest_exception_interact(self, node: pytest.Item, call: pytest.CallInfo[Any]) -> None:
        """Open the debugger on a failed simulation, or on what happened in a failed test, if that was asked for."""
        error = call.excinfo.value if call.excinfo is not None else None
        journey = _way_through(node, error) if settings.current.debug and error is not None else None
        if journey is None:
            return
        from taskq_testing.debug.prompt import interact

        capture = node.config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
        try:
            sys.stdout.write("\n")  # below the line of dots
            interact(journey)
        finally:
            if capture is not None:
                capture.resume_global_capture()


def _way_through(node: pytest.Item, error: BaseException) -> Journey | None:
    """Return the way through what failed: the smallest failure of a simulation, or what a test with `taskq_sim` did."""
    decorator = sys.modules.get("taskq_testing.explore.decorator")
    if decorator is not None and isinstance(error, decorator.SimulationFailed):
        from taskq_testing.debug import Debugger

        return Debugger(error.run, error.failure.smallest)
    journey = node.stash.get(_journey, None)
    if journey is not None:
        journey.verdict = f"the test raised {type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    return journey
