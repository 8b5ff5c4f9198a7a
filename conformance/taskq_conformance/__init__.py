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

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from taskq_conformance.suite import BackendSuite

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


_PLACES = {"BackendSuite": "suite", "Profile": "profile", "Unavailable": "profile", "of_url": "profile"}


def __getattr__(name: str) -> Any:
    """Import what is asked for: pytest loads this package with its plugin in every run, and mostly needs nothing of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES.get(name, 'capabilities')}"), name)
