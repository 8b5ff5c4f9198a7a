"""The decorator: an ordinary pytest function that explores, replays, and says everything when it fails."""

import inspect
import os
from pathlib import Path

import pytest
import toys
from toys import LOST, buggy, failing

import taskq
from taskq.errors import ConfigError
from taskq_testing import settings
from taskq_testing.explore.decorator import SimulationFailed, simulation
from taskq_testing.explore.replay import replay
from taskq_testing.history import History

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


async def raising(world):
    if world.fires("lost_reply", "m"):
        raise LookupError("no account")


# -- what pytest sees


def test_the_world_is_no_fixture_and_the_others_are():
    """The signature has everything but the world, and the app only where none was given."""

    async def scenario(world, tmp_path, *, monkeypatch):
        """It says something."""

    with_app = simulation(app=app)(scenario)
    assert list(inspect.signature(with_app).parameters) == ["tmp_path", "monkeypatch"]
    assert list(inspect.signature(simulation()(scenario)).parameters) == ["tmp_path", "monkeypatch", "taskq_app"]
    assert not inspect.iscoroutinefunction(with_app)
    assert with_app.__name__ == "scenario"
    assert with_app.__doc__ == "It says something."
    assert with_app.scenario is scenario


@pytest.mark.parametrize(
    ("scenario", "text"),
    [
        (lambda world: None, r"is no async function; a simulation needs `async def .*\(world\)`"),
        (test_the_world_is_no_fixture_and_the_others_are, "is no async function"),
        (toys.scenario, "scenario is no async function"),
    ],
)
def test_what_is_no_scenario_is_refused(scenario, text):
    """When it is decorated, not when it runs."""
    with pytest.raises(TypeError, match=text):
        simulation()(scenario)


def test_a_scenario_has_to_take_a_world():
    """Without one there is nothing to simulate."""

    async def scenario(tmp_path):
        pass

    with pytest.raises(TypeError, match="takes no world; a simulation needs"):
        simulation()(scenario)


def test_fixtures_and_settings_reach_the_scenario():
    """Fixtures by name, the world too wherever it stands, and the world's settings the simulator."""
    seen = []

    async def scenario(one, world, two):
        seen.append((one, world.app, world.settings, two))

    simulation(app=app, seeds=1, workers=7, faults=["crash"], check_determinism=False)(scenario)(one=1, two=2)
    assert seen == [(1, app, {"workers": 7, "faults": ["crash"]}, 2)] * 2


def test_the_app_may_come_from_a_fixture():
    """It is used where the decorator names none, and given to the scenario if that takes it."""
    seen = []

    async def without(world):
        seen.append(world.app)

    async def having(world, taskq_app):
        seen.append(taskq_app)

    simulation(seeds=1)(without)(taskq_app=app)
    simulation(seeds=1)(having)(taskq_app=app)
    assert set(seen) == {app}
    other = taskq.App()
    simulation(seeds=1, app=other)(having)(taskq_app=app)
    assert seen[-1] is app


def test_without_an_app_nothing_runs():
    """The text says where to give one."""
    with pytest.raises(
        ConfigError, match=r"test_decorator.py:good has no app; give it as @simulation\(app=...\), or through the f"
    ):
        simulation()(good)()


def test_a_method_keeps_its_instance():
    """Scenarios in test classes are given self."""
    seen = []

    class TestIt:
        @simulation(app=app, seeds=1)
        async def it(self, world):
            seen.append(self)

    instance = TestIt()
    instance.it()
    assert set(seen) == {instance}


# -- exploring


def test_a_good_scenario_passes():
    """All seeds are run, and what came of them is kept."""
    test = simulation(app=app, seeds=60)(good)
    assert test() is None
    assert test.simulation.exploration.seeds == 60
    assert test.simulation.exploration.never_fired(["crash", "slow"]) == ["slow"]


def test_a_failure_says_everything():
    """The smallest form of it, and the command that repeats it."""
    error = failing(simulation(app=app, strategy="uniform")(buggy))
    assert error.failure.smallest.entries == LOST
    lines = str(error).splitlines()
    assert lines[0] == "message m is lost (invariant 1)."
    assert lines[2].startswith("It takes this (2 draws, shrunk from ")
    assert lines[3:5] == ["  crash of worker-1", "  lost reply of m"]
    seed = error.failure.outcome.seed
    node = os.environ["PYTEST_CURRENT_TEST"].removesuffix(" (call)")
    assert lines[-3:] == ["To have it again:", f"  TASKQ_SEED={seed} pytest {node}", f"Seed {seed}."]
    assert isinstance(error, AssertionError)
    assert error.__cause__ is None
    assert replay(error.run, 0, LOST).failed


def test_what_the_scenario_raised_is_the_cause():
    """Its traceback leads into the test's own lines."""
    error = failing(simulation(app=app)(raising))
    cause = error.__cause__
    assert isinstance(cause, LookupError)
    assert inspect.getinnerframes(cause.__traceback__)[-1].function == "raising"
    assert str(error).startswith("the test raised LookupError: no account.")


