"""What the command line of pytest says about simulations. Values only; the plugin sets them, whoever simulates reads them.

```python
from taskq_testing import settings

seed = settings.current.seed
```
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings", "current", "use"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of one pytest run; each is None or False where it was not given.

    Attributes:
        seed: the only seed to run (`--taskq-seed`).
        seeds: how many seeds to run, instead of what the test says (`--taskq-seeds`).
        strategy: how to explore, instead of what the test says (`--taskq-strategy`).
        write_regression: whether a failure is written as a pytest function (`--taskq-write-regression`).
        replay: the file of the tape to replay (`--taskq-replay`).
        debug: whether a failure opens the debugger that goes back in time (`--taskq-debug`).
        timeline: the folder for a timeline of each failure (`--taskq-timeline`).
    """

    seed: int | None = None
    seeds: int | None = None
    strategy: str | None = None
    write_regression: bool = False
    replay: Path | None = None
    debug: bool = False
    timeline: Path | None = None


current = Settings()
"""The settings of this process. Read it as `settings.current`: it is replaced as a whole."""


def use(settings: Settings) -> Settings:
    """Make these the settings of this process and return the ones before."""
    global current
    before, current = current, settings
    return before
