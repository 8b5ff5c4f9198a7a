"""The wall clock follows virtual time, and nothing that measures real time is disturbed."""

import asyncio
import calendar
import datetime as dt
import re
import subprocess
import sys
import threading
import time
from datetime import date, datetime
from time import time as prebound_time

import pytest

from taskq_testing.clock import EPOCH, VirtualClock
from taskq_testing.loop import VirtualLoop, current_domain, wall
from taskq_testing.loop.wall import wall_clock

START = datetime(2026, 1, 1, tzinfo=dt.UTC)
tools = pytest.mark.parametrize("tool", ["time_machine", "freezegun"])


@pytest.fixture
def loop():
    """A loop that is closed afterwards."""
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def clock(loop):
    """The clock of one process on that loop."""
    return VirtualClock(loop, "worker")


@pytest.fixture(autouse=True)
def installed(request):
    """Leave out a tool that is not installed; and see that every test puts back what it changed."""
    if "tool" in request.fixturenames and request.getfixturevalue("tool") in ("time_machine", "freezegun"):
        pytest.importorskip(request.getfixturevalue("tool"))
    before = (time.time, time.monotonic, time.monotonic_ns, time.perf_counter, time.sleep, dt.datetime, threading._time)
    yield
    assert (time.time, time.monotonic, time.monotonic_ns, time.perf_counter, time.sleep, dt.datetime, threading._time) == before
    assert abs(time.time() - EPOCH) > 3600


def readings():
    """What the many ways to ask for the time say, as seconds since the epoch of virtual time."""
    return {
        "datetime.now": (datetime.now(dt.UTC) - START).total_seconds(),
        "datetime.now local": datetime.now().timestamp() - EPOCH,
        "time.time": time.time() - EPOCH,
        "prebound time": prebound_time() - EPOCH,
        "time.time_ns": time.time_ns() / 1e9 - EPOCH,
        "time.gmtime": calendar.timegm(time.gmtime()) - EPOCH,
    }


def assert_all(seconds):
    """Every way says `seconds`; whole seconds are exact."""
    found = readings()
    assert found == pytest.approx(dict.fromkeys(found, seconds), abs=1e-6)


@tools
def test_every_way_to_ask_follows(loop, clock, tool):
    """Names bound at import and names bound late all say virtual time, after each sleep and after each advance."""

    async def main():
        assert_all(0)
        await asyncio.sleep(7205)
        assert_all(7205)
        assert date.today() == date(2026, 1, 1)

    with wall_clock(clock, tool):
        loop.run_until_complete(main())
        loop.advance(dt.timedelta(days=3))
        assert_all(3 * 86_400 + 7205)
        assert date.today() == date(2026, 1, 4)


@tools
def test_time_is_asked_for_at_each_read(loop, clock, tool):
    """A jump of the clock is seen at once, though no timer ran; fractions of a second are kept."""
    with wall_clock(clock, tool):
        loop.advance(0.125)
        assert datetime.now(dt.UTC) == START + dt.timedelta(milliseconds=125)
        assert time.time() == clock.now()
        clock.jump(-60)
        assert datetime.now(dt.UTC) == START - dt.timedelta(seconds=60) + dt.timedelta(milliseconds=125)


@tools
def test_processes_with_skewed_clocks_see_their_own_time(loop, tool):
    """With a clock that tells processes apart, each handler is told the wrong time of its own process."""
    clocks = {name: VirtualClock(loop, name) for name in ("right", "fast", "slow")}
    clocks["fast"].skew, clocks["slow"].skew = 90.0, -90.0
    seen = {}

    class Routed:
        def now(self):
            domain = current_domain()
            return clocks[domain.name if domain else "right"].now()

    async def handler(name):
        await asyncio.sleep(10)
        seen[name] = (datetime.now(dt.UTC) - START).total_seconds()

    with wall_clock(Routed(), tool):
        tasks = [loop.domain(name).create_task(handler(name)) for name in clocks]
        loop.run_until_complete(asyncio.wait_for(_all(tasks), 60))
    assert seen == {"right": 10.0, "fast": 100.0, "slow": -80.0}


async def _all(tasks):
    return [await task for task in tasks]


@tools
def test_monotonic_time_follows_where_the_loop_rules(loop, clock, tool):
    """In coroutines and handlers `time.monotonic` is the loop's and never goes back; elsewhere it is real."""
    threads = clock.threads(loop, "handlers")
    log, elsewhere = [], []

    def handler():
        assert_all(5)
        time.sleep(30)
        assert_all(35)
        log.append((time.monotonic(), time.monotonic_ns()))

    async def main():
        await asyncio.sleep(5)
        log.append((time.monotonic(), time.monotonic_ns()))
        assert await threads.submit(handler) is None
        clock.jump(-1000)
        log.append((time.monotonic(), time.monotonic_ns()))
        thread = threading.Thread(target=lambda: elsewhere.append(time.monotonic()))
        thread.start()
        thread.join()

    real = time.monotonic()
    with wall_clock(clock, tool):
        loop.run_until_complete(main())
        elsewhere.append(time.monotonic())
    assert log == [(5.0, 5_000_000_000), (35.0, 35_000_000_000), (35.0, 35_000_000_000)]
    assert all(real <= reading < real + 60 for reading in elsewhere)


