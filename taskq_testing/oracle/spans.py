"""Stretches of time by owner, with the question whether any of them touches another stretch. No meaning is attached here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["Spans"]

_FOREVER = 1 << 62

Owner = TypeVar("Owner", bound=Hashable)


class Spans(Generic[Owner]):
    """For each owner its stretches, in the order in which they begin; both ends belong to them."""

    __slots__ = ("_begins", "_ends", "_open", "_reach")

    def __init__(self) -> None:
        self._begins: dict[Owner, list[int]] = {}
        self._ends: dict[Owner, list[int]] = {}
        self._reach: dict[Owner, list[int]] = {}  # the latest end so far, made when it is asked for
        self._open: dict[tuple[Owner, str], int] = {}

    def add(self, owner: Owner, begin: int, end: int) -> int:
        """Add a stretch and return its number among its owner's."""
        self._begins.setdefault(owner, []).append(begin)
        ends = self._ends.setdefault(owner, [])
        ends.append(end)
        self._reach.pop(owner, None)
        return len(ends) - 1

    def open(self, owner: Owner, what: str, begin: int) -> None:
        """Begin a stretch whose end is not known yet; one that is open already goes on."""
        if (owner, what) not in self._open:
            self._open[owner, what] = self.add(owner, begin, _FOREVER)

    def close(self, owner: Owner, what: str, end: int) -> None:
        """End an open stretch; nothing happens if there is none."""
        index = self._open.pop((owner, what), None)
        if index is not None:
            self._ends[owner][index] = end
            self._reach.pop(owner, None)

    def close_all(self, what: str, end: int) -> None:
        """End every open stretch of one kind."""
        for owner, kind in [key for key in self._open if key[1] == what]:
            self.close(owner, kind, end)

    def touches(self, owner: Owner, begin: int, end: int) -> bool:
        """Return whether a stretch of this owner has a moment of `begin` to `end`."""
        begins = self._begins.get(owner)
        if begins is None:
            return False
        reach = self._reach.get(owner)
        if reach is None:
            reach, latest = [], 0
            for until in self._ends[owner]:
                latest = max(latest, until)
                reach.append(latest)
            self._reach[owner] = reach
        count = bisect_right(begins, end)
        return count > 0 and reach[count - 1] >= begin

    def covers(self, owner: Owner, begin: int, end: int) -> bool:
        """Return whether one stretch of this owner holds all of `begin` to `end`."""
        return any(start <= begin and until >= end for start, until in self.of(owner))

    def of(self, owner: Owner) -> Iterator[tuple[int, int]]:
        """Return the stretches of one owner."""
        return zip(self._begins.get(owner, ()), self._ends.get(owner, ()), strict=True)

    def owners(self) -> Iterator[Owner]:
        """Return everybody who has one."""
        return iter(self._begins)
