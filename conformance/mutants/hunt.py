"""One mutant against the suite: which scenarios kill it, and how soon.

Scenarios of the guarantee that it breaks come first, then those of the same group, then the others. A scenario counts only if
it passes without any mutant.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from conformance.mutants.mutant import Mutant
from taskq_conformance.contract import GUARANTEES
from taskq_conformance.profile import Profile
from taskq_conformance.run import run_virtual, why_not
from taskq_conformance.scenario import Scenario, all_scenarios

__all__ = ["Verdict", "hunt", "in_order", "profile_of", "suite", "unsound"]

_SPIN = 20.0
"""Seconds of computing after which a scenario counts as hung: a bug may be an endless loop, which virtual time does not end."""

_WAIT = 90.0
"""Seconds by the wall after which it does: a bug may be a lock that is never freed."""


_ENOUGH = 20.0
"""Seconds after which a mutant that is dead meets no other scenario."""


class Hung(Exception):  # noqa: N818 - what it says of a scenario
    """A scenario does not come to an end."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of one mutant.

    Attributes:
        mutant: its name.
        killers: the scenarios that failed, in the order in which they were run.
        reason: what the first of them said.
        tried: how many were run until then; of a survivor, in all.
        seconds: how long that took.
        ran: the scenarios that were run.
    """

    mutant: str
    killers: tuple[str, ...]
    reason: str
    tried: int
    seconds: float
    ran: tuple[str, ...]

    @property
    def killed(self) -> bool:
        """Whether any scenario failed."""
        return bool(self.killers)


@functools.cache
def profile_of(target: str) -> Profile:
    """Return one of our profiles in virtual time."""
    profile: Profile = getattr(importlib.import_module(f"taskq_conformance.targets.{target}"), target)
    return profile


@functools.cache
def suite() -> tuple[Scenario, ...]:
    """Return all scenarios, as they were when this process began."""
    return all_scenarios()


def in_order(mutant: Mutant, scenarios: Iterable[Scenario]) -> list[Scenario]:
    """Return scenarios with those first that are likely to kill a mutant."""
    group = GUARANTEES[mutant.guarantee].group
    return sorted(scenarios, key=lambda each: (each.guarantee != mutant.guarantee, GUARANTEES[each.guarantee].group != group))


def hunt(mutant: Mutant, *, beyond: Iterable[str] = ()) -> Verdict:
    """Run the suite against a mutant until one scenario kills it.

    Args:
        mutant: the mutant.
        beyond: names of scenarios that are run all the same when it is dead already, to see whether they would have killed it.
    """
    profile, more = profile_of(mutant.target), set(beyond)
    chosen = [each for each in in_order(mutant, suite()) if why_not(profile, each) is None]
    killers: list[str] = []
    ran: list[str] = []
    reason, tried, seconds, began = "", 0, 0.0, time.perf_counter()
    for scenario in chosen:
        if killers and (scenario.name not in more or time.perf_counter() - began > _ENOUGH):
            continue
        with mutant.alive():
            failed, told = _fails(profile, scenario)
        if failed and unsound(mutant.target, scenario):
            continue
        ran.append(scenario.name)
        if failed and not killers:
            reason, tried, seconds = told, len(ran), time.perf_counter() - began
        if failed:
            killers.append(scenario.name)
        if failed and told.startswith(Hung.__name__):
            break  # the others may hang as well, and each would take as long
    if not killers:
        tried, seconds = len(ran), time.perf_counter() - began
    return Verdict(mutant=mutant.name, killers=tuple(killers), reason=reason, tried=tried, seconds=seconds, ran=tuple(ran))


@functools.cache
def unsound(target: str, scenario: Scenario) -> str:
    """Return why a scenario does not pass without any mutant, so that it says nothing of one; empty if it passes."""
    failed, reason = _fails(profile_of(target), scenario)
    return (reason or "it fails") if failed else ""


def _fails(profile: Profile, scenario: Scenario) -> tuple[bool, str]:
    """Run a scenario; return whether it failed, and what it said."""
    hung: list[str] = []
    try:
        with _silence(), _watched(hung):
            result = run_virtual(profile, scenario)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a bug may break anything
        return True, hung[0] if hung else f"{type(error).__name__}: {error}"
    return bool(hung) or result.status == "failed", hung[0] if hung else result.reason


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the warnings to oneself that bugs bring about by the thousand."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _watched(hung: list[str]) -> Iterator[None]:
    """End what hangs, and note it, whoever catches the end; in the main thread alone, for only there a signal is heard."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        hung.append(f"{Hung.__name__}: the scenario does not come to an end")
        raise Hung

    before = [(number, signal.signal(number, ring)) for number in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, _SPIN, 1.0)
    signal.setitimer(signal.ITIMER_REAL, _WAIT, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, handler)
