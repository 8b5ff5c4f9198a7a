"""What a failed simulation leaves behind: commands, tapes, timelines, regressions; and how all that looks under pytest."""

import importlib.util
import operator
import os
import subprocess
import sys
from pathlib import Path

import pytest
import toys
from toys import LOST, buggy, failing

import taskq
from taskq.errors import ConfigError
from taskq_testing import settings
from taskq_testing.explore.decorator import simulation
from taskq_testing.explore.tapes import load

TESTS = Path(__file__).parents[1]

app = taskq.App()


@pytest.fixture(autouse=True)
def toy_simulator(monkeypatch):
    """The toy simulator, and nobody's orders in the environment."""
    toys.install(monkeypatch)


@pytest.fixture
def orders():
    """What the command line says, set for one test."""
    before = settings.current
    yield lambda **given: settings.use(settings.Settings(**given))
    settings.use(before)


async def good(world):
    world.fires("crash", "worker-1")


@pytest.mark.parametrize("by", ["environment", "command line"])
def test_a_failure_leaves_a_tape_that_replays_it(tmp_path, monkeypatch, orders, by):
    """Where a folder for tapes is given, the text names the file and the command."""
    monkeypatch.setenv("TASKQ_TAPES", str(tmp_path / "tapes"))
    first = failing(simulation(app=app, strategy="uniform")(buggy))
    path = tmp_path / "tapes" / f"buggy_seed_{first.failure.outcome.seed}.tape"
    assert f"TASKQ_TAPE={path} pytest " in str(first)
    assert load(path).entries == LOST
    monkeypatch.delenv("TASKQ_TAPES")
    if by == "environment":
        monkeypatch.setenv("TASKQ_TAPE", str(path))
    else:
        orders(replay=path)
    test = simulation(app=app)(buggy)
    again = failing(test)
    assert test.simulation.exploration is None
    assert again.failure.outcome.entries == LOST
    assert f"To have it again:\n  TASKQ_TAPE={path} pytest " in str(again)


def test_a_tape_of_another_scenario_is_refused(tmp_path, monkeypatch):
    """It would replay nothing that means anything."""
    monkeypatch.setenv("TASKQ_TAPES", str(tmp_path))
    failing(simulation(app=app, strategy="uniform")(buggy))
    monkeypatch.setenv("TASKQ_TAPE", str(next(tmp_path.iterdir())))
    with pytest.raises(ConfigError, match=r"is of .*toys.py:buggy, not of .*test_findings.py:good; run that one"):
        simulation(app=app)(good)()


def test_outside_of_pytest_the_command_is_our_own(monkeypatch, tmp_path):
    """Pytest cannot run what it does not know."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setenv("TASKQ_STRATEGY", "uniform")
    monkeypatch.setenv("TASKQ_TAPES", str(tmp_path))
    monkeypatch.chdir(TESTS.parent)
    error = failing(simulation(app=app)(buggy))
    seed = error.failure.outcome.seed
    reference = "tests/toys.py:buggy"
    assert f"  python -m taskq_testing simulate {reference} --seed {seed} --strategy uniform\n" in str(error)
    assert f"  python -m taskq_testing replay {tmp_path / f'buggy_seed_{seed}.tape'}\n" in str(error)


def test_a_timeline_is_written_where_the_command_line_says(tmp_path, orders):
    """A page per failure, named in the text."""
    orders(timeline=tmp_path / "pages")
    error = failing(simulation(app=app, strategy="uniform")(buggy))
    path = tmp_path / "pages" / f"buggy_seed_{error.failure.outcome.seed}.html"
    assert str(error).endswith(f"Its timeline: {path}")
    assert "message m is lost" in path.read_text()


# -- regressions that are written, and those that cannot be

SHOP = """
import taskq
from toys import buggy
from taskq_testing import simulation as simulated

app = taskq.App()


@simulated(app=app, strategy="uniform")
async def test_mail(world):
    await buggy(world)


@simulated(app=taskq.App(), strategy="uniform")
async def test_nameless_app(world):
    await buggy(world)


@simulated(app=app, strategy="uniform", workers=object)
async def test_strange_setting(world):
    await buggy(world)


@simulated(app=app, strategy="uniform")
async def test_world_last(number, world):
    await buggy(world)


class TestShop:
    @simulated(app=app, strategy="uniform")
    async def test_method(self, world):
        await buggy(world)
