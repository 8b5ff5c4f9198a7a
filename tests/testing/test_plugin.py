"""The pytest plugin, run as users run it: in small projects of their own."""

import re
import subprocess
import sys
import textwrap

import pytest

import taskq  # noqa: F401 - loaded here, so that the projects' runs in this process share it
import taskq_testing.harness
from taskq_testing import settings

pytest_plugins = ["pytester"]

APP = """
    import taskq

    app = taskq.App(hooks=())
    mail = app.queue("mail")
    ran = []

    @mail.task
    def greet(name: str) -> None:
        ran.append(name)
        if name == "bad":
            raise ValueError("cannot greet " + name)
"""
INI = """
    [pytest]
    pythonpath = .
    addopts = --strict-markers --strict-config
    filterwarnings = error
    taskq_app = jobs:app
    taskq_wall = off
"""


@pytest.fixture
def project(pytester):
    """A project with an app and settings."""
    pytester.makepyfile(jobs=APP)
    pytester.makefile(".ini", pytest=INI)
    return pytester


def run(project, source, *args, plugins=()):
    """Run one test file in this process, with our plugin and those that are asked for only."""
    project.makepyfile(test_it="from jobs import *\nimport pytest, taskq\n" + textwrap.dedent(source))
    return project.runpytest_inprocess(*without(*plugins), *args)


def without(*plugins):
    return [f"-pno:{name}" for name in ("xdist", "asyncio", "anyio", "pytest_cov", "timeout") if name not in plugins]


# -- fixtures


def test_a_test_in_virtual_time(project):
    """The fixture binds the app that the settings name; the docstring's example works."""
    result = run(
        project,
        """
        def test_greet(taskq_sim, taskq_app):
            assert taskq_app is app
            mail.enqueue(greet.message("ada").delayed(3600))
            taskq_sim.assert_enqueued(greet, args=("ada",), delay=pytest.approx(3600))
            taskq_sim.advance(hours=1)
            assert taskq_sim.performed(greet) == 1
        """,
    )
    result.assert_outcomes(passed=1)


def test_tests_do_not_see_each_other(project):
    """Messages, names, time and modes end with their test, also where it fails, and the app is put back."""
    result = run(
        project,
        """
        before = (app.broker, app.clock, app.hooks, app.portal, mail.backend)

        def test_fails(taskq_sim):
            mail.enqueue(greet.message("ada").named("ada"))
            taskq_sim.advance(60)
            greet.enqueue("left")
            raise LookupError

        @pytest.mark.parametrize("time", range(2))
        def test_again(taskq_sim, time):
            assert taskq_sim.elapsed == 0
            assert taskq_sim.all_enqueued() == []
            assert not mail.enqueue(greet.message("ada").named("ada")).duplicate
            taskq_sim.drain()

        def test_afterwards():
            assert (app.broker, app.clock, app.hooks, app.portal, mail.backend) == before
        """,
    )
    result.assert_outcomes(failed=1, passed=3)


def test_a_failing_assertion_shows_its_own_text(project):
    """The harness's frames are hidden; the test's line and the near miss are shown."""
    result = run(
        project,
        """
        def test_greet(taskq_sim):
            greet.enqueue("bob")
            taskq_sim.assert_enqueued(greet, args=("ada",))
        """,
    )
    result.stdout.fnmatch_lines(['*taskq_sim.assert_enqueued(greet, args=("ada",))', "E*no message matches greet(name='ada')*"])
    result.stdout.fnmatch_lines(["E*expected 'ada'", "E*but is   'bob'"])
    result.stdout.no_fnmatch_line("*witness.py*raise*")


def test_a_handlers_error_is_shown_at_its_line(project):
    """The report ends in the user's handler, with a note about the message."""
    result = run(
        project,
        """
        def test_greet(taskq_sim):
            greet.enqueue("bad")
            taskq_sim.drain()
        """,
    )
    result.stdout.fnmatch_lines(['>*raise ValueError("cannot greet " + name)', "E*ValueError: cannot greet bad"])
    result.stdout.fnmatch_lines(["E*in greet('bad') attempt 1 ran at 0 s: retried*"])
    result.stdout.no_fnmatch_line("*worker.py*")


def test_the_app_may_be_a_fixture(project):
    """A fixture named taskq_app, of any scope, comes before the settings."""
    project.makeconftest(
        """
        import pytest, taskq

        @pytest.fixture(scope="session")
        def taskq_app():
            app = taskq.App(hooks=())
            app.queue("other")
            return app
        """
    )
    result = run(project, "def test_it(taskq_sim): assert list(taskq_sim.app.queues) == ['other']\n" * 1)
    result.assert_outcomes(passed=1)


