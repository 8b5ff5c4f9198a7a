"""`python -m taskq_testing`: exploring, replaying, debugging and looking, and what is said when it cannot be."""

import io
import json
import sys
from pathlib import Path

import pytest
import toys
from toys import BUG, ToyQueue

from taskq_testing.__main__ import main
from taskq_testing.explore.replay import replay
from taskq_testing.explore.tapes import load, save

MODULE = """
import taskq
from taskq_testing.explore.decorator import simulation
from toys import ToyQueue

queue = ToyQueue()
app = taskq.App()
number = 3


@simulation(app=app)
async def test_mail(world):
    if world.fires("lost_reply", "m"):
        world.breaks("message m is lost")


@simulation(app=app)
async def test_fixture(world, tmp_path):
    pass


@simulation()
async def test_no_app(world):
    pass


async def bare(world):
    pass


def broken(tape):
    raise ZeroDivisionError("oops")


class Group:
    good = staticmethod(lambda tape: ToyQueue(slow=1000)(tape))
"""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with a user's scenarios, in which the commands run."""
    toys.install(monkeypatch)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mail_scenarios.py").write_text(MODULE)
    (tmp_path / "exploding.py").write_text("raise LookupError('at import')")
    yield tmp_path
    for name in ("mail_scenarios", "exploding"):
        sys.modules.pop(name, None)


@pytest.fixture
def call(capsys):
    """Run a command and return its exit status, and what it printed on either stream."""

    def call(*words):
        status = main([str(word) for word in words])
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


@pytest.mark.parametrize("place", ["mail_scenarios", "mail_scenarios.py"])
def test_a_scenario_is_explored(call, place):
    """A failure is told in full, with the command that repeats it, and the status is 1."""
    status, output, progress = call("simulate", f"{place}:queue", "--seeds", 20_000)
    assert status == 1
    assert " hours of virtual time in " in output.splitlines()[0]
    assert "message api-1:2 was accepted and is neither done nor dead (invariant 1)." in output
    assert "It takes this (3 draws, shrunk from " in output
    assert progress.startswith("simulate  ")
    (command,) = (line for line in output.splitlines() if line.startswith("  python -m"))
    again = call(*command.split()[3:])
    assert again[0] == 1
    assert again[1].splitlines()[2:] == output.splitlines()[2:]
    assert again[1].startswith("1 seeds, ")


def test_a_scenario_of_a_class_that_never_fails(call):
    """Dotted names lead into classes; without a failure the status is 0."""
    status, output, _ = call("simulate", "mail_scenarios:Group.good", "--seeds", 50)
    assert status == 0
    assert output.startswith("50 seeds, ")
    assert len(output.splitlines()) == 1


def test_a_test_is_explored_without_pytest(call):
    """If it needs no fixtures."""
    status, output, _ = call("simulate", "mail_scenarios:test_mail", "--strategy", "uniform")
    assert status == 1
    assert "message m is lost (invariant 1)." in output
    assert " --strategy uniform\n" in output


