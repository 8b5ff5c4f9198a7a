"""Python's collector of cycles, held still: when it strikes by itself depends on all that was allocated before."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["held", "held_here"]

held_here = 0
"""How many blocks hold it still now; 0 while it is not held, or was switched off by somebody else."""


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold the collector still while the block runs; blocks may be nested. Long ones collect by hand.

    Does nothing where it is switched off already.
    """
    global held_here  # noqa: PLW0603 - the collector is one per process, and so is this count
    if not held_here and not gc.isenabled():
        yield
        return
    gc.disable()
    held_here += 1
    try:
        yield
    finally:
        held_here -= 1
        if not held_here:
            gc.enable()