MISTAKES = [
    ("taskq_app =", '*no app is known: write taskq_app = "module:attribute" into the pytest settings*'),
    ("taskq_app = nowhere:app", "*module 'nowhere' cannot be imported: No module named 'nowhere'*"),
    ("taskq_app = jobs:mail", "*taskq_app='jobs:mail' is no taskq.App but a Queue; give \"module:attribute\"*"),
    ("taskq_app = jobs:nothing.app", "*taskq_app='jobs:nothing.app' is no taskq.App but a NoneType*"),
    ("taskq_mode = eager", "*taskq: mode='eager' is unknown; give one of: manual, inline, off*"),
    ("taskq_threads = many", "*taskq: threads='many' is unknown; give one of: inline, turns*"),
    ("taskq_wall = watch", "*taskq: wall='watch' is unknown; give one of: auto, time_machine, freezegun, off*"),
    ("taskq_start = 2030-01-01", "*taskq: start=*has no time zone; give an aware datetime*"),
    ("taskq_start = soon", "*taskq: Invalid isoformat string: 'soon'*"),
    ("taskq_leftovers = shout", "*taskq: leftovers='shout' is unknown; give one of: report, error, ignore*"),
]


@pytest.mark.parametrize(("line", "text"), MISTAKES)
def test_a_mistake_in_the_settings_is_told(project, line, text):
    """Each is one clear sentence without a traceback."""
    name = line.partition(" =")[0]
    lines = [kept for kept in textwrap.dedent(INI).splitlines() if not kept.startswith(name)]
    project.makefile(".ini", pytest="\n".join([*lines, line]))
    result = run(project, "def test_it(taskq_sim): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([text])
    result.stdout.no_fnmatch_line("*plugin.py*")


def test_an_app_without_a_name_in_the_settings_is_app(project):
    """The attribute is `app` unless it is named."""
    project.makefile(".ini", pytest=INI.replace("jobs:app", "jobs"))
    run(project, "def test_it(taskq_app): assert taskq_app is app").assert_outcomes(passed=1)


def test_the_marker_comes_before_the_settings(project):
    """App, mode, threads, start and leftovers can be set for one test, class or module."""
    project.makepyfile(others="import taskq\nclass Here:\n    app = taskq.App(hooks=())\nobject = Here.app")
    result = run(
        project,
        """
        import others, threading
        from datetime import datetime, UTC

        @pytest.mark.taskq(app="others:Here.app")
        def test_app(taskq_sim):
            assert taskq_sim.app is others.Here.app

        @pytest.mark.taskq(app=others.Here.app)
        def test_app_itself(taskq_sim):
            assert taskq_sim.app is others.Here.app

        @pytest.mark.taskq(mode="inline", start="2030-01-01T12:00:00Z")
        class TestInline:
            def test_runs(self, taskq_sim):
                greet.enqueue("inline")
                assert ran == ["inline"]
                assert taskq_sim.now == datetime(2030, 1, 1, 12, tzinfo=UTC)

            @pytest.mark.taskq(mode="manual", leftovers="ignore")
            def test_waits(self, taskq_sim):
                greet.enqueue("manual")
                assert "manual" not in ran

        @pytest.mark.taskq(mode="off")
        def test_off(taskq_sim):
            own = mail.backend
            greet.enqueue("real")
            assert len(own.messages()) == 1
            with taskq_sim.manual():
                assert mail.backend is not own
        """,
    )
    result.assert_outcomes(passed=5)
    result.stdout.no_fnmatch_line("*left over*")


@pytest.mark.parametrize("marker", ["taskq(modus='inline')", "taskq('inline')"])
def test_a_mistaken_marker_is_told(project, marker):
    """An unknown word in the marker is an error, not ignored."""
    result = run(project, f"@pytest.mark.{marker}\ndef test_it(taskq_sim): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*@pytest.mark.taskq takes app, mode, wall, threads, start, leftovers by name, not '*'*"])


# -- what is left over


LEAVING = """
    def test_leaves(taskq_sim):
        greet.enqueue("forgotten")
        greet.enqueue("asserted")
        taskq_sim.assert_enqueued(greet, args=("asserted",))

    def test_tidy(taskq_sim):
        greet.enqueue("ada")
        taskq_sim.drain()

    def test_cleared(taskq_sim):
        greet.enqueue("ada")
        assert taskq_sim.clear() == 1
"""


def test_leftovers_are_reported(project):
    """What a test neither processed nor asserted is told at the end of the run; the test passes."""
    result = run(project, LEAVING)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*taskq: left over, neither processed nor asserted*"])
    lines = [line for line in result.outlines if line.startswith("test_it.py::")]
    assert lines == ["test_it.py::test_leaves: greet('forgotten') on mail, due now"]


