"""One seed gives one outcome: across runs, processes, hash seeds and allocations. Without the loop's remedies it does not."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from testing import programs

from taskq_testing.explore.strategies import Uniform
from taskq_testing.loop import VirtualLoop, virtual
from taskq_testing.tape import Tape

ROOT = Path(__file__).parents[2]
RUNS = 20
names = pytest.mark.parametrize("program", programs.PROGRAMS, ids=lambda program: program.__name__)


def outcomes(program, loop=VirtualLoop):
    """Run a program with one seed, with other allocations before and between the runs."""
    found = set()
    for run in range(RUNS):
        kept = programs.perturb(run)
        found.add(programs.outcome(program, 7, loop))
        del kept
    return found


@names
def test_runs_of_one_seed_are_alike(program):
    """Twenty runs in one process have one outcome."""
    assert len(outcomes(program)) == 1


@pytest.mark.slow
def test_processes_are_alike():
    """Processes with different hash seeds and allocations print the same outcomes of all programs."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    printed = set()
    for junk, hash_seed in enumerate(("0", "1", "12345", "random")):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-m", "testing.programs", "4", str(junk * 1000)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.count("\n") == 4 * len(programs.PROGRAMS)
        printed.add(done.stdout)
    assert len(printed) == 1


class Careless(VirtualLoop):
    """A virtual loop whose tasks and futures are asyncio's own."""

    def create_task(self, coro, *, name=None, context=None):
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def create_future(self):
        return asyncio.Future(loop=self)


@pytest.mark.parametrize(
    "program",
    [
        programs.failing_group,
        programs.done_sets,
        programs.future_sets,
        programs.completed_tasks,
        programs.completed_coroutines,
        programs.stranded_tasks,
    ],
    ids=lambda program: program.__name__,
)
def test_the_programs_can_tell(program, monkeypatch):
    """On a loop without these remedies the programs have several outcomes, so that one outcome means something."""
    monkeypatch.setattr(virtual, "ordered_sets", lambda: None)
    monkeypatch.setattr(virtual, "plain_sets", lambda: None)
    assert len(outcomes(program, Careless)) > 1


def test_another_seed_is_another_outcome():
    """Seeds do decide something: ten of them give several interleavings of the processes."""
    assert len({programs.outcome(programs.two_processes, seed) for seed in range(10)}) > 5


def test_a_tape_repeats_a_run():
    """A run repeated from the draws that were not boring has the same outcome under another seed."""
    tape = Tape(3, Uniform())
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(tape, likely=0.3)) as runner:
        first = runner.run(programs.two_processes())
    assert tape.entries
    again = Tape(99, Uniform(), recorded=tape.entries)
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(again, likely=0.3)) as runner:
        assert runner.run(programs.two_processes()) == first
