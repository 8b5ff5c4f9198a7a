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
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version

import msgspec

from taskq.runtime.clock import SystemClock
from taskq_conformance.bench import Bench
from taskq_conformance.check import Broken
from taskq_conformance.profile import Connect, Profile
from taskq_conformance.results import Environment, Result, Target
from taskq_conformance.scenario import Scenario, all_scenarios
from taskq_testing.clock import VirtualClock
from taskq_testing.loop import VirtualLoop

__all__ = ["environment", "play", "run_profile", "run_real", "run_virtual", "why_not"]

Told = Callable[[Result], object]


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
        results = [_told(listen, run_virtual(profile, each, seed)) for each in chosen for seed in range(seeds + 1)]
    else:
        results = run_real(profile, chosen, listen)
    return Target(
        name=profile.name,
        about=profile.about,
        time=profile.time,
        tick=profile.tick,
        capabilities=described(profile),
        versions=dict(profile.versions()),
        results=tuple(results),
        seconds=time.perf_counter() - began,
    )


def why_not(profile: Profile, scenario: Scenario) -> str | None:
    """Return why a scenario is not run against a profile, or None if it is."""
    for need in scenario.needs:
        lacking = profile.capabilities.lacks(need)
        if lacking is not None:
            return f"not run: capability not claimed: {lacking}"
    if scenario.long and profile.time == "real":
        return "not run: it takes too long in real time; it is run in virtual time"
    return None


# -- virtual time


def run_virtual(profile: Profile, scenario: Scenario, seed: int = 0) -> Result:
    """Run one scenario in a virtual time of its own."""
    reason = why_not(profile, scenario)
    if reason is not None:
        return _result(profile, scenario, status="not run", reason=reason, seed=seed)
    began = time.perf_counter()
    loop = _loop(seed)
    try:
        with profile.opened(VirtualClock(loop, "service", seed=seed)) as connect:
            error = loop.run_until_complete(_played(profile, scenario, connect, loop, seed))
        error = error or _unhandled(loop)
    except Exception as raised:  # noqa: BLE001 - a deadlock, or a service that broke
        error = raised
    virtual = loop.time()
    with contextlib.suppress(Exception):  # what is left over was judged already
        loop.close()
    result = _judged(profile, scenario, error)
    return msgspec.structs.replace(result, seconds=time.perf_counter() - began, virtual=virtual, seed=seed)


def _loop(seed: int) -> VirtualLoop:
    if not seed:
        return VirtualLoop()
    from taskq_testing.explore.strategies import Uniform  # noqa: PLC0415 - where seeds are asked for
    from taskq_testing.tape import Tape  # noqa: PLC0415 - the same

    return VirtualLoop(Tape(seed, Uniform().for_run(seed)))


async def _played(profile: Profile, scenario: Scenario, connect: Connect, loop: VirtualLoop, seed: int) -> Exception | None:
    bench = Bench(profile, connect, lambda name: VirtualClock(loop, name, seed=seed), "q")
    return await play(bench, scenario)


def _unhandled(loop: VirtualLoop) -> Exception | None:
    for context in loop.unhandled:
        error = context.get("exception")
        return Broken(f"nothing fails unheard: {context.get('message')}: {error!r}")
    return None


# -- real time


def run_real(profile: Profile, scenarios: Sequence[Scenario], told: Told | None = None) -> list[Result]:
    """Run scenarios side by side on one loop, each on queues of its own; the results are in the order of the scenarios.

    Raises:
        Unavailable: the service cannot run here.
    """
    listen = told or _nobody
    clock = SystemClock()
    with profile.opened(clock) as connect:
        return asyncio.run(_side_by_side(profile, scenarios, connect, listen))


async def _side_by_side(profile: Profile, scenarios: Sequence[Scenario], connect: Connect, told: Told) -> list[Result]:
    places = asyncio.Semaphore(profile.width)
    token = SystemClock().new_id().decode()[:8]

    async def one(number: int, scenario: Scenario) -> Result:
        reason = why_not(profile, scenario)
        if reason is not None:
            return _told(told, _result(profile, scenario, status="not run", reason=reason))
        async with places:
            began = time.perf_counter()
            bench = Bench(profile, connect, lambda _: SystemClock(), f"c{token}-{number}")
            result = _judged(profile, scenario, await play(bench, scenario))
            return _told(told, msgspec.structs.replace(result, seconds=time.perf_counter() - began))

    return list(await asyncio.gather(*(one(number, each) for number, each in enumerate(scenarios))))


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


def described(profile: Profile) -> dict[str, str]:
    """Return the claims of a profile as text."""
    return {name: _text(getattr(profile.capabilities, name)) for name in profile.capabilities.__struct_fields__}


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
