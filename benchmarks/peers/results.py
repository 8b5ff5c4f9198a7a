"""What a run measured, and the arithmetic on it: medians, spreads, and ratios within one repetition. Pure, but for the file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Cell", "Figure", "Key", "Results", "figure", "quantile"]


@dataclass(frozen=True)
class Figure:
    """The median of several values, with the lowest and the highest of them."""

    median: float
    low: float
    high: float


def figure(values: Iterable[float]) -> Figure | None:
    """Return the figure of some values, None of none."""
    ordered = sorted(values)
    return Figure(statistics.median(ordered), ordered[0], ordered[-1]) if ordered else None


def quantile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of all do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a quantile of nothing was asked for; give at least one value")
    rank = -int(-len(ordered) * percent // 100)
    return ordered[max(0, rank - 1)]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One measurement of one peer in one repetition.

    Attributes:
        awake: whether the cores were kept awake meanwhile.
        values: what was measured, by name.
        busy: cores that others used meanwhile.
        error: why nothing was measured.
    """

    peer: str
    worker: str | None
    phase: str
    repetition: int
    awake: bool
    values: Mapping[str, float] = field(default_factory=dict)
    busy: float = 0.0
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Key:
    """One number of one peer: which is compared with the same number of another.

    Attributes:
        worker: None for what needs no worker, such as enqueueing.
    """

    peer: str
    worker: str | None
    phase: str
    name: str = "rate"


@dataclass(kw_only=True)
class Results:
    """All cells of a run, and what it ran on."""

    machine: dict[str, Any] = field(default_factory=dict)
    peers: dict[str, dict[str, Any]] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)

    def values(self, key: Key, *, awake: bool) -> dict[int, float]:
        """Return what was measured, by repetition."""
        return {
            cell.repetition: cell.values[key.name]
            for cell in self.cells
            if (cell.peer, cell.worker, cell.phase, cell.awake) == (key.peer, key.worker, key.phase, awake)
            and cell.values.get(key.name) is not None
        }

    def figure(self, key: Key, *, awake: bool) -> Figure | None:
        """Return the figure over the repetitions."""
        return figure(self.values(key, awake=awake).values())

    def ratio(self, key: Key, to: Key, *, awake: bool) -> Figure | None:
        """Return the figure of the ratios, each within one repetition; those that only one side has do not count."""
        ours, theirs = self.values(key, awake=awake), self.values(to, awake=awake)
        return figure(ours[repetition] / theirs[repetition] for repetition in ours.keys() & theirs.keys())

    def fastest(self, keys: Iterable[Key], *, awake: bool) -> Key | None:
        """Return the key with the highest median, None if none was measured."""
        known = {key: found.median for key in keys if (found := self.figure(key, awake=awake)) is not None}
        return max(known, key=known.__getitem__) if known else None

    def conditions(self) -> list[bool]:
        """Return the states of the machine in which something was measured, the idle one first."""
        return sorted({cell.awake for cell in self.cells})

    def save(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` wrote."""
        data = json.loads(path.read_text())
        return cls(machine=data["machine"], peers=data["peers"], cells=[Cell(**cell) for cell in data["cells"]])
