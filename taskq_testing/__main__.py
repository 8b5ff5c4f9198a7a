"""The command line of simulations: explore, replay, debug, look at. It parses, loads and prints; an error is one sentence.

A scenario is MODULE:NAME or FILE.py:NAME: a test made by `@simulation(app=...)`, or a function from a tape to an outcome.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from taskq.cli import Parser
from taskq.errors import ConfigError, TaskqError
from taskq_testing import timeline
from taskq_testing.debug import Debugger
from taskq_testing.debug.prompt import interact
from taskq_testing.explore import Exploration, explore, failure_text
from taskq_testing.explore.decorator import Simulation
from taskq_testing.explore.progress import ProgressLine
from taskq_testing.explore.replay import RunBroken, replay
from taskq_testing.explore.shrink import BUDGET
from taskq_testing.explore.tapes import Recording, load, save
from taskq_testing.history import History
from taskq_testing.outcome import Outcome, Run

__all__ = ["main"]

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 if a run failed, 2 for a wrong call, 130 after Ctrl-C."""
    try:
        arguments = _parser().parse_args(argv)
        command: Command = arguments.command
        return command(arguments)
    except RunBroken as error:
        traceback.print_exception(error.__cause__)
        sys.stderr.write(f"taskq_testing: {error}\n")
        return 2
    except TaskqError as error:
        sys.stderr.write(f"taskq_testing: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m taskq_testing", description="Explore, replay and debug simulated runs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    simulate = commands.add_parser("simulate", help="run a scenario under many seeds")
    simulate.add_argument("scenario", metavar="MODULE:SCENARIO", help="or FILE.py:SCENARIO")
    simulate.add_argument("--seeds", type=_natural, default=1000, help="how many (default: %(default)s)")
    simulate.add_argument("--seed", type=_natural, help="run this one only")
    simulate.add_argument("--strategy", default="mixed", help="uniform, pct, delay-bounded, swarm or mixed (the default)")
    simulate.add_argument("--shrink-budget", type=_natural, default=BUDGET, help="runs to make a failure small (%(default)s)")
    simulate.add_argument("--tape", type=Path, help="where to write the tape of a failure")
    simulate.set_defaults(command=_simulate)

    for name, text, command in (
        ("replay", "run a tape again and tell what comes of it", _replay),
        ("debug", "step through the run of a tape, forwards and back", _debug),
    ):
        parsed = commands.add_parser(name, help=text)
        parsed.add_argument("tape", type=Path, help="a tape that a failure left")
        parsed.add_argument("--scenario", metavar="MODULE:SCENARIO", help="what it is a tape of, unless the tape says so")
        parsed.set_defaults(command=command)

    look = commands.add_parser("timeline", help="show a recorded history")
    look.add_argument("history", type=Path, help="a file written by History.save")
    look.add_argument("--html", type=Path, help="write a page instead of printing lines")
    look.add_argument("--message", help="only this message, and why it is where it is")
    look.set_defaults(command=_timeline)
    return parser


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number; give a whole one of at least 0")
    return int(text)


# -- scenarios


def _load(reference: str) -> Run:
    """Return the scenario that a reference names, as a function of a tape."""
    place, _, name = reference.rpartition(":")
    if not place or not name:
        raise ConfigError(f"{reference!r} names no scenario; give MODULE:SCENARIO or FILE.py:SCENARIO")
    found: Any = _import(place)
    for part in name.split("."):
        found = getattr(found, part, None)
    made = getattr(found, "simulation", None)
    if isinstance(made, Simulation):
        return _without_pytest(made, reference)
    if not callable(found) or inspect.iscoroutinefunction(found):
        raise ConfigError(f"{place!r} has no scenario {name!r}; make one with @simulation(app=...)")
    return found  # type: ignore[no-any-return]


def _without_pytest(made: Simulation, reference: str) -> Run:
    if made.parameters:
        wanted = ", ".join(parameter.name for parameter in made.parameters)
        raise ConfigError(
            f"{reference} needs what only pytest gives it ({wanted}); run it with TASKQ_SEED or TASKQ_TAPE and pytest"
        )
    return made.run()


def _import(place: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except TaskqError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's module may raise anything
        reason = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise ConfigError(f"{place!r} cannot be imported: {reason}") from None


def _from_file(file: Path) -> ModuleType:
    """Import a file as pytest does: by its name, with its folder on the path."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.exists():
        raise ConfigError(f"there is no file {str(file)!r}; give a path as seen from {Path.cwd()}")
    sys.path.insert(0, str(file.parent))
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _recorded(arguments: argparse.Namespace) -> tuple[Recording, Run, Outcome]:
    recording = load(arguments.tape)
    reference = arguments.scenario or recording.scenario
    if not reference:
        raise ConfigError(f"tape {str(arguments.tape)!r} does not say what it is of; give --scenario MODULE:SCENARIO")
    run = _load(reference)
    return recording, run, replay(run, recording.seed, recording.entries)


# -- commands


def _simulate(arguments: argparse.Namespace) -> int:
    run = _load(arguments.scenario)
    seeds = arguments.seeds if arguments.seed is None else [arguments.seed]
    exploration = explore(
        run,
        seeds=seeds,
        strategy=arguments.strategy,
        shrink_budget=arguments.shrink_budget,
        progress=ProgressLine(sys.stderr),
    )
    _print(_summary(exploration))
    for failure in exploration.failures:
        again = f"python -m taskq_testing simulate {arguments.scenario} --seed {failure.outcome.seed}"
        commands = [again if arguments.strategy == "mixed" else f"{again} --strategy {arguments.strategy}"]
        if arguments.tape is not None:
            save(arguments.tape, failure.smallest, scenario=arguments.scenario)
            commands += [f"python -m taskq_testing {word} {arguments.tape}" for word in ("replay", "debug")]
        _print("", failure_text(failure.outcome, failure.smallest, effort=failure.effort, commands=commands))
        return 1
    return 0


def _summary(exploration: Exploration) -> str:
    return (
        f"{exploration.seeds:,} seeds, {exploration.virtual_hours:,.1f} hours of virtual time in {exploration.seconds:.1f} s"
        f" ({exploration.seeds_per_s:,.0f} seeds/s), {sum(exploration.fired.values()):,} faults and marks"
    )


def _replay(arguments: argparse.Namespace) -> int:
    recording, _, outcome = _recorded(arguments)
    if not outcome.failed:
        _print("nothing is wrong with this run any more" if recording.signature else "nothing is wrong with this run")
        return 0
    if recording.signature and outcome.signature != recording.signature:
        _print(f"It failed otherwise when it was recorded: {recording.sentence}.", "")
    _print(failure_text(outcome, outcome))
    return 1


def _debug(arguments: argparse.Namespace) -> int:
    _, run, outcome = _recorded(arguments)
    interact(Debugger(run, outcome))
    return 0


def _timeline(arguments: argparse.Namespace) -> int:
    try:
        history = History.load(arguments.history)
        if arguments.html is not None:
            timeline.page(history, arguments.html, title=arguments.history.name)
            _print(f"{arguments.html} is written; open it in a browser")
        elif arguments.message is not None:
            lines = timeline.text(history, messages=[arguments.message], limit=None)
            _print(lines, "", timeline.why(history, arguments.message))
        else:
            _print(timeline.text(history, limit=None))
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be opened: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return 0


def _print(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