@tools
def test_sleeps_do_not_hang(loop, clock, tool):
    """Time that is held does not hold `asyncio.sleep` (freezegun #290, #383, #437, #563; time-machine #387): not here, and not
    on a real loop that runs inside the block.
    """
    with wall_clock(clock, tool):
        loop.run_until_complete(asyncio.wait_for(asyncio.sleep(3600), 7200))
        assert_all(3600)
        began = time.perf_counter()
        asyncio.run(asyncio.wait_for(asyncio.sleep(0.01), 600))
        assert 0.01 <= time.perf_counter() - began < 600
        assert_all(3600)


@tools
def test_what_waits_in_real_time_goes_on(clock, tool):
    """Conditions, events and subprocesses time out in real time while the wall clock is held."""
    with wall_clock(clock, tool):
        assert not threading.Event().wait(0.01)
        condition = threading.Condition()
        with condition:
            assert not condition.wait_for(lambda: False, timeout=0.01)
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run([sys.executable, "-c", "import time; time.sleep(30)"], timeout=0.05, check=False)


@tools
def test_blocks_nest(loop, clock, tool):
    """The innermost clock counts, and the outer one again after it."""
    other = VirtualClock(loop, epoch=EPOCH + 1000)
    with wall_clock(clock, tool):
        loop.advance(1)
        with wall_clock(other, tool):
            assert_all(1001)
            with wall_clock(clock, "off"):
                assert_all(1001)
        assert_all(1)


def test_the_best_tool_that_is_there_is_taken(clock, monkeypatch):
    """Left to itself it prefers time-machine, then freezegun, then nothing; "off" leaves the real time."""
    used = []
    for name in ("time_machine", "freezegun"):
        real = wall._TOOLS[name]
        monkeypatch.setitem(wall._TOOLS, name, lambda ask, name=name, real=real: used.append(name) or real(ask))
    missing = set()
    monkeypatch.setattr(wall, "_installed", lambda name: name not in missing)
    for gone in ((), ("time_machine",), ("freezegun",)):
        missing.update(gone)
        with wall_clock(clock):
            assert (abs(time.time() - EPOCH) < 1) == (len(missing) < 2)
    assert used == ["time_machine", "freezegun"]
    with wall_clock(clock, "off"):
        assert abs(time.time() - EPOCH) > 3600


def test_wrong_tools_are_refused(clock, monkeypatch):
    """An unknown tool, and one that is not installed, are errors at once."""
    with (
        pytest.raises(ValueError, match="tool='sundial' is unknown; use one of auto, off, time_machine, freezegun"),
        wall_clock(clock, "sundial"),
    ):
        pass
    assert wall._installed("taskq")
    assert not wall._installed("taskq_no_such_module")
    monkeypatch.setitem(sys.modules, "time_machine", None)
    with pytest.raises(ImportError), wall_clock(clock, "time_machine"):
        pass


MEASURED = """
import pytest, time
from taskq_testing.clock import VirtualClock
from taskq_testing.loop import VirtualLoop
from taskq_testing.loop.wall import wall_clock

@pytest.fixture
def virtual():
    loop = VirtualLoop()
    with wall_clock(VirtualClock(loop), "{tool}"):
        yield loop
    loop.close()

def test_a_long_time(virtual):
    virtual.advance(86_400 * 365)
    assert time.gmtime().tm_year == 2027
"""


@tools
@pytest.mark.slow
def test_pytest_measures_real_durations(tmp_path, tool):
    """A fixture that holds the clock over a whole test leaves pytest's durations and its timeouts alone (pytest #7764)."""
    (tmp_path / "test_it.py").write_text(MEASURED.format(tool=tool))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-vv",
        "--durations=0",
        "-p",
        "no:cacheprovider",
        "--junitxml=out.xml",
        "test_it.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    seconds = [float(found) for found in re.findall(r"^([\d.]+)s (?:setup|call|teardown) ", done.stdout, re.MULTILINE)]
    assert len(seconds) == 3
    assert all(0 <= value < 30 for value in seconds)
    assert 'time="' in (tmp_path / "out.xml").read_text()
    assert float((tmp_path / "out.xml").read_text().split('test_a_long_time" time="')[1].split('"')[0]) < 30