def test_leftovers_may_be_an_error(project):
    """With leftovers=error the test that leaves something fails at its end."""
    project.makefile(".ini", pytest=f"{INI}    taskq_leftovers = error\n")
    result = run(project, LEAVING)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(
        ["the test leaves what it has neither processed nor asserted:", "  greet('forgotten') on mail, due now"]
    )


def test_leftovers_of_a_failed_test_are_not_told(project):
    """A test that fails in the middle leaves messages by nature."""
    for setting in ("report", "error"):
        project.makefile(".ini", pytest=f"{INI}    taskq_leftovers = {setting}\n")
        result = run(project, "def test_it(taskq_sim):\n    greet.enqueue('x')\n    raise LookupError")
        result.assert_outcomes(failed=1)
        result.stdout.no_fnmatch_line("*left over*")


# -- beside other plugins


ASYNC = """
    import asyncio

    {mark}
    async def test_async(taskq_sim):
        await greet.enqueue_async("ada")
        taskq_sim.assert_enqueued(greet)
        taskq_sim.drain()
        mail.enqueue(greet.message("bob").delayed(60))
        taskq_sim.advance(minutes=1)
        await asyncio.sleep(0.001)
        with taskq_sim.inline():
            await greet.enqueue_async("eve")
        assert ran == ["ada", "bob", "eve"]
"""


