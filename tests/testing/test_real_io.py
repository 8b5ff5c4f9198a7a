"""Real I/O is refused where it is asked for, with what to do instead."""

import asyncio
import inspect
import signal

import pytest

from taskq_testing.loop import RealIO, VirtualLoop
from taskq_testing.loop.real_io import NoRealIO

REFUSED = [name for name in vars(NoRealIO) if not name.startswith("_")]


@pytest.fixture
def loop():
    """A loop that is closed afterwards."""
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.mark.parametrize("name", REFUSED)
def test_a_call_that_does_io_is_refused_at_once(loop, name):
    """The call itself raises, before anything is awaited, and says its name and what to do."""
    with pytest.raises(
        RealIO, match=rf"^{name}\(\) is real I/O, which does not follow virtual time: .*run this test on a real loop"
    ):
        getattr(loop, name)(object(), wait=1)


def test_every_method_is_answered():
    """Each method of the interface is implemented or refused; none falls through to asyncio's NotImplementedError."""
    methods = {name for name, _ in inspect.getmembers(asyncio.AbstractEventLoop, inspect.isfunction) if not name.startswith("__")}
    methods -= {"_timer_handle_cancelled"}  # asyncio's own timers call it
    own = {name for kind in VirtualLoop.__mro__[:3] for name in vars(kind)}
    assert methods - own == set()
    assert len(REFUSED) > 25


def test_libraries_meet_the_refusal(loop):
    """Streams, servers, subprocesses, names and signals are refused through asyncio's own functions too."""

    async def main():
        calls = (
            lambda: asyncio.open_connection("localhost", 1),
            lambda: asyncio.start_server(print, "localhost", 0),
            lambda: asyncio.create_subprocess_exec("true"),
            lambda: asyncio.create_subprocess_shell("true"),
        )
        for call in calls:
            with pytest.raises(RealIO):
                await call()
        with pytest.raises(RealIO, match="call the function that the signal would call"):
            loop.add_signal_handler(signal.SIGTERM, print)

    loop.run_until_complete(main())
