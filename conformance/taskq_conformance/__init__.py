"""The conformance suite: one set of scenarios that any backend, ours or a stranger's, can be held to.

```python
from taskq_conformance import BackendSuite, Capabilities, Profile


class TestMine(BackendSuite):
    profile = Profile(name="mine", broker=MyBroker, capabilities=Capabilities())
```

`contract` numbers the guarantees and `scenarios` try them, one file for each operation; `capabilities` and `profile` are what a
backend says of itself. `bench`, `place` and `gate` are what a scenario works with, `run` plays them, `results` are what came of
it. `suite` and `plugin` are for pytest and `command` for the command line; only those two import pytest or rich.
"""

from taskq_conformance.capabilities import (
    Capabilities,
    Counting,
    Max,
    Ordering,
    Purging,
    Supported,
    Unlimited,
    Unsupported,
    Window,
)
from taskq_conformance.profile import Profile, Unavailable, of_url

__all__ = [
    "BackendSuite",
    "Capabilities",
    "Counting",
    "Max",
    "Ordering",
    "Profile",
    "Purging",
    "Supported",
    "Unavailable",
    "Unlimited",
    "Unsupported",
    "Window",
    "of_url",
]


def __getattr__(name: str) -> object:
    """Import what needs pytest when it is asked for."""
    if name == "BackendSuite":
        from taskq_conformance.suite import BackendSuite  # noqa: PLC0415 - the only part that needs pytest

        return BackendSuite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
