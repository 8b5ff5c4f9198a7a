"""The scenarios and their register. A scenario is a coroutine function that is given a `Bench`; it returns, or raises what broke.

```python
@scenario("G12", needs=("order",))
async def messages_come_in_their_order(bench: Bench) -> None:
    \"\"\"One consumer sees messages in the order in which they were added.\"\"\"
```
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from taskq_conformance.capabilities import NEEDS
from taskq_conformance.contract import GUARANTEES

__all__ = ["Body", "Scenario", "all_scenarios", "scenario"]

Body = Callable[[Any], Awaitable[None]]
"""A function of a `Bench`."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One thing that is tried.

    Attributes:
        name: its module and its function, such as `dedup.a_name_is_accepted_once`.
        guarantee: the number of what it tries, such as `G12`.
        sentence: what it shows, the first paragraph of its docstring.
        needs: the capabilities without which it means nothing.
        long: whether it takes too long for real time.
        body: what is run.
    """

    name: str
    guarantee: str
    sentence: str
    needs: tuple[str, ...]
    long: bool
    body: Body

    @property
    def group(self) -> str:
        """The operation that it is about."""
        return self.name.partition(".")[0]


_registered: dict[str, Scenario] = {}


def scenario(guarantee: str, *, needs: Iterable[str] = (), long: bool = False) -> Callable[[Body], Body]:
    """Register a scenario; decorator.

    Args:
        guarantee: the number of the guarantee that it tries.
        needs: names from `capabilities.NEEDS`.
        long: whether it takes minutes or more, so that it is tried in virtual time alone.

    Raises:
        ValueError: the guarantee or a need is unknown, or the function has no docstring.
    """

    def register(body: Body) -> Body:
        function: str = body.__name__
        name = f"{body.__module__.rpartition('.')[2]}.{function}"
        sentence = " ".join((body.__doc__ or "").partition("\n\n")[0].split())
        wanted = (needs,) if isinstance(needs, str) else tuple(needs)
        if guarantee not in GUARANTEES or not sentence or set(wanted) - set(NEEDS):
            raise ValueError(f"scenario {name}: give a guarantee that there is, needs that there are, and a docstring")
        _registered[name] = Scenario(name=name, guarantee=guarantee, sentence=sentence, needs=wanted, long=long, body=body)
        return body

    return register


def all_scenarios() -> tuple[Scenario, ...]:
    """Return all scenarios of the suite, in the order of their files."""
    package = importlib.import_module("taskq_conformance.scenarios")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(sorted(_registered.values(), key=lambda each: each.group))
