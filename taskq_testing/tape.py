"""Every choice of a simulated run, as labelled draws on one tape. 0 is always the boring value.

A draw has a label (what is chosen) and a key (for which message, attempt or process), never a position: taking one draw
out of a tape leaves all others where they were, which is what makes shrinking and reading possible.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

__all__ = ["Draw", "Entries", "Quiet", "Strategy", "Tape"]

Draw = tuple[str, str, int]
"""Label, key, and which draw of that label and key it is, from 0."""

Entries = dict[Draw, int]


class Strategy(Protocol):
    """How a run explores: decides a draw. Strategies see labels and keys, and never what the program does.

    One that has to know which processes a choice of the schedule is among has a method `watch` as well; it is called with the
    tape, whose `ready` tells their names.
    """

    def draw(self, label: str, key: str, n: int, likely: float, rng: random.Random) -> int:
        """Return a number below `n`; `likely` is how often the program would have it other than 0 (a share, up to 1)."""


class Quiet:
    """The strategy that never does anything but the boring: what is left when a recorded tape is replayed."""

    def draw(self, label: str, key: str, n: int, likely: float, rng: random.Random) -> int:  # noqa: ARG002
        """Return 0."""
        return 0


class Tape:
    """Draws by a strategy, or as they were recorded; remembers each that was not boring.

    Args:
        seed: where randomness begins; each label has a stream of its own.
        strategy: decides what is not in `recorded`.
        recorded: draws to repeat; None means that everything is decided by the strategy.

    Attributes:
        entries: the draws that were not boring, in the order in which they were made.
        draws: how many draws there were.
        listener: told of each draw that is not boring: which, its value, and how many values it could have had.
        ready: the names of the processes that a choice of the schedule is among, the oldest first; set by the loop. Empty if the
            choice's key has them, joined by commas.
        position: how far the run is, in events of its history; set by who carries the run out, so that draws have a place in it.
    """

    def __init__(self, seed: int, strategy: Strategy, recorded: Mapping[Draw, int] | None = None) -> None:
        self.seed = seed
        self.strategy = strategy
        self.recorded = recorded
        self.entries: Entries = {}
        self.draws = 0
        self._streams: dict[str, random.Random] = {}
        self._counts: dict[tuple[str, str], int] = {}  # the number of the last draw of each label and key
        self.listener: Callable[[Draw, int, int], None] | None = None
        self.ready: Callable[[], Sequence[str]] = tuple
        self.position: Callable[[], int] = int
        watch = getattr(strategy, "watch", None)
        if watch is not None:
            watch(self)

    def draw(self, label: str, n: int, key: str = "", likely: float = 1.0) -> int:
        """Choose a number below `n`; 0 is the boring one, and `likely` the share of draws that should not be boring."""
        if n <= 1:
            return 0
        self.draws += 1
        counts, pair = self._counts, (label, key)
        counts[pair] = count = counts.get(pair, -1) + 1
        if self.recorded is None:
            value = self.strategy.draw(label, key, n, likely, self._streams.get(label) or self.stream(label))
        else:
            value = min(self.recorded.get((label, key, count), 0), n - 1)
        if value:
            self.entries[label, key, count] = value
            if self.listener is not None:
                self.listener((label, key, count), value, n)
        return value

    def pick(self, label: str, n: int, key: str = "") -> int:
        """Choose a number below `n`, each as likely as any other."""
        return self.draw(label, n, key, 1.0 - 1.0 / n)

    def drawn(self) -> dict[str, int]:
        """Return how many draws each label had."""
        drawn: dict[str, int] = {}
        for (label, _), count in self._counts.items():
            drawn[label] = drawn.get(label, 0) + count + 1
        return drawn

    def stream(self, label: str) -> random.Random:
        """Return the randomness of one label, independent of every other's."""
        stream = self._streams.get(label)
        if stream is None:
            stream = self._streams[label] = random.Random(f"{self.seed}:{label}")  # noqa: S311 - reproducible by intent
        return stream