def test_a_failure_leaves_a_tape_to_replay_and_to_debug(call, project, monkeypatch):
    """The tape says what it is of."""
    _, output, _ = call("simulate", "mail_scenarios:queue", "--seeds", 20_000, "--tape", "out/a.tape")
    assert load("out/a.tape").entries == BUG
    assert "  python -m taskq_testing replay out/a.tape\n" in output
    status, output, _ = call("replay", "out/a.tape")
    assert status == 1
    assert output.startswith("message api-1:2 was accepted and is neither done nor dead (invariant 1).\n")
    typed = iter(["until kind=crash", "quit"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    status, output, _ = call("debug", "out/a.tape")
    assert status == 0
    assert "> 20/26  20.000s  worker-1  crashed" in output


def test_a_budget_of_nothing_leaves_a_failure_as_it_was_found(call):
    """The text says so."""
    _, output, _ = call("simulate", "mail_scenarios:queue", "--seeds", 20_000, "--shrink-budget", 0)
    assert ", as it was found, nothing was made smaller):" in output


def test_a_mended_bug_is_told(call):
    """The status is 0 then."""
    save("a.tape", replay(ToyQueue(), 0, BUG), scenario="mail_scenarios:Group.good")
    assert call("replay", "a.tape")[:2] == (0, "nothing is wrong with this run any more\n")
    save("b.tape", replay(ToyQueue(), 0, {}), scenario="mail_scenarios:queue")
    assert call("replay", "b.tape")[:2] == (0, "nothing is wrong with this run\n")


def test_another_failure_is_told_as_another(call):
    """With the one that was recorded."""
    save("a.tape", replay(ToyQueue(), 0, BUG), scenario="mail_scenarios:queue")
    tape = json.loads(Path("a.tape").read_text())
    Path("a.tape").write_text(json.dumps({**tape, "signature": ["invariant", "7"], "sentence": "m ran twice"}))
    status, output, _ = call("replay", "a.tape")
    assert status == 1
    assert output.startswith("It failed otherwise when it was recorded: m ran twice.\n\nmessage api-1:2 was accepted")


def test_the_scenario_of_a_tape_can_be_given(call):
    """It comes before what the tape says."""
    save("a.tape", replay(ToyQueue(), 0, BUG), scenario="gone:gone")
    assert call("replay", "a.tape", "--scenario", "mail_scenarios:queue")[0] == 1
    save("b.tape", replay(ToyQueue(), 0, BUG))
    status, _, error = call("replay", "b.tape")
    assert (status, error) == (
        2,
        "taskq_testing: tape 'b.tape' does not say what it is of; give --scenario MODULE:SCENARIO\n",
    )


def test_a_history_is_shown(call):
    """As lines, as one message's story, or as a page."""
    replay(ToyQueue(), 0, BUG).history.save("run.jsonl")
    _, lines, _ = call("timeline", "run.jsonl")
    assert "crashed" in lines
    assert "api-1:3" in lines
    _, story, _ = call("timeline", "run.jsonl", "--message", "api-1:2")
    assert "api-1:3" not in story
    assert "api-1:2: task greet, queue mail." in story
    status, output, _ = call("timeline", "run.jsonl", "--html", "run.html")
    assert (status, output) == (0, "run.html is written; open it in a browser\n")
    assert "<html" in Path("run.html").read_text()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "the following arguments are required: COMMAND; `python -m taskq_testing --help` shows what can be given"),
        (["explode"], "invalid choice: 'explode'"),
        (["simulate", "mail_scenarios"], "'mail_scenarios' names no scenario; give MODULE:SCENARIO or FILE.py:SCENARIO"),
        (["simulate", "mail_scenarios:"], "names no scenario"),
        (
            ["simulate", "mail_scenarios:nothing"],
            "'mail_scenarios' has no scenario 'nothing'; make one with @simulation(app=...)",
        ),
        (["simulate", "mail_scenarios:number"], "'mail_scenarios' has no scenario 'number'"),
        (["simulate", "mail_scenarios:bare"], "'mail_scenarios' has no scenario 'bare'"),
        (["simulate", "mail_scenarios:test_fixture"], "needs what only pytest gives it (tmp_path); run it with TASKQ_SEED or"),
        (["simulate", "mail_scenarios:test_no_app"], "needs what only pytest gives it (taskq_app)"),
        (["simulate", "no_such_module:x"], "'no_such_module' cannot be imported: No module named 'no_such_module'"),
        (["simulate", "exploding:x"], "'exploding' cannot be imported: LookupError: at import"),
        (["simulate", "gone.py:x"], "there is no file 'gone.py'; give a path as seen from "),
        (["simulate", "mail_scenarios:queue", "--seeds", "many"], "'many' is no number; give a whole one of at least 0"),
        (["simulate", "mail_scenarios:queue", "--seeds", "0"], "seeds=0 is out of range; give a whole number of at least 1"),
        (["simulate", "mail_scenarios:queue", "--strategy", "luck"], "there is no strategy 'luck'"),
        (["replay", "gone.tape"], "tape 'gone.tape' cannot be read: No such file or directory"),
        (["debug", "mail_scenarios.py"], "'mail_scenarios.py' is no tape"),
        (["timeline", "gone.jsonl"], "gone.jsonl cannot be opened: No such file or directory"),
        (["timeline", "mail_scenarios.py"], "line 1 of "),
    ],
)
def test_a_wrong_call_is_told_in_a_sentence(call, words, text):
    """On the standard error, and the status is 2."""
    status, output, error = call(*words)
    assert status == 2
    assert output == ""
    assert error.startswith("taskq_testing: ")
    assert text in error
    assert error.count("\n") == 1


def test_a_broken_run_shows_where_it_broke(call):
    """The traceback of what broke is what one needs then."""
    status, _, error = call("simulate", "mail_scenarios:broken")
    assert status == 2
    assert 'raise ZeroDivisionError("oops")' in error
    assert error.splitlines()[-1].startswith("taskq_testing: the run of seed 0 broke before it was judged")


def test_ctrl_c_is_no_traceback(call, monkeypatch):
    """The status is what shells expect."""

    def interrupted(self, tape):
        raise KeyboardInterrupt

    monkeypatch.setattr(ToyQueue, "__call__", interrupted)
    assert call("simulate", "mail_scenarios:queue")[0] == 130


def test_help_is_printed(capsys):
    """For all, and for each command."""
    for words in ([], ["simulate"], ["replay"], ["debug"], ["timeline"]):
        with pytest.raises(SystemExit) as caught:
            main([*words, "--help"])
        assert caught.value.code == 0
        assert "usage: python -m taskq_testing" in capsys.readouterr().out


def test_the_debugger_reads_the_terminal(call, monkeypatch):
    """Where the input ends it ends."""
    save("a.tape", replay(ToyQueue(), 0, BUG), scenario="mail_scenarios:queue")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert call("debug", "a.tape")[0] == 0
