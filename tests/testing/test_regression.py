"""A failure as a pytest function: it runs, it fails as the failure did, and one likes to read it."""

import subprocess
import sys
import types

import pytest
from toys import BUG, ToyQueue, outcome

from taskq.errors import ConfigError
from taskq_testing.explore.regression import literal, regression
from taskq_testing.explore.replay import replay
from taskq_testing.history import History
from taskq_testing.outcome import Violation
from taskq_testing.tape import Quiet, Tape

SOURCE = '''\
import taskq_testing

from toys import scenario


@taskq_testing.simulation(
    workers=2,
    app=app,
    replay={
        ("lost_reply", "api-1:2", 0): 1,  # lost reply of api-1:2
        ("slow", "api-1:2", 0): 7,  # slow of api-1:2 (7)
        ("crash", "worker-1", 2): 1,  # crash of worker-1, the 3rd time
    },
)
async def test_a_charge_is_lost(world, tmp_path):
    """Message api-1:2 was accepted and is neither done nor dead (invariant 1)."""
    await scenario(world, tmp_path=tmp_path)
'''


def failed(sentence="m is lost", entries=None, error=None):
    tape = Tape(7, Quiet())
    tape.entries = dict(entries or {})
    return outcome(tape, History(), violations=[] if error else [Violation(3, sentence)], error=error)


def execute(source, **modules):
    """Execute a source with a toy decorator; return the decorator's keywords by name of the function, and the functions."""
    made = {}

    def simulation(**keywords):
        def decorate(function):
            made[function.__name__] = (keywords, function)
            return function

        return decorate

    fakes = {"taskq_testing": types.SimpleNamespace(simulation=simulation), **modules}
    namespace = {"app": "the app"}
    lines = [line for line in source.splitlines() if not line.startswith(("import ", "from "))]
    exec("\n".join(lines), {**fakes, **namespace}, namespace)
    return made


LINT = """
line-length = 88
[lint]
select = ["ALL"]
# What no test suite has, and pairs that exclude each other.
ignore = ["ANN", "CPY", "D100", "INP", "COM812", "D203", "D213"]
[lint.isort]
known-first-party = ["toys"]
known-third-party = ["taskq_testing"]
"""


@pytest.fixture
def ruff(tmp_path):
    """What ruff says to a source in a project that is not ours, and its exit status."""
    pytest.importorskip("ruff")
    config = tmp_path / "ruff.toml"
    config.write_text(LINT)

    def call(command, source):
        options = ["--quiet", "--config", str(config), "--stdin-filename", "test_generated.py", "-"]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options], input=source, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr, done.returncode

    return call


def test_it_reads_as_one_would_write_it():
    """The sentence, the draws with what they mean, and the call of the scenario."""
    source = regression(
        "a_charge_is_lost",
        "toys:scenario",
        replay(ToyQueue(), 70, BUG),
        settings={"workers": "2", "app": "app"},
        fixtures=["tmp_path"],
    )
    assert source == SOURCE


def test_executed_it_replays_the_failure():
    """Its draws are those of the failure, and its body plays the scenario."""
    source = regression("test_x", "toys:scenario", replay(ToyQueue(), 70, BUG), settings={"workers": "2"})
    worlds = []

    async def scenario(world):
        worlds.append(world)

    keywords, function = execute(source, scenario=scenario)["test_x"]
    assert keywords == {"workers": 2, "replay": BUG}
    assert replay(ToyQueue(), 0, keywords["replay"]).signature == ("invariant", "1")
    with pytest.raises(StopIteration):
        function("the world").send(None)
    assert worlds == ["the world"]


AWKWARD = {
    ("on", "lost_reply", 0): 1,
    ("a", 'with "double" quotes', 0): 1,
    ("b", "with 'single' quotes", 1): 2,
    ("c", "back\\slash, tab\t, newline\n and ünï\u2028code", 2): 3,
    ("schedule", ",".join(f"worker-{n}" for n in range(5)), 300): 4,
    ("d", "", 0): 10**12,
}


@pytest.mark.parametrize(
    "result",
    [
        failed(entries=AWKWARD),
        failed(),
        failed("m was " + "very " * 60 + "lost."),
        failed('a "quoted" \\ """ thing\nover two lines', BUG),
        failed(error=ValueError("no money\nat all")),
    ],
    ids=["awkward keys", "no draws", "long", "quotes", "error"],
)
def test_any_failure_gives_a_clean_function(result, ruff):
    """It executes with exactly the draws, and the linter and the formatter have nothing to say, whatever the names."""
    source = regression("test_x", "toys:Toys.scenario", result)
    keywords, function = execute(source, Toys=None)["test_x"]
    assert keywords["replay"] == result.entries
    assert function.__doc__.rstrip().endswith(".")
    assert ruff(["check"], source) == ("", 0)
    assert ruff(["format", "--check"], source) == ("", 0)


def test_the_linter_would_complain(ruff):
    """What is checked above can fail."""
    source = regression("test_x", "toys:scenario", failed())
    assert ruff(["check"], f"import os\n{source}")[1] == 1
    assert ruff(["format", "--check"], source.replace("replay={}", "replay = {}"))[1] == 1


def test_draws_are_told_as_they_are_meant():
    """What a place does is said by another draw; the comment has put them together."""
    source = regression("x", ":f", failed(entries={("network", "w ack m", 0): 1, ("fault", "w ack m", 0): 2}))
    assert '        ("network", "w ack m", 0): 1,  # lost reply of w ack m\n' in source


def test_in_the_same_module_nothing_is_imported_twice():
    """A scenario without a module is one of the module that the function goes into."""
    source = regression("x", ":test_mail.scenario", failed())
    assert "from" not in source
    assert source.startswith("import taskq_testing\n\n\n@taskq_testing.simulation(")
    assert source.endswith("    await test_mail.scenario(world)\n")


@pytest.mark.parametrize(
    ("name", "reference"), [("not a name", "m:x"), ("x", "m"), ("x", "m:"), ("x", "m:f()"), ("x", "tests/m.py:f"), ("x", "")]
)
def test_what_cannot_be_a_function_is_refused(name, reference):
    """Names have to be names."""
    with pytest.raises(ConfigError, match="cannot be a test; give a name, and MODULE:NAME or :NAME"):
        regression(name, reference, failed())


def test_a_run_that_did_not_fail_is_no_regression():
    """There is nothing to replay."""
    with pytest.raises(ConfigError, match="the run of seed 70 did not fail; a regression needs a failure"):
        regression("x", "m:x", replay(ToyQueue(), 70, {}))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("all", '"all"'),
        ('say "no"', "'say \"no\"'"),
        (["crash", 1, 2.5, None, True], '["crash", 1, 2.5, None, True]'),
        (frozenset({"slow", "crash"}), '["crash", "slow"]'),
        (("crash",), '("crash",)'),
        ((), "()"),
        ({"a": ("b", "c")}, '{"a": ("b", "c")}'),
    ],
)
def test_settings_are_written_as_literals(value, text):
    """As formatters would have them; a set is a list in order, so that it is the same each time."""
    assert literal(value) == text


@pytest.mark.parametrize("value", [object, [1, object], {"a": b"bytes"}])
def test_what_is_no_literal_is_refused(value):
    """The value is told."""
    with pytest.raises(ConfigError, match="cannot be written as a literal"):
        literal(value)
