"""Running scenarios against a profile: each alone in virtual time, or all side by side in one loop of real time.

```python
target = run_profile(profile)
assert target.ok
```
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import platform
import random
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version

import msgspec

from taskq.errors import TaskqError
from taskq.options import QueueOptions
from taskq.runtime.clock import SystemClock
from taskq_conformance.bench import Bench
from taskq_conformance.capabilities import UNPROBED
from taskq_conformance.check import Broken
from taskq_conformance.listening import Breach, listening
from taskq_conformance.profile import Connect, Profile, Unavailable
from taskq_conformance.results import Environment, Result, Target, suspicions
from taskq_conformance.scenario import Scenario, all_scenarios
from taskq_testing.clock import VirtualClock
from taskq_testing.explore.strategies import Uniform
from taskq_testing.loop import VirtualLoop
from taskq_testing.loop.virtual import DELAYS
from taskq_testing.tape import Tape

__all__ = ["described", "environment", "play", "run_profile", "run_real", "run_virtual", "why_not"]

Told = Callable[[Result], object]

_TENTH = DELAYS.index(100_000_000)


def run_profile(
    profile: Profile, scenarios: Iterable[Scenario] | None = None, *, seeds: int = 0, told: Told | None = None
) -> Target:
    """Run scenarios against a profile and return what came of it.

    Args:
        profile: the backend's.
        scenarios: which; None means all.
        seeds: how many orders of things are drawn beside the promised one; in virtual time alone.
        told: is called with each result, as it comes.

    Raises:
        Unavailable: it cannot run here.
    """
    chosen = tuple(all_scenarios() if scenarios is None else scenarios)
    began = time.perf_counter()
    listen = told or _nobody
    if profile.time == "virtual":
        results = [
            _told(listen, run_virtual(profile, each, seed, probes=not seed)) for each in chosen for seed in range(seeds + 1)
        ]
    else:
        results = run_real(profile, chosen, listen, probes=True)
    return msgspec.structs.replace(
        described(profile),
        results=tuple(results),
        underclaimed=suspicions(results),
        seconds=time.perf_counter() - began,
    )


def described(profile: Profile) -> Target:
    """Return a target without results: what is known of a profile."""
    return Target(
        name=profile.name,
        about=profile.about,
        time=profile.time,
        tick=profile.tick,
        capabilities={name: _text(getattr(profile.capabilities, name)) for name in profile.capabilities.__struct_fields__},
        versions=dict(profile.versions()),
    )


def why_not(profile: Profile, scenario: Scenario) -> Result | None:
    """Return the result of a scenario that is not run against a profile, or None if it is."""
    lacking = {need: reason for need in scenario.needs if (reason := profile.capabilities.lacks(need)) is not None}
    if lacking:
        reason = f"not run: capability not claimed: {'; '.join(lacking.values())}"
        return _result(profile, scenario, status="not run", reason=reason, lacks=" ".join(lacking))
    if scenario.long and profile.time == "real":
        reason = "not run: it takes too long in real time; it is run in virtual time"
        return _result(profile, scenario, status="not run", reason=reason)
    return None


def _worth_a_probe(profile: Profile, result: Result, scenario: Scenario) -> bool:
    """Return whether to try what is not claimed: where one claim alone is in question, and it does not take too long."""
    return (
        bool(result.lacks)
        and " " not in result.lacks
        and result.lacks not in UNPROBED
        and not (scenario.long and profile.time == "real")
    )


# -- virtual time


def run_virtual(profile: Profile, scenario: Scenario, seed: int = 0, *, probes: bool = False) -> Result:
    """Run one scenario in a virtual time of its own.

    Args:
        profile: the backend's.
        scenario: what is tried.
        seed: of the order of things; 0 is the order that asyncio promises.
        probes: whether what is not claimed is tried nevertheless, to see whether it is there.

    Raises:
        Unavailable: it cannot run here.
    """
    began = time.perf_counter()
    not_run = why_not(profile, scenario)
    if not_run is not None and not (probes and _worth_a_probe(profile, not_run, scenario)):
        return msgspec.structs.replace(not_run, seed=seed)
    error, virtual = _run_alone(profile, scenario, seed)
    result = not_run if not_run is not None else _judged(profile, scenario, error)
    if not_run is not None:
        result = msgspec.structs.replace(result, probe="passed" if error is None else "failed")
    return msgspec.structs.replace(result, seconds=time.perf_counter() - began, virtual=virtual, seed=seed)


def _run_alone(profile: Profile, scenario: Scenario, seed: int) -> tuple[Exception | None, float]:
    loop = _loop(seed)
    try:
        with profile.opened(VirtualClock(loop, "service", seed=seed)) as connect:
            error = _finished(profile, scenario, connect, loop, seed)
            verdict = getattr(connect, "verdict", None)  # a service that knows more of what happened
            error = verdict(error) if verdict is not None else error
    except Unavailable:
        raise
    except Exception as raised:  # noqa: BLE001 - a deadlock, or a service that broke
        error = raised
    finally:
        with contextlib.suppress(Exception):  # what is left over was judged already
            loop.close()
    return error, loop.time()


def _finished(profile: Profile, scenario: Scenario, connect: Connect, loop: VirtualLoop, seed: int) -> Exception | None:
    try:
        error = loop.run_until_complete(_played(profile, scenario, connect, loop, seed))
    except Exception as raised:  # noqa: BLE001 - a deadlock, for instance
        return raised
    return error or _unhandled(loop)


def _loop(seed: int) -> VirtualLoop:
    return VirtualLoop(Tape(seed, _Responsive())) if seed else VirtualLoop()


class _Responsive:
    """Draws alike, but no call in a thread takes longer than a tenth of a second: a service may be slow, and not dead."""

    def draw(self, label: str, key: str, n: int, likely: float, rng: random.Random) -> int:
        drawn = Uniform().draw(label, key, n, likely, rng)
        return min(drawn, _TENTH) if label == "executor" else drawn


async def _played(profile: Profile, scenario: Scenario, connect: Connect, loop: VirtualLoop, seed: int) -> Exception | None:
    bench = Bench(profile, connect, lambda name: VirtualClock(loop, name, seed=seed), "q")
    bench.strict = "states" in scenario.needs
    return await play(bench, scenario)


def _unhandled(loop: VirtualLoop) -> Exception | None:
    for context in loop.unhandled:
        error = context.get("exception")
        return Broken(f"nothing fails unheard: {context.get('message')}: {error!r}")
    return None


# -- real time


def run_real(profile: Profile, scenarios: Sequence[Scenario], told: Told | None = None, *, probes: bool = False) -> list[Result]:
    """Run scenarios side by side on one loop, each on queues of its own; the results are in the order of the scenarios.

    Args:
        profile: the backend's.
        scenarios: which.
        told: is called with each result, as it comes.
        probes: whether what is not claimed is tried nevertheless, to see whether it is there.

    Raises:
        Unavailable: the service cannot run here.
    """
    listen = told or _nobody
    clock = SystemClock()
    with profile.opened(clock) as connect, listening(connect) as heard:
        crowd = _Crowd(profile, heard, listen, probes=probes)
        results = asyncio.run(crowd.run(scenarios))
        return crowd.judged(results, heard.breaches(fenced=profile.capabilities.lacks("fencing") is None))


class _Crowd:
    """Scenarios that run side by side."""

    def __init__(self, profile: Profile, connect: Connect, told: Told, *, probes: bool) -> None:
        self._profile = profile
        self._connect = connect
        self._told = told
        self._probes = probes
        self._places = asyncio.Semaphore(profile.width)
        self._token = SystemClock().new_id().decode()[:8]

    async def run(self, scenarios: Sequence[Scenario]) -> list[Result]:
        """Run all, and return their results in their order.

        Raises:
            Unavailable: the service does not answer.
        """
        await self._knock()
        return list(await asyncio.gather(*(self._one(number, each) for number, each in enumerate(scenarios))))

    def judged(self, results: list[Result], breaches: Sequence[Breach]) -> list[Result]:
        """Return the results with what was wrong on the queues of each scenario that had passed."""
        found = list(results)
        for queue, sentence in breaches:
            number = int(queue.split("-")[1])  # as `_one` names them
            if found[number].status == "passed":
                reason = f"the history has a breach: {sentence}"
                found[number] = _told(self._told, msgspec.structs.replace(found[number], status="failed", reason=reason))
        return found

    async def _knock(self) -> None:
        """Ask for something before all the scenarios do."""
        broker = self._connect(SystemClock())
        try:
            await broker.queue(f"c{self._token}-knock", QueueOptions(send_timeout=0.0)).size()
        except TaskqError as error:
            raise Unavailable(str(error)) from None
        finally:
            await broker.aclose()

    async def _one(self, number: int, scenario: Scenario) -> Result:
        profile = self._profile
        result = why_not(profile, scenario)
        if result is not None and not (self._probes and _worth_a_probe(profile, result, scenario)):
            return _told(self._told, result)
        async with self._places:
            began = time.perf_counter()
            bench = Bench(profile, self._connect, lambda _: SystemClock(), f"c{self._token}-{number}")
            bench.strict = "states" in scenario.needs
            error = await play(bench, scenario)
        if result is None:
            result = _judged(profile, scenario, error)
        else:
            result = msgspec.structs.replace(result, probe="passed" if error is None else "failed")
        return _told(self._told, msgspec.structs.replace(result, seconds=time.perf_counter() - began))


# -- both


async def play(bench: Bench, scenario: Scenario) -> Exception | None:
    """Play a scenario and return what it raised."""
    try:
        await bench.play(scenario.body)
    except TimeoutError as error:
        return Broken(f"the scenario comes to an end: it hangs ({error})") if not str(error) else error
    except Exception as error:  # noqa: BLE001 - whatever it raises is what came of it
        return error
    return None


def _judged(profile: Profile, scenario: Scenario, error: Exception | None) -> Result:
    expected = profile.expected.get(scenario.name)
    if error is None and expected is None:
        return _result(profile, scenario, status="passed")
    if error is None:
        return _result(
            profile, scenario, status="failed", reason=f"it was expected to fail and did not; strike it out: {expected}"
        )
    told = f"{error}" if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    if expected is not None:
        return _result(profile, scenario, status="expected failure", reason=f"{expected} ({told})", error=trace)
    return _result(profile, scenario, status="failed", reason=told, error=trace)


def _result(profile: Profile, scenario: Scenario, **fields: object) -> Result:
    return msgspec.convert({"scenario": scenario.name, "guarantee": scenario.guarantee, "target": profile.name, **fields}, Result)


def _told(listen: Told, result: Result) -> Result:
    listen(result)
    return result


def _nobody(result: Result) -> None:
    """Listen to nothing."""


def _text(claim: object) -> str:
    value = getattr(claim, "value", None)
    if isinstance(value, str):
        return value
    return f"{type(claim).__name__}({value:g})" if isinstance(value, float | int) else repr(claim).replace("reason=", "")


def environment() -> Environment:
    """Return what is known of this place."""
    try:
        ours = version("taskq")
    except PackageNotFoundError:
        ours = "unknown"
    return Environment(
        taskq=ours,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=f"{platform.system()} {platform.machine()}",
        at=dt.datetime.fromtimestamp(SystemClock().now(), dt.UTC).isoformat(timespec="seconds"),
    )
