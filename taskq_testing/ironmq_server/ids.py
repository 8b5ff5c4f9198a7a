"""Ids of messages and reservations: by a seed, so that the same requests get the same ones."""

from __future__ import annotations

import random

__all__ = ["Ids"]


class Ids:
    """Makes ids.

    Args:
        seed: where they begin; None for somewhere else each time.
    """

    def __init__(self, seed: int | None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - ids, no secrets
        self._last = self._random.randrange(2 * 10**18, 8 * 10**18)

    def message(self) -> str:
        """Return 19 digits that no message of this server has."""
        self._last += 1 + self._random.getrandbits(20)
        return str(self._last)

    def reservation(self) -> str:
        """Return 32 hexadecimal digits."""
        return f"{self._random.getrandbits(128):032x}"