def test_settings_of_the_exploration_are_passed_on():
    """Budget, progress and the check of determinism."""

    class Heard:
        done = []

        def update(self, done, total, fired):
            self.done.append((done, total))

        def note(self, text):
            pass

        def close(self):
            pass

    heard = Heard()
    error = failing(simulation(app=app, strategy="uniform", shrink_budget=0, progress=heard, check_determinism=0)(buggy))
    assert error.failure.smallest is error.failure.outcome
    assert heard.done[-1] == (error.failure.outcome.seed + 1, 1000)


def test_progress_is_on_the_standard_error_by_default(capsys):
    """Pytest shows it with a failure."""
    simulation(app=app, seeds=5)(good)()
    assert capsys.readouterr().err.startswith("simulate  5/5 seeds  ")


# -- replaying, and orders from outside


def test_given_draws_are_replayed():
    """One run, in which only they happen; the command is pytest alone."""
    runs = []

    async def counted(world):
        runs.append(1)
        await buggy(world)

    error = failing(simulation(app=app, replay=LOST)(counted))
    assert error.failure.outcome.entries == LOST
    assert "It takes this (2 draws):" in str(error)
    assert len(runs) == 1
    node = os.environ["PYTEST_CURRENT_TEST"].removesuffix(" (call)")
    assert f"To have it again:\n  pytest {node}\n" in str(error)
    simulation(app=app, replay={})(counted)()
    simulation(app=app, replay={("crash", "worker-1", 0): 1})(counted)()
    assert len(runs) == 3


def test_the_environment_says_how_many_seeds(monkeypatch):
    """Instead of what the decorator says."""
    monkeypatch.setenv("TASKQ_SEEDS", "7")
    test = simulation(app=app, seeds=60)(good)
    test()
    assert test.simulation.exploration.seeds == 7


def test_the_environment_says_which_seed(monkeypatch):
    """Exactly that one is run, and fails as it did among others."""
    first = failing(simulation(app=app, strategy="uniform")(buggy))
    monkeypatch.setenv("TASKQ_SEED", str(first.failure.outcome.seed))
    test = simulation(app=app, strategy="uniform")(buggy)
    again = failing(test)
    assert test.simulation.exploration.seeds == 1
    assert again.failure.outcome.entries == first.failure.outcome.entries
    assert str(again) == str(first)


def test_the_environment_says_which_strategy(monkeypatch):
    """It is told in the command too, for the seed alone would not do."""
    monkeypatch.setenv("TASKQ_STRATEGY", "swarm")
    error = failing(simulation(app=app, strategy="uniform")(buggy))
    assert f"TASKQ_SEED={error.failure.outcome.seed} TASKQ_STRATEGY=swarm pytest " in str(error)
    monkeypatch.setenv("TASKQ_STRATEGY", "psychic")
    with pytest.raises(ConfigError, match="there is no strategy 'psychic'"):
        simulation(app=app)(good)()


def test_the_command_line_comes_before_the_environment(monkeypatch, orders):
    """What is typed now counts more than what is set for all."""
    monkeypatch.setenv("TASKQ_SEEDS", "7")
    monkeypatch.setenv("TASKQ_STRATEGY", "psychic")
    orders(seeds=9, strategy="uniform")
    test = simulation(app=app)(good)
    test()
    assert test.simulation.exploration.seeds == 9
    monkeypatch.setenv("TASKQ_SEED", "5")
    orders(seed=77, strategy="uniform", seeds=9)
    test()
    assert test.simulation.exploration.seeds == 1


@pytest.mark.parametrize("name", ["TASKQ_SEEDS", "TASKQ_SEED"])
@pytest.mark.parametrize("value", ["many", "-1", "1.5"])
def test_what_should_be_a_number_is_one(monkeypatch, name, value):
    """Or the variable is named."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name}='{value}' is no number; give a whole one of at least 0"):
        simulation(app=app)(good)()


def test_no_seeds_at_all_is_refused(monkeypatch):
    """Nought is not taken for the default."""
    monkeypatch.setenv("TASKQ_SEEDS", "0")
    with pytest.raises(ConfigError, match="seeds=0 is out of range"):
        simulation(app=app)(good)()


def test_the_history_of_a_failure_is_the_smallest():
    """What is told happened in the run that is told."""
    error = failing(simulation(app=app, strategy="uniform")(buggy))
    assert isinstance(error.failure.smallest.history, History)
    assert len(list(error.failure.smallest.history.of("fault"))) == len(LOST)


def test_the_decorator_is_the_librarys_own():
    """It has one name, whatever is imported from where."""
    import taskq_testing

    assert taskq_testing.simulation is simulation
    assert taskq_testing.SimulationFailed is SimulationFailed
