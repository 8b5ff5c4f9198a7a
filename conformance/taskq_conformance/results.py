"""What came of a run: values, and how they are written as JSON; `SCHEMA` is the version of that form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["SCHEMA", "Environment", "Missing", "Result", "Run", "Status", "Suspicion", "Target", "read", "suspicions", "written"]

SCHEMA = 1

Status = Literal["passed", "failed", "not run", "expected failure"]
"""`failed` includes one that was expected to fail and did not; `not run` has a reason, always."""


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of one scenario on one target.

    Attributes:
        scenario: its name.
        guarantee: what it tries.
        target: the profile's name.
        status: what came of it.
        reason: one sentence, for everything but `passed`.
        error: the traceback of a failure.
        seconds: how long it took, in real time.
        virtual: how long it took in virtual time; None in real time.
        seed: of the order of things, where it was drawn; 0 is the order that asyncio promises.
        lacks: the capability that it needs and that is not claimed.
        probe: what came of it when it was tried nevertheless.
    """

    scenario: str
    guarantee: str
    target: str
    status: Status
    reason: str = ""
    error: str = ""
    seconds: float = 0.0
    virtual: float | None = None
    seed: int = 0
    lacks: str = ""
    probe: Literal["", "passed", "failed"] = ""


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """A capability that is not claimed and seems to be there: an under-claim.

    Attributes:
        need: its name in `capabilities.NEEDS`.
        text: what was seen.
    """

    need: str
    text: str


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One backend, and what came of it.

    Attributes:
        name: the profile's.
        about: one sentence.
        time: virtual or real.
        tick: seconds.
        capabilities: the claims, as text by name.
        versions: of what it is made of.
        results: one of each scenario and seed.
        underclaimed: what it does and does not claim.
        seconds: how long all took in real time.
    """

    name: str
    about: str = ""
    time: str = "virtual"
    tick: float = 1.0
    capabilities: dict[str, str] = msgspec.field(default_factory=dict)
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    results: tuple[Result, ...] = ()
    underclaimed: tuple[Suspicion, ...] = ()
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(result.status != "failed" for result in self.results)

    def tally(self) -> Counter[str]:
        """Return how many results have which status."""
        return Counter(result.status for result in self.results)


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A target that was asked for and cannot run here.

    Attributes:
        name: its name.
        reason: one sentence.
    """

    name: str
    reason: str


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run took place.

    Attributes:
        taskq: version of taskq.
        python: version and implementation of Python.
        platform: the operating system.
        at: when it began, in ISO format, UTC.
    """

    taskq: str = ""
    python: str = ""
    platform: str = ""
    at: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the suite.

    Attributes:
        schema: the version of this form.
        environment: where it took place.
        seeds: how many orders were drawn beside the promised one.
        targets: what came of each.
        missing: the targets that could not run.
    """

    schema: int = SCHEMA
    environment: Environment = Environment()
    seeds: int = 0
    targets: tuple[Target, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(target.ok for target in self.targets)


def written(run: Run, folder: Path) -> Path:
    """Write a run as `conformance.json` into a folder, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "conformance.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))
    return path


def read(path: Path) -> Run:
    """Read a run back.

    Raises:
        msgspec.ValidationError: the file is something else.
    """
    return msgspec.json.decode(path.read_bytes(), type=Run)


def suspicions(results: Iterable[Result]) -> tuple[Suspicion, ...]:
    """Return what seems to be there and is not claimed: all that was tried of it passed."""
    tried: dict[str, list[Result]] = {}
    for result in results:
        if result.probe:
            tried.setdefault(result.lacks, []).append(result)
    return tuple(
        Suspicion(need=need, text=f"{need} is not claimed, and {', '.join(each.scenario for each in found)} passed")
        for need, found in tried.items()
        if all(each.probe == "passed" for each in found)
    )
