"""Points that code under test reaches and a test waits for, instead of sleeping.

```python
signal = Signal()
# in the handler:  signal.reached("sent", address)
# in the test:     assert signal.wait("sent") == "ada@example.org"
```

Any thread and any event loop may reach a point or wait for one. A wait in a thread lasts real seconds, whatever a test has
done to the clock; one in a coroutine lasts seconds of its loop; one of a signal that a harness made lasts virtual seconds,
in which the harness runs the workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

__all__ = ["NotReached", "Signal"]

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine and returns its result."""

_TIMEOUT = 10.0


class NotReached(AssertionError):  # noqa: N818 - the name is public API
    """A point was not reached in time; the text says which ones were."""


class Signal:
    """Remembers each point that was reached, how often and with which values.

    Args:
        run: runs `wait_async` where `wait` is called; None means that other threads do what is waited for.
    """

    def __init__(self, run: Run | None = None) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._values: dict[str, list[Any]] = {}
        self._waiters: list[tuple[str, int, Callable[[], object]]] = []

    def reached(self, point: str, value: Any = None) -> None:
        """Say that `point` is reached, with a value for whoever waits."""
        with self._lock:
            self._values.setdefault(point, []).append(value)
            count = len(self._values[point])
            woken = [wake for name, n, wake in self._waiters if name == point and count >= n]
        for wake in woken:
            wake()

    def values(self, point: str) -> list[Any]:
        """Return the values that a point was reached with so far, in order."""
        with self._lock:
            return list(self._values.get(point, ()))

    def wait(self, point: str, *, count: int = 1, timeout: float = _TIMEOUT) -> Any:
        """Wait until `point` was reached `count` times in all and return the value of that time.

        Args:
            point: its name.
            count: which time, from 1; times before the wait count.
            timeout: seconds, real or virtual (see the module).

        Raises:
            NotReached: it was not, within `timeout`.
        """
        if self._run is not None:
            return self._run(self.wait_async(point, count=count, timeout=timeout))
        arrived = threading.Event()
        with self._waiting(point, count, arrived.set):
            arrived.wait(timeout)
        return self._value(point, count, timeout)

    async def wait_async(self, point: str, *, count: int = 1, timeout: float = _TIMEOUT) -> Any:
        """Do what `wait` does, from a coroutine; the seconds are those of its loop."""
        loop = asyncio.get_running_loop()
        arrived = loop.create_future()

        def wake() -> None:
            if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the documented form raises where no loop runs
                _resolve(arrived)
            else:
                loop.call_soon_threadsafe(_resolve, arrived)

        with self._waiting(point, count, wake), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await arrived
        return self._value(point, count, timeout)

    @contextlib.contextmanager
    def _waiting(self, point: str, count: int, wake: Callable[[], object]) -> Iterator[None]:
        waiter = (point, count, wake)
        with self._lock:
            self._waiters.append(waiter)
            is_reached = len(self._values.get(point, ())) >= count
        if is_reached:
            wake()
        try:
            yield
        finally:
            with self._lock:
                self._waiters.remove(waiter)

    def _value(self, point: str, count: int, timeout: float) -> Any:
        with self._lock:
            values = self._values.get(point, [])
            if len(values) >= count:
                return values[count - 1]
            others = ", ".join(f"{name!r} ({len(values)})" for name, values in self._values.items()) or "none"
        raise NotReached(f"point {point!r} was not reached {_times(count)} within {timeout:g} s; reached were: {others}")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