"""


@pytest.fixture
def shop(tmp_path, orders):
    """A user's module, imported, and regressions wanted."""
    path = tmp_path / "test_shop.py"
    path.write_text(SHOP)
    spec = importlib.util.spec_from_file_location("test_shop", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    orders(write_regression=True)
    return module


def test_a_regression_brings_the_import_that_it_needs(shop):
    """Where the module calls the library by another name, or not at all."""
    error = failing(shop.test_mail)
    name = f"test_mail_seed_{error.failure.outcome.seed}"
    assert str(error).endswith(f"Its regression: {name} in test_shop.py")
    written = Path(shop.__file__).read_text().removeprefix(SHOP.rstrip())
    assert written.startswith("\n\n\nimport taskq_testing\n\n\n@taskq_testing.simulation(\n    app=app,\n")
    assert f"async def {name}(world):" in written


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("test_nameless_app", (), "the app of the test has no name in its module"),
        ("test_strange_setting", (), "<class 'object'> cannot be written as a literal"),
        ("test_world_last", (1,), "test_world_last is no function of its module that takes the world first"),
        ("TestShop.test_method", (None,), "TestShop.test_method is no function of its module that takes the world first"),
    ],
)
def test_a_failure_is_told_even_if_no_regression_can_be_written(shop, name, arguments, text):
    """With the reason, and the module stays as it is."""
    error = failing(operator.attrgetter(name)(shop), *arguments)
    assert str(error).startswith("message m is lost (invariant 1).")
    assert str(error).endswith(f"No regression was written: {text}.")
    assert Path(shop.__file__).read_text() == SHOP


# -- under pytest

MODULE = '''
import pytest
import taskq
import taskq_testing
from taskq_testing.explore.replay import replay
from taskq_testing.explore.decorator import simulation

taskq_testing.simulation = simulation
app = taskq.App()


@pytest.fixture
def fine():
    return "fine"


@simulation(app=app, workers=2, faults=("crash", "lost_reply"), strategy="uniform")
async def test_mail(world, fine):
    """A mail is sent."""
    assert fine == "fine"
    world.fires("noise", "a")
    if world.fires("lost_reply", "m"):
        raise_it()


def raise_it():
    raise LookupError("no account")


@pytest.mark.parametrize("number", [1, 2])
@simulation(seeds=20)
async def test_quiet(world, taskq_app, number):
    assert world.app is taskq_app
    assert number


class TestClass:
    @simulation(seeds=20)
    async def test_method(self, world):
        assert self is not None
'''

CONFTEST = """
import sys, types
import pytest
import taskq
import toys

fake = types.ModuleType("taskq_testing.simulator")
fake.scenario = toys.scenario
sys.modules["taskq_testing.simulator"] = fake


@pytest.fixture
def taskq_app():
    return taskq.App()
"""


@pytest.fixture
def project(tmp_path):
    """A user's tests, run by pytest in a process of its own."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(MODULE)

    def run(*arguments, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:taskq", "-q", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        ("pytest", ["-p", "no:asyncio", "-p", "no:anyio"]),
        ("pytest_asyncio", ["-o", "asyncio_mode=auto", "-p", "no:anyio"]),
        ("anyio", ["-o", "anyio_mode=auto", "-p", "no:asyncio"]),
    ],
)
def test_pytest_runs_it_as_a_plain_function(project, plugin, options):
    """With fixtures, parameters, classes, and beside plugins that look for async tests; the user's own traceback is shown."""
    pytest.importorskip(plugin)
    output = project(*options)
    assert "1 failed, 3 passed" in output
    assert "fixture 'world' not found" not in output
    line = MODULE.split("\n").index('    raise LookupError("no account")') + 1
    assert f"test_it.py:{line}: LookupError" in output
    assert "The above exception was the direct cause of the following exception:" in output
    assert "SimulationFailed: the test raised LookupError: no account." in output
    assert "pytest test_it.py::test_mail" in output
    assert "decorator.py:" not in output.split("direct cause")[1].split("Captured")[0]


@pytest.mark.slow
def test_a_regression_is_written_into_the_module_and_fails_there(project, tmp_path):
    """Once; it replays the failure, and passes when the bug is mended."""
    (tmp_path / "conftest.py").write_text(
        f"{CONFTEST}\n\ndef pytest_configure(config):\n    from taskq_testing import settings\n"
        "    settings.use(settings.Settings(write_regression=True))\n"
    )
    output = project("-k", "mail")
    assert "Its regression: test_mail_seed_" in output
    source = (tmp_path / "test_it.py").read_text()
    assert source.startswith(MODULE.rstrip())
    written = source.removeprefix(MODULE.rstrip()).strip().splitlines()
    assert written[0] == "@taskq_testing.simulation("
    assert "    workers=2," in written
    assert '    faults=("crash", "lost_reply"),' in written
    assert "    app=app," in written
    assert '        ("lost_reply", "m", 0): 1,  # lost reply of m' in written
    assert written[-1] == "    await test_mail.scenario(world, fine=fine)"
    assert "noise" not in "".join(written)
    output = project("-k", "mail")
    assert "Its regression is there already: test_mail_seed_" in output
    assert "2 failed" in output
    (tmp_path / "test_it.py").write_text(source.replace("        raise_it()", "        pass"))
    assert "2 passed" in project("-k", "mail", "-W", "ignore")
