"""What a failed simulation says and leaves behind: its text, the command that repeats it, a tape, a timeline, a regression."""

from __future__ import annotations

import inspect
import os
import shlex
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from taskq.app import App
from taskq.errors import ConfigError
from taskq_testing import settings
from taskq_testing.explore.exploration import Failure, failure_text
from taskq_testing.explore.regression import literal, regression
from taskq_testing.explore.tapes import save

__all__ = ["Finding", "Orders", "place", "report"]

_NOT_OF_THE_WORLD = ("seeds", "strategy", "replay", "shrink_budget", "progress", "check_determinism")


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line, or else the environment, wants of all simulations; None where both are silent.

    Attributes:
        seeds: how many.
        seed: that one only.
        strategy: how to explore.
        tape: the file to replay.
        tapes: the folder for tapes of failures.
    """

    seeds: int | None = None
    seed: int | None = None
    strategy: str | None = None
    tape: Path | None = None
    tapes: Path | None = None

    @classmethod
    def read(cls) -> Self:
        """Read them.

        Raises:
            ConfigError: a variable that should be a number is none.
        """
        given, tape, tapes = settings.current, os.environ.get("TASKQ_TAPE"), os.environ.get("TASKQ_TAPES")
        return cls(
            seeds=given.seeds if given.seeds is not None else _number("TASKQ_SEEDS"),
            seed=given.seed if given.seed is not None else _number("TASKQ_SEED"),
            strategy=given.strategy or os.environ.get("TASKQ_STRATEGY") or None,
            tape=given.replay or (Path(tape) if tape else None),
            tapes=Path(tapes) if tapes else None,
        )


def _number(name: str) -> int | None:
    text = os.environ.get(name)
    if not text:
        return None
    if not text.isdecimal():
        raise ConfigError(f"{name}={text!r} is no number; give a whole one of at least 0")
    return int(text)


class Finding(msgspec.Struct, frozen=True):
    """A failure of a test.

    Attributes:
        scenario: the async function of a world.
        reference: where it is: FILE.py:NAME.
        failure: what went wrong.
        keywords: of its decorator.
    """

    scenario: Callable[..., Awaitable[None]]
    reference: str
    failure: Failure
    keywords: Mapping[str, Any]

    @property
    def name(self) -> str:
        """A name for what belongs to this failure, good for files and functions."""
        return f"{self.scenario.__name__}_seed_{self.failure.outcome.seed}"


def report(finding: Finding, orders: Orders) -> str:
    """Write what is wanted of a failure, and return its text."""
    failure = finding.failure
    replayed = finding.keywords.get("replay") is not None
    lines = []
    if replayed:
        commands = [_command(finding)]
    elif orders.tape is not None:
        commands = [_command(finding, tape=orders.tape)]
    else:
        commands = [_command(finding, seed=failure.outcome.seed, strategy=orders.strategy)]
    if orders.tapes is not None:
        path = orders.tapes / f"{finding.name}.tape"
        save(path, failure.smallest, scenario=finding.reference)
        commands.append(_command(finding, tape=path))
    if settings.current.timeline is not None:
        lines.append(f"Its timeline: {_write_timeline(finding, settings.current.timeline)}")
    if settings.current.write_regression and not replayed:
        lines.append(_write_regression(finding))
    effort = "" if replayed or orders.tape is not None else failure.effort
    return "\n".join([failure_text(failure.outcome, failure.smallest, effort=effort, commands=commands), *lines])


def place(reference: str) -> tuple[str, str]:
    """Return what of a reference does not depend on where it is seen from: the file's name, and the name in it."""
    file, _, name = reference.rpartition(":")
    return Path(file).name, name


def _command(finding: Finding, *, seed: int | None = None, strategy: str | None = None, tape: Path | None = None) -> str:
    """Return what to type to have a run again: with pytest where that runs this, else with our own command line."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    given = {"seed": seed, "strategy": strategy, "tape": tape}
    said = {name: str(value) for name, value in given.items() if value is not None}
    if test:
        return " ".join(
            [*(f"TASKQ_{name.upper()}={shlex.quote(value)}" for name, value in said.items()), f"pytest {shlex.quote(test)}"]
        )
    if tape is not None:
        return shlex.join(["python", "-m", "taskq_testing", "replay", str(tape)])
    options = [word for name, value in said.items() for word in (f"--{name}", value)]
    return shlex.join(["python", "-m", "taskq_testing", "simulate", finding.reference, *options])


def _write_timeline(finding: Finding, folder: Path) -> Path:
    from taskq_testing.timeline import page  # noqa: PLC0415 - only failures need it

    smallest = finding.failure.smallest
    path = folder / f"{finding.name}.html"
    folder.mkdir(parents=True, exist_ok=True)
    page(smallest.history, path, title=finding.reference, violations=smallest.violations, seed=finding.failure.outcome.seed)
    return path


# -- regressions


def _write_regression(finding: Finding) -> str:
    """Add a function to the test's own module, where all names that it needs are, and return what is to be said."""
    path = Path(inspect.getsourcefile(finding.scenario) or "")
    scope = finding.scenario.__globals__
    try:
        source = _regression(finding, scope)
    except ConfigError as error:
        return f"No regression was written: {error}."
    before = path.read_text(encoding="utf-8")
    if f"def {finding.name}(" in before:
        return f"Its regression is there already: {finding.name} in {path.name}"
    header, gap, function = source.partition("\n\n\n")
    if "taskq_testing" not in scope:
        function = header + gap + function
    path.write_text(f"{before.rstrip()}\n\n\n{function}", encoding="utf-8")
    return f"Its regression: {finding.name} in {path.name}"


def _regression(finding: Finding, scope: Mapping[str, Any]) -> str:
    name = finding.scenario.__name__
    parameters = inspect.signature(finding.scenario).parameters
    if finding.scenario.__qualname__ != name or next(iter(parameters)) != "world":
        raise ConfigError(f"{finding.scenario.__qualname__} is no function of its module that takes the world first")
    return regression(
        finding.name,
        f":{name}.scenario",
        finding.failure.smallest,
        settings={
            keyword: _source(value, scope)
            for keyword, value in finding.keywords.items()
            if keyword not in _NOT_OF_THE_WORLD and value is not None
        },
        fixtures=[one.name for one in list(parameters.values())[1:] if one.default is inspect.Parameter.empty],
    )


def _source(value: Any, scope: Mapping[str, Any]) -> str:
    """Return an app by its name in the module, and anything else as a literal."""
    if not isinstance(value, App):
        return literal(value)
    names = [name for name, known in scope.items() if known is value]
    if not names:
        raise ConfigError("the app of the test has no name in its module")
    return names[0]
