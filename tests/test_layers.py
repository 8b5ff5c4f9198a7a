"""The house rules, applied to the sources; and each rule shown to be able to fail."""

import subprocess
import sys
from pathlib import Path

import house
import pytest

ROOT = Path(__file__).parents[1]
SOURCES = house.read(ROOT, "taskq")
TESTING = house.read(ROOT, "taskq_testing")
CONFORMANCE = house.read(ROOT, "conformance")
TESTS = {path: text for path, text in house.read(ROOT, "tests").items() if not path.endswith(("house.py", "test_layers.py"))}
EDGES = house.graph(SOURCES)


def test_sources_are_small():
    """Functions, their parameters and modules keep their budgets, and each module says what it is."""
    assert [
        complaint for path, text in (SOURCES | TESTING | CONFORMANCE).items() for complaint in house.budgets(path, text)
    ] == []


def test_one_module_reads_the_time():
    """Time and chance come from the clock."""
    assert [complaint for path, text in SOURCES.items() for complaint in house.clock_reads(path, text)] == []


def test_core_and_wire_are_pure():
    """Decisions and bytes import nothing that does I/O."""
    pure = {path: text for path, text in SOURCES.items() if path.startswith(("taskq/core/", "taskq/wire/"))}
    assert len(pure) > 12
    assert [complaint for path, text in pure.items() for complaint in house.impurities(path, text)] == []


def test_imports_point_down():
    """A layer imports only what lies below it."""
    assert house.upward(EDGES) == []


def test_imports_have_no_cycles_and_little_depth():
    """No module imports itself by any way, and a chain of layers below the app has at most eight links."""
    edges = {module: targets - {"taskq"} for module, targets in EDGES.items()}
    assert house.cycles(edges) == []
    assert house.depth(edges) <= 8


def test_the_library_never_imports_its_testing_library():
    """Taskq runs without taskq_testing."""
    assert [path for path, text in SOURCES.items() if any(n.startswith("taskq_testing") for n in house.imports(text))] == []


def test_tests_keep_their_habits():
    """Each test says what it shows, asserts it, and does not sleep."""
    tests = TESTS | {path: text for path, text in CONFORMANCE.items() if path.startswith("conformance/test_")}
    assert [complaint for path, text in tests.items() for complaint in house.test_habits(path, text)] == []


def test_core_and_wire_have_a_test_file_each():
    """Tests mirror the sources of core and wire."""
    missing = [
        path
        for path in SOURCES
        if path.startswith(("taskq/core/", "taskq/wire/"))
        and not path.endswith("__init__.py")
        and not (ROOT / path.replace("taskq/", "tests/", 1).replace(Path(path).name, f"test_{Path(path).name}")).exists()
    ]
    assert missing == []


BAD_FUNCTION = '"""x."""\ndef f(a, b, c, d, e, f, g):\n' + "    a = 1\n" * 41
PLANTED = [
    (house.budgets, BAD_FUNCTION, 2),
    (house.budgets, "x = 1\n" * 401, 2),
    (house.clock_reads, "import time\nx = time.time()\n", 1),
    (house.clock_reads, "x = datetime.now(UTC)\ny = random.random()\nz = os.urandom(3)\n", 3),
    (house.impurities, "import asyncio\nfrom os import path\nimport math\n", 3),
    (house.test_habits, "def test_a():\n    x = 1\n", 2),
    (house.test_habits, 'async def test_a():\n    """It waits."""\n    await asyncio.sleep(0.1)\n    assert True\n', 1),
]


@pytest.mark.parametrize(("rule", "source", "complaints"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_rules_can_fail(rule, source, complaints):
    """A planted offence is found, as often as it was planted."""
    assert len(rule("planted.py", source)) == complaints


def test_layer_rules_can_fail():
    """A planted upward import, a cycle and a long chain are found."""
    edges = house.graph({"taskq/core/a.py": "import taskq.app", "taskq/app.py": "import taskq.core.a", "taskq/errors.py": ""})
    assert house.upward(edges) == ["taskq.core.a imports taskq.app"]
    assert house.cycles(edges) == ["taskq.app -> taskq.core.a -> taskq.app"]
    assert house.depth({"taskq.app": {"taskq.core.a"}, "taskq.core.a": {"taskq.errors"}, "taskq.errors": set()}) == 2
    assert house.upward({"taskq.queue": {"taskq.consumer"}, "taskq.consumer": set()}) == ["taskq.queue imports taskq.consumer"]


@pytest.mark.slow
def test_import_is_light():
    """Importing taskq loads no client, no test tool and no extra."""
    heavy = [
        "redis",
        "boto3",
        "httpx",
        "pytest",
        "rich",
        "typer",
        "opentelemetry",
        "prometheus_client",
        "cramjam",
        "zstandard",
        "taskq_testing",
    ]
    code = f"import sys, taskq; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
