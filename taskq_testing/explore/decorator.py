"""The decorator that makes a pytest function of a scenario: explored under many seeds, or replayed.

To pytest the result is an ordinary function without a `world`; its other parameters are fixtures. These are made once for all
seeds, so what a run changes in them is seen by the next: state that matters belongs into the world. No pytest is imported here.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from taskq.app import App
from taskq.errors import ConfigError
from taskq_testing.explore.exploration import Exploration, Failure, explore
from taskq_testing.explore.findings import Finding, Orders, place, report
from taskq_testing.explore.progress import ProgressLine
from taskq_testing.explore.replay import replay
from taskq_testing.explore.strategies import Explorer
from taskq_testing.explore.tapes import load
from taskq_testing.outcome import Outcome, Run
from taskq_testing.tape import Draw

__all__ = ["Simulation", "SimulationFailed", "simulation"]

_WORLD = "world"
_APP = "taskq_app"
_EXPLORING = ("shrink_budget", "progress", "check_determinism")

Scenario = Callable[..., Awaitable[None]]


class SimulationFailed(AssertionError):  # noqa: N818 - it is no error of the harness
    """A run of a scenario went wrong; the text says everything that helps.

    Attributes:
        failure: the run, as it was found and as small as it could be made.
        run: what was run, for a debugger.
    """

    def __init__(self, text: str, failure: Failure, run: Run) -> None:
        super().__init__(text)
        self.failure = failure
        self.run = run


class Simulation:
    """One scenario and how it is explored: what `simulation` puts on its functions as `.simulation`.

    Args:
        scenario: an async function with a parameter `world`.
        keywords: see `simulation`.

    Attributes:
        scenario: the same.
        keywords: the same.
        parameters: what pytest has to give: the scenario's parameters but the world, and the app where none was given.
        exploration: what came of its last exploration, or None.

    Raises:
        TypeError: the scenario is no async function, or takes no world.
    """

    def __init__(self, scenario: Scenario, keywords: Mapping[str, Any]) -> None:
        self.scenario = scenario
        self.keywords = keywords
        self.exploration: Exploration | None = None
        self._app: App | None = keywords.get("app")
        self._replay: Mapping[Draw, int] | None = keywords.get("replay")
        parameters = _parameters(scenario)
        self._takes_app = _APP in parameters
        if self._app is None and not self._takes_app:
            parameters[_APP] = inspect.Parameter(_APP, inspect.Parameter.KEYWORD_ONLY)
        self.parameters = list(parameters.values())

    @property
    def reference(self) -> str:
        """Where the scenario is: FILE.py:NAME, the file as seen from here if it lies below."""
        file = Path(inspect.getsourcefile(self.scenario) or "unknown")
        here = Path.cwd()
        return f"{file.relative_to(here) if file.is_relative_to(here) else file}:{self.scenario.__qualname__}"

    def run(self, *args: Any, **fixtures: Any) -> Run:
        """Return it as a function of a tape.

        Args:
            args: what comes before the world, such as a test class's instance.
            fixtures: the scenario's other arguments, and `taskq_app` where the decorator was given no app.

        Raises:
            ConfigError: no app was given, or a setting cannot work.
        """
        from taskq_testing.simulator import scenario  # noqa: PLC0415 - it is heavy, and needed only when a test runs

        app = self._app if self._app is not None else fixtures.get(_APP)
        if not isinstance(app, App):
            raise ConfigError(f"{self.reference} has no app; give it as @simulation(app=...), or through the fixture {_APP}")
        arguments = {name: value for name, value in fixtures.items() if name != _APP or self._takes_app}

        async def body(world: Any) -> None:
            await self.scenario(*args, world=world, **arguments)

        kept = ("seeds", "strategy", "app", "replay", *_EXPLORING)
        return scenario(body, app=app, **{name: value for name, value in self.keywords.items() if name not in kept})

    def check(self, *args: Any, **fixtures: Any) -> None:
        """Explore, or replay what the decorator, the command line or the environment gives.

        Raises:
            SimulationFailed: a run went wrong; its cause is what the scenario raised, if it did.
            ConfigError: a setting cannot work.
            TaskqError: the runs cannot be believed; see `explore`.
        """
        __tracebackhide__ = True
        orders, run = Orders.read(), self.run(*args, **fixtures)
        failure = self._find(orders, run)
        if failure is not None:
            finding = Finding(self.scenario, self.reference, failure, self.keywords)
            raise SimulationFailed(report(finding, orders), failure, run) from failure.smallest.error

    def _find(self, orders: Orders, run: Run) -> Failure | None:
        if self._replay is not None:
            return _judged(replay(run, 0, self._replay))
        if orders.tape is not None:
            recording = load(orders.tape)
            if recording.scenario and place(recording.scenario) != place(self.reference):
                raise ConfigError(f"tape {str(orders.tape)!r} is of {recording.scenario}, not of {self.reference}; run that one")
            return _judged(replay(run, recording.seed, recording.entries))
        seeds = orders.seeds if orders.seeds is not None else self.keywords.get("seeds", 1000)
        strategy: str | Explorer = orders.strategy or self.keywords.get("strategy", "mixed")
        settings = {name: self.keywords[name] for name in _EXPLORING if name in self.keywords}
        settings.setdefault("progress", ProgressLine(sys.stderr))
        seeds = [orders.seed] if orders.seed is not None else seeds
        self.exploration = explore(run, seeds=seeds, strategy=strategy, **settings)
        for failure in self.exploration.failures:
            replay(run, failure.smallest.seed, failure.smallest.entries)  # with the log, which exploring keeps still
            return failure
        return None


def simulation(
    *,
    seeds: int = 1000,
    strategy: str | Explorer = "mixed",
    app: App | None = None,
    replay: Mapping[Draw, int] | None = None,
    **settings: Any,
) -> Callable[[Scenario], Callable[..., None]]:
    """Make a pytest function of an async function of a world, which is run under many seeds.

    The command line and the environment come first: TASKQ_SEEDS, TASKQ_SEED (that one only), TASKQ_STRATEGY, TASKQ_TAPE (replay
    that file), TASKQ_TAPES (a folder for the tapes of failures).

    Args:
        seeds: how many.
        strategy: how to explore; see `strategies.named`.
        app: the app under test; None means what the fixture `taskq_app` gives.
        replay: draws to repeat, instead of exploring; all others are boring.
        settings: `shrink_budget`, `progress` and `check_determinism` as for `explore`; others as for `simulator.scenario`:
            `workers`, `faults` and so on.
    """
    given = {"seeds": seeds, "strategy": strategy, "app": app, "replay": replay, **settings}

    def decorate(scenario: Scenario) -> Callable[..., None]:
        made = Simulation(scenario, given)

        @functools.wraps(scenario)
        def check(*args: Any, **fixtures: Any) -> None:
            __tracebackhide__ = True
            made.check(*args, **fixtures)

        function: Any = check
        function.__signature__ = inspect.Signature(made.parameters)
        function.simulation = made
        function.scenario = scenario
        return check

    return decorate


def _parameters(scenario: Scenario) -> dict[str, inspect.Parameter]:
    name = getattr(scenario, "__qualname__", repr(scenario))
    if not inspect.iscoroutinefunction(scenario):
        raise TypeError(f"{name} is no async function; a simulation needs `async def {name}(world)`")
    parameters = dict(inspect.signature(scenario).parameters)
    if parameters.pop(_WORLD, None) is None:
        raise TypeError(f"{name} takes no world; a simulation needs `async def {name}(world)`")
    return parameters


def _judged(outcome: Outcome) -> Failure | None:
    return Failure(outcome=outcome, smallest=outcome) if outcome.failed else None
