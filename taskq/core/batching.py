"""When a batch closes: by count, by bytes or by age. One small state value; `now` comes from the caller."""

from __future__ import annotations

from typing import Generic, TypeVar

from taskq.options import Batch

__all__ = ["Accumulator"]

T = TypeVar("T")


class Accumulator(Generic[T]):
    """Collects items until a batch is full or old enough."""

    __slots__ = ("_bytes", "_items", "_limits", "deadline")

    def __init__(self, limits: Batch) -> None:
        self._limits = limits
        self._items: list[T] = []
        self._bytes = 0
        self.deadline: float | None = None
        """When the open batch is old enough, by the caller's clock; None if there is none."""

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T, size: int, now: float) -> list[list[T]]:
        """Add an item of `size` bytes and return the batches that this closes, in order.

        An item that would overflow the byte limit closes what was there first; one that alone exceeds it stands alone.
        """
        closed = []
        limit = self._limits.bytes
        if limit is not None and self._items and self._bytes + size > limit:
            closed.append(self.close())
        if not self._items:
            self.deadline = now + self._limits.age
        self._items.append(item)
        self._bytes += size
        if len(self._items) >= self._limits.size or (limit is not None and self._bytes >= limit):
            closed.append(self.close())
        return closed

    def due(self, now: float) -> list[T]:
        """Close the batch if it is old enough; an empty list if it is not."""
        return self.close() if self.deadline is not None and now >= self.deadline else []

    def close(self) -> list[T]:
        """Close the batch whatever it holds."""
        items, self._items, self._bytes, self.deadline = self._items, [], 0, None
        return items
