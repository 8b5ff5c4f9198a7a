"""How scenarios say what has to be so. A failure tells what was found and what was promised."""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from typing import Any

from taskq.errors import ReservationLost

__all__ = ["Broken", "between", "holds", "lost", "one_of", "same", "succeeded"]


class Broken(AssertionError):  # noqa: N818 - what it says of a guarantee
    """A guarantee does not hold."""


def holds(condition: object, promise: str) -> None:
    """Insist on a condition; the text says what was promised."""
    if not condition:
        raise Broken(promise)


def same(found: Any, wanted: Any, what: str) -> None:
    """Insist on a value."""
    if found != wanted:
        raise Broken(f"{what}: found {_short(found)}, promised {_short(wanted)}")


def one_of(found: Any, wanted: Collection[Any], what: str) -> None:
    """Insist on one of several values."""
    if found not in wanted:
        raise Broken(f"{what}: found {_short(found)}, promised one of {_short(wanted)}")


def between(found: float, least: float, most: float, what: str) -> None:
    """Insist on a range. A microsecond is what arithmetic with floats may cost."""
    if not least - 1e-6 <= found <= most + 1e-6:
        raise Broken(f"{what}: found {found:.6g}, promised {least:.6g} to {most:.6g}")


async def lost(call: Awaitable[Any], what: str) -> None:
    """Insist that a call says that its message is not owned any more."""
    try:
        await call
    except ReservationLost:
        return
    raise Broken(f"{what} raises ReservationLost")


def succeeded(error: BaseException | None, what: str) -> None:
    """Insist that something did not fail."""
    if error is not None:
        raise Broken(f"{what}: {type(error).__name__}: {error}") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"
