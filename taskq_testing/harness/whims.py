"""What could have gone otherwise in a test: draws that are boring unless somebody asks what would have been."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from taskq_testing.debug.debugger import NotingTape
from taskq_testing.faults import Fault
from taskq_testing.tape import Draw

__all__ = ["WHIMS", "WhatIf", "Whims"]

WHIMS: Mapping[str, tuple[str, ...]] = {
    "handler": ("handler_error", "slow_handler"),
    "delivery": ("duplicate", "reorder", "corrupt"),
}
"""What may happen, by place: a handler raises `WhatIf`, or takes a minute longer; a message comes twice, after the next one, or
with half of its body.
"""

_LONGER = 60.0


class WhatIf(Exception):  # noqa: N818 - it is no error of the program under test
    """Raised in a handler because somebody asked what would be if it failed."""


class Whims:
    """Draws at each place of `WHIMS` what happens there.

    Args:
        entries: what is not boring.

    Attributes:
        tape: where it draws.
        fired: how often each thing happened.
    """

    def __init__(self, entries: Mapping[Draw, int]) -> None:
        self.tape = NotingTape(0, entries, names=lambda label: ("nothing", *WHIMS[label]))
        self.fired: Counter[str] = Counter()

    def at(self, place: str, key: str) -> Fault | None:
        """Return what happens at a place now, or None."""
        names = WHIMS[place]
        value = self.tape.draw(place, 1 + len(names), key)
        return Fault(names[value - 1], _LONGER, 0) if value else None