def test_under_pytest_asyncio(project):
    """Async tests of pytest-asyncio use the same fixture and the same methods."""
    project.makefile(".ini", pytest=f"{INI}    asyncio_default_fixture_loop_scope = function\n")
    run(project, ASYNC.format(mark="@pytest.mark.asyncio"), plugins=["asyncio"]).assert_outcomes(passed=1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_under_anyio(project, backend):
    """So do those of anyio's plugin, also on trio: handlers run on the virtual loop, whatever the test runs on."""
    fixture = f'\n\n    @pytest.fixture\n    def anyio_backend(): return "{backend}"\n'
    test = ASYNC.replace("asyncio", "anyio").format(mark="@pytest.mark.anyio") + fixture
    run(project, test, plugins=["anyio"]).assert_outcomes(passed=1)


@pytest.mark.slow
def test_under_xdist(project):
    """With several processes everything works, and leftovers of all are told by the main one."""
    project.makepyfile(test_it="from jobs import *\n" + textwrap.dedent(LEAVING), test_more="from test_it import test_leaves")
    result = project.runpytest_subprocess("-n2", "-pno:asyncio", "-pno:anyio")
    result.assert_outcomes(passed=4)
    assert sum(re.match(r"test_(it|more).py::test_leaves: greet", line) is not None for line in result.outlines) == 2


@pytest.mark.slow
def test_without_the_plugin(project):
    """With -p no:taskq nothing breaks: tests that do not use it run as before."""
    project.makefile(".ini", pytest="[pytest]\nfilterwarnings = error\n")
    project.makepyfile(test_it="def test_it(): pass")
    result = project.runpytest_subprocess("-pno:taskq", "-pno:asyncio", "-pno:anyio")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*taskq*left over*")


def test_unittest_classes_may_use_it(project):
    """An autouse fixture brings the harness into a TestCase."""
    result = run(
        project,
        """
        import unittest

        class TestMail(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def sim(self, taskq_sim):
                self.sim = taskq_sim

            def test_greet(self):
                greet.enqueue("ada")
                assert self.sim.drain().processed == 1
        """,
    )
    result.assert_outcomes(passed=1)


# -- options


def test_options_of_simulations_are_handed_over(project):
    """Whoever simulates reads the options from `settings.current`, and they end with the run."""
    before = settings.current
    result = run(
        project,
        """
        from pathlib import Path
        from taskq_testing import settings

        def test_it():
            assert settings.current == settings.Settings(
                seed=7, seeds=10, strategy="pct", replay=Path("a.tape"), timeline=Path("out"), write_regression=True, debug=True
            )
        """,
        "--taskq-seed=7",
        "--taskq-seeds=10",
        "--taskq-strategy=pct",
        "--taskq-replay=a.tape",
        "--taskq-timeline=out",
        "--taskq-write-regression",
        "--taskq-debug",
    )
    result.assert_outcomes(passed=1)
    assert settings.current is before
    run(
        project, "from taskq_testing import settings\ndef test_it(): assert settings.current == settings.Settings()"
    ).assert_outcomes(passed=1)


def test_options_and_fixtures_are_documented(project):
    """The help names the options and settings, and --fixtures and --markers show ours."""
    result = project.runpytest_inprocess("--help", *without())
    result.stdout.fnmatch_lines(["*--taskq-seed=N*", "*taskq_app (string)*"])
    result = project.runpytest_inprocess("--fixtures", *without())
    result.stdout.fnmatch_lines(["taskq_app*", "taskq_sim*"])
    result = project.runpytest_inprocess("--markers", *without())
    result.stdout.fnmatch_lines(["@pytest.mark.taskq(app=..., mode=...*"])


SIMULATION = """
    import taskq_testing

    @taskq_testing.simulation(seeds=3)
    async def test_world(world):
        await greet.enqueue_async("ada")
        await world.drained()
        assert world.now > 10**9
"""


@pytest.mark.slow
def test_a_simulation_takes_the_app_of_the_settings(project):
    """The app comes through taskq_app, the number of seeds from the command line; the failure tells how to repeat it."""
    project.makepyfile(test_it="from jobs import *\n" + textwrap.dedent(SIMULATION))
    result = project.runpytest_subprocess("--taskq-seeds=2", *without())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*TASKQ_SEED=0 pytest test_it.py::test_world*"])


@pytest.mark.slow
def test_the_debugger_opens_on_a_failed_simulation(project):
    """With --taskq-debug the failure can be stepped through at the terminal; its commands come from there."""
    project.makepyfile(test_it="from jobs import *\n" + textwrap.dedent(SIMULATION))
    command = [sys.executable, "-m", "pytest", "--taskq-debug", *without()]
    steps = "step\nuntil message=test:1\nquit\n"
    done = subprocess.run(command, input=steps, capture_output=True, text=True, cwd=project.path, check=False)
    assert done.returncode == 1
    shown, report = done.stdout.split("= FAILURES =")
    assert "enqueued test:1, task greet" in shown
    assert "SimulationFailed" in report


@pytest.mark.slow
def test_the_debugger_opens_on_a_failed_test_with_the_fixture(project):
    """With --taskq-debug what a test did is written down from its beginning; when it fails, it can be stepped through."""
    project.makepyfile(
        test_it="""
        from jobs import *

        def test_fails(taskq_sim):
            greet.enqueue("ada")
            taskq_sim.drain()
            assert taskq_sim.performed(greet) == 2

        def test_passes(taskq_sim):
            greet.enqueue("ada")
            taskq_sim.drain()
        """
    )
    command = [sys.executable, "-m", "pytest", "--taskq-debug", *without()]
    typed = "until kind=start\nwhy test:1\nchoices all\nwhat_if 1 handler_error\nquit\n"
    done = subprocess.run(command, input=typed, capture_output=True, text=True, cwd=project.path, check=False)
    shown = done.stdout.split("= FAILURES =")[0]
    assert "the test raised AssertionError: assert 1 == 2" in shown
    assert "worker began attempt 1, which still runs" in shown
    assert "1: nothing, not handler_error, slow_handler  after event" in shown
    assert "The test raised WhatIf: what if this handler failed?." in shown
    assert "1 failed, 1 passed" in done.stdout


@pytest.mark.slow
def test_the_debugger_stays_away_from_other_failures(project):
    """An ordinary failing test is only reported."""
    project.makepyfile(test_it="import taskq_testing.explore.decorator\ndef test_it(): assert False")
    command = [sys.executable, "-m", "pytest", "--taskq-debug", *without()]
    done = subprocess.run(command, input="", capture_output=True, text=True, cwd=project.path, check=False, timeout=200)
    assert (done.returncode, "step" in done.stdout) == (1, False)


# -- what it costs


IMPORTS = """
import sys, pytest
before = set(sys.modules)
import taskq_testing.plugin
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.slow
def test_the_plugin_imports_nothing_heavy():
    """What is loaded by every run of pytest is the plugin, its package and its settings."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["taskq_testing", "taskq_testing.plugin", "taskq_testing.settings"]


@pytest.mark.slow
def test_the_plugin_is_quick_to_import():
    """It takes at most a tenth of what pytest itself takes, which is well below 20 ms; the best of five."""

    def share():
        command = [sys.executable, "-X", "importtime", "-c", "import pytest, taskq_testing.plugin"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
        took = {line.split("|")[2].strip(): int(line.split("|")[1]) for line in lines[1:]}
        return took["taskq_testing.plugin"] / took["pytest"]

    assert min(share() for _ in range(5)) <= 0.1


@pytest.mark.slow
def test_the_package_imports_nothing_heavy():
    """Names of the package are loaded when they are used."""
    code = (
        "import sys, taskq_testing; print(len(dir(taskq_testing.__all__)) > 0, 'taskq' in sys.modules, 'asyncio' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]


def test_public_names_are_there():
    """Every public name is found where the package says, and a wrong one is an AttributeError."""
    for name in taskq_testing.__all__:
        assert getattr(taskq_testing, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(taskq_testing, "nothing")  # noqa: B009 - a plain access would be a useless expression
