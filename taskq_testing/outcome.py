"""What came of one simulated run. Values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from taskq_testing.history import History
from taskq_testing.tape import Entries, Tape

__all__ = ["Outcome", "Run", "Violation"]


class Violation(msgspec.Struct, frozen=True):
    """One broken promise.

    Attributes:
        invariant: its number in the oracle's table.
        sentence: what happened, in one sentence with names and times.
        message: the message that it happened to; empty if to none in particular.
        events: `seq` of the events that show it, in order.
    """

    invariant: int
    sentence: str
    message: str = ""
    events: tuple[int, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One run, judged.

    Attributes:
        seed: of its tape.
        entries: the draws that were not boring; with them the run can be repeated whatever the seed.
        draws: how many draws there were in all.
        history: what happened.
        violations: what the oracle found.
        error: what the scenario raised (an assertion of the user's test, say), or None.
        trace: hash over message identities, states and outcomes; equal for equal runs.
        virtual: seconds of virtual time that passed.
        fired: how often each fault fired, and each `sometimes` mark was met.
        coverage: what was met: the state of a message, the fault that hit it there, and the phase of the run.
    """

    seed: int
    entries: Entries
    draws: int
    history: History
    violations: list[Violation]
    error: BaseException | None
    trace: str
    virtual: float
    fired: Mapping[str, int]
    coverage: frozenset[tuple[str, str, str]] = frozenset()

    @property
    def failed(self) -> bool:
        """Whether anything is wrong with it."""
        return bool(self.violations) or self.error is not None

    @property
    def signature(self) -> tuple[str, ...]:
        """What has to stay the same while a failure is made smaller: the type of the error, the invariants broken first."""
        if self.error is not None:
            return ("error", type(self.error).__name__)
        return ("invariant", str(self.violations[0].invariant)) if self.violations else ()


Run = Callable[[Tape], Outcome]
"""One scenario as a function from choices to what comes of them; calling it twice with equal tapes gives equal outcomes."""
