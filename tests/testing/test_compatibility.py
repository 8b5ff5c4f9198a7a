"""The virtual loop among others: pytest-asyncio, anyio, uvloop, and CPython's own tests of what is built on a loop."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from taskq_testing.loop import VirtualLoop

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def run_python(*arguments, cwd, code=0):
    """Run a Python process and return what it printed."""
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


PYTEST_ASYNCIO = """
import asyncio
import pytest_asyncio
import pytest
from taskq_testing.loop import VirtualLoop

@pytest_asyncio.fixture
async def late():
    await asyncio.sleep(3600)
    yield asyncio.get_running_loop()
    await asyncio.sleep(3600)

@pytest.mark.asyncio
async def test_a_day(late):
    assert isinstance(late, VirtualLoop)
    assert late.time() == 3600
    await asyncio.wait_for(asyncio.sleep(86_400), 86_401)
    assert late.time() == 90_000
"""
HOOK = """
from taskq_testing.loop import VirtualLoop

def pytest_asyncio_loop_factories(config, item):
    return {"virtual": VirtualLoop}
"""
OLD_FIXTURE = """
import asyncio
import pytest
from taskq_testing.loop import VirtualLoop

class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        return VirtualLoop()

@pytest.fixture(scope="session")
def event_loop_policy():
    return Policy()
"""


@pytest.mark.parametrize("conftest", [HOOK, OLD_FIXTURE], ids=["hook", "policy fixture"])
def test_pytest_asyncio(tmp_path, conftest):
    """A test of pytest-asyncio, with a fixture that awaits before and after, runs on a virtual loop."""
    specs = pytest.importorskip("pytest_asyncio.plugin")
    if conftest is HOOK and not hasattr(specs, "PytestAsyncioSpecs"):
        pytest.skip("this pytest-asyncio has no hook for loop factories")
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_it.py").write_text(PYTEST_ASYNCIO)
    printed = run_python(
        "-W", "ignore", "-m", "pytest", "-q", "-p", "no:anyio", "-p", "no:cacheprovider", "test_it.py", cwd=tmp_path
    )
    assert "1 passed" in printed


ANYIO = """
import anyio
import pytest
from taskq_testing.loop import VirtualLoop

@pytest.fixture
def anyio_backend():
    return "asyncio", {"loop_factory": VirtualLoop}

@pytest.fixture
async def late(anyio_backend):
    await anyio.sleep(3600)
    yield anyio.current_time()
    await anyio.sleep(3600)

@pytest.mark.anyio
async def test_a_day(late):
    assert late == 3600
    send, receive = anyio.create_memory_object_stream(1)
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 86_400)
        group.start_soon(send.send, "x")
        assert await receive.receive() == "x"
    assert anyio.current_time() == 90_000
    with anyio.move_on_after(5) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    send.close()
    receive.close()
"""


def test_anyio(tmp_path):
    """A test of anyio's plugin, with streams, groups and cancel scopes, runs on a virtual loop."""
    pytest.importorskip("anyio")
    (tmp_path / "test_it.py").write_text(ANYIO)
    assert "1 passed" in run_python(
        "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider", "test_it.py", cwd=tmp_path
    )


def test_a_thread_of_anyio_is_refused_with_advice(tmp_path):
    """The loop does not schedule anyio's own worker threads; instead of hanging it names them and says what to use."""
    pytest.importorskip("anyio")
    code = """
import anyio, threading
from taskq_testing.loop import Deadlock, VirtualLoop
threading.excepthook = lambda error: None  # the thread's own refusal, if it comes to that

async def main():
    await anyio.to_thread.run_sync(len, "abc")

try:
    anyio.run(main, backend_options={"loop_factory": VirtualLoop})
except Deadlock as error:
    print(error)
"""
    printed = run_python("-c", code, cwd=ROOT)
    assert "other threads run (AnyIO worker thread)" in printed
    assert "asyncio.to_thread() or loop.run_in_executor()" in printed


def test_beside_uvloop():
    """With uvloop installed as the policy a virtual loop is what was asked for, and follows its own time (freezegun #529)."""
    pytest.importorskip("uvloop")
    code = """
import asyncio, uvloop, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from taskq_testing.clock import VirtualClock
from taskq_testing.loop import VirtualLoop
from taskq_testing.loop.wall import wall_clock

async def main():
    await asyncio.sleep(3600)
    return asyncio.get_running_loop().time(), await asyncio.to_thread(str, 7)

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
for tool in ("auto", "off"):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, wall_clock(VirtualClock(runner.get_loop()), tool):
        print(*runner.run(main()), end=" ")
print(type(asyncio.new_event_loop()).__module__)
"""
    assert run_python("-c", code, cwd=ROOT) == "3600.0 7 3600.0 7 uvloop\n"


CPYTHON = """
import asyncio, importlib, sys, unittest
from taskq_testing.loop import VirtualLoop

class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        made.append(VirtualLoop())
        return made[-1]

made = []
asyncio.set_event_loop_policy(Policy())
suite = unittest.TestSuite()
for name in sys.argv[1:]:
    module = importlib.import_module(f"test.test_asyncio.{name}")
    module.tearDownModule = lambda: None  # it would set the policy back
    suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(module))
result = unittest.TextTestRunner(stream=sys.stdout, verbosity=0).run(suite)
refused = [text for _, text in result.errors if "blocks the event loop, and moves no virtual time" in text]
print(len(made) > 100, result.testsRun > 200, len(result.failures), len(result.errors) - len(refused))
"""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="event loop policies are on their way out")
def test_cpythons_own_tests_pass():
    """What CPython asserts of task groups, queues, locks, timeouts, waits, runners, threads and async generators holds on a
    virtual loop; only tests that block the loop on purpose are refused.
    """
    modules = ["test_taskgroups", "test_queues", "test_locks", "test_timeouts", "test_runners", "test_threads", "test_pep492"]
    pytest.importorskip("test.test_asyncio.test_taskgroups")
    if sys.version_info >= (3, 12):
        modules += ["test_waitfor", "test_futures2"]
    printed = run_python("-W", "ignore", "-c", CPYTHON, *modules, cwd=ROOT)
    assert printed.splitlines()[-1] == "True True 0 0", printed


def test_the_policy_is_not_asked():
    """A virtual loop is made by its own name, whatever the policy would make, and is not left behind as the current one."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert isinstance(runner.get_loop(), VirtualLoop)
    with asyncio.Runner() as plain:
        assert type(plain.get_loop()) is not VirtualLoop
