"""A `Profile` says what the suite has to know of a backend: how to reach it, what it claims, and how its time passes.

```python
profile = Profile(name="mine", broker=MyBroker, capabilities=Capabilities(ordering=Ordering.NONE))
```
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from taskq.backends import connect
from taskq.backends.base import Broker, Clock
from taskq.errors import ConfigError
from taskq_conformance.capabilities import Capabilities

__all__ = ["Connect", "Profile", "Service", "Unavailable", "of_url"]

Connect = Callable[[Clock], Broker]
"""Makes the broker of one process, which goes by the clock that it is given."""

Service = Callable[[Clock], AbstractContextManager[Connect]]
"""Runs a service for the time of a `with` block and gives what connects a process to it.

It is given a clock of its own: of virtual time, where the profile says so, and new for each scenario; else the machine's, and
once for all of a run.
"""


class Unavailable(Exception):  # noqa: N818 - a state of the world, told as a reason
    """A target that cannot run here; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A backend to be judged.

    Attributes:
        name: what it is called in reports and on the command line.
        broker: makes the broker of one process. All of them have to reach the same messages.
        service: instead of `broker`, where something has to be started first, or where processes share something.
        capabilities: what it claims.
        time: "virtual" where nothing of it waits by anything but asyncio and its clock, else "real".
        tick: seconds of the unit in which scenarios count; at least the backend's resolution. Longer on a busy machine.
        late: seconds by which a message may come later than it is due, in the worst case that is no flaw.
        width: how many scenarios run side by side in real time.
        expected: the scenarios that are known to fail, and why. One that does not fail is a failure.
        about: one sentence for the report.
        versions: what else is of interest in a report, by name; asked once, when all has run.
        default: whether pytest runs it where no target is named.
        brief: the groups of scenarios that pytest runs then; empty for all. For what is slow and is run in full elsewhere.
    """

    name: str
    broker: Connect | None = None
    service: Service | None = None
    capabilities: Capabilities = field(default_factory=Capabilities)
    time: Literal["virtual", "real"] = "virtual"
    tick: float = 1.0
    late: float = 1e-3
    width: int = 24
    expected: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    versions: Callable[[], Mapping[str, str]] = dict
    default: bool = True
    brief: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.name or self.time not in ("virtual", "real") or not self.tick > 0 or not self.late >= 0:
            raise ConfigError(f"profile {self.name!r}: give a name, time='virtual' or 'real', a tick above 0 and late from 0")

    def opened(self, clock: Clock) -> AbstractContextManager[Connect]:
        """Run its service for the time of a `with` block.

        Raises:
            ConfigError: it has no broker and no service, or both.
            Unavailable: it cannot run here.
        """
        if (self.broker is None) == (self.service is None):
            raise ConfigError(f"profile {self.name!r} needs a broker or a service; give one of them")
        return self.service(clock) if self.service is not None else _nothing_started(self.broker)


@contextmanager
def _nothing_started(broker: Connect | None) -> Iterator[Connect]:
    assert broker is not None
    yield broker


def of_url(url: str, *, store: str | None = None) -> Connect:
    """Return what connects processes to the service at a URL of taskq's own.

    Args:
        url: as for `taskq.App`.
        store: the same.
    """
    return lambda clock: connect(url, clock, None, store)
