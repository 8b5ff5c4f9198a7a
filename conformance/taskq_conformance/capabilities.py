"""What a backend claims to do, typed, and what a scenario may need of it. Values only.

A `Profile` states the claims. Each name in `NEEDS` is a question that the claims answer with yes, or with the reason why not;
scenarios name the questions that have to be answered with yes before they mean anything.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any

import msgspec

__all__ = [
    "NEEDS",
    "UNPROBED",
    "Capabilities",
    "Counting",
    "Max",
    "Ordering",
    "Purging",
    "Supported",
    "Unlimited",
    "Unsupported",
    "Window",
]


class Supported(msgspec.Struct, frozen=True):
    """It does."""


class Unsupported(msgspec.Struct, frozen=True):
    """It does not.

    Attributes:
        reason: one sentence for the report.
    """

    reason: str = "it does not do that"


class Unlimited(msgspec.Struct, frozen=True):
    """It does, without a limit that anybody meets."""


class Max(msgspec.Struct, frozen=True):
    """It does, up to a limit.

    Attributes:
        value: seconds, bytes or messages, as the field says.
    """

    value: float


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """It remembers names.

    Attributes:
        longest: seconds for which it can remember one.
        atomic: whether taking the name and adding the message are one step of the service.
    """

    longest: float = math.inf
    atomic: bool = False


class Ordering(enum.Enum):
    """In which order one consumer sees messages that are neither delayed nor retried."""

    FIFO = "fifo"
    NONE = "none"


class Counting(enum.Enum):
    """What `size` tells apart."""

    STATES = "states"
    TOTAL = "total"


class Purging(enum.Enum):
    """What `purge` leaves: what is reserved, or nothing but dead letters."""

    UNRESERVED = "unreserved"
    EVERYTHING = "everything"


_Whether = Supported | Unsupported


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend claims; by default all of it, so that what is left out is judged, not forgiven.

    Attributes:
        delay: seconds that one send or release keeps; the rest of a longer delay travels in the message.
        dedup: for how long names are remembered, by the service or by the store beside it.
        ordering: what is promised of the order of messages.
        payload: bytes of an encoded message.
        batch: messages of one send or ack.
        extension: reservations can be prolonged, with `Max` so that they last for so many seconds in all.
        dead_letters: they can be looked at, put back and dropped.
        counting: what `size` tells apart.
        purging: what `purge` leaves.
        repeated_sends: a send repeated with the same id, after a lost answer, adds once.
        shared_limits: rate limits and worker limits hold over all processes.
        waiting: a reserve that waits is woken by a message.
        durable: messages outlive the connection that sent them.
        fencing: a late settlement changes nothing and says so.
        poison: deliveries without an outcome are counted.
    """

    delay: Max | Unlimited = Unlimited()
    dedup: Window | Unsupported = Window(atomic=True)
    ordering: Ordering = Ordering.FIFO
    payload: Max | Unlimited = Unlimited()
    batch: Max | Unlimited = Unlimited()
    extension: Max | Supported | Unsupported = Supported()
    dead_letters: _Whether = Supported()
    counting: Counting = Counting.STATES
    purging: Purging = Purging.UNRESERVED
    repeated_sends: _Whether = Supported()
    shared_limits: _Whether = Supported()
    waiting: _Whether = Supported()
    durable: _Whether = Supported()
    fencing: _Whether = Supported()
    poison: _Whether = Supported()

    def lacks(self, need: str) -> str | None:
        """Return why a need is not claimed, or None where it is."""
        return NEEDS[need](self)


def _whether(name: str) -> Callable[[Capabilities], str | None]:
    def ask(claims: Capabilities) -> str | None:
        value: Any = getattr(claims, name)
        return f"{name} is not claimed: {value.reason}" if isinstance(value, Unsupported) else None

    return ask


def _beyond(name: str, claim: object) -> str | None:
    return f"{name} beyond {claim.value:g} is not claimed" if isinstance(claim, Max) else None


def _longer_windows(claim: Window | Unsupported) -> str | None:
    finite = isinstance(claim, Window) and claim.longest < math.inf
    return f"dedup=Window(longest=...) beyond {claim.longest:g} s is not claimed" if finite else None  # type: ignore[union-attr]


def _atomic(claims: Capabilities) -> str | None:
    if isinstance(claims.dedup, Window) and claims.dedup.atomic:
        return None
    return "dedup=Window(atomic=True) is not claimed"


NEEDS: dict[str, Callable[[Capabilities], str | None]] = {
    **{name: _whether(name) for name in (
        "dedup", "extension", "dead_letters", "repeated_sends", "shared_limits", "waiting", "durable", "fencing", "poison",
    )},
    "atomic_dedup": _atomic,
    "order": lambda claims: None if claims.ordering is Ordering.FIFO else "ordering=Ordering.FIFO is not claimed",
    "states": lambda claims: None if claims.counting is Counting.STATES else "counting=Counting.STATES is not claimed",
    "gentle_purge": lambda claims: None if claims.purging is Purging.UNRESERVED else "purging=Purging.UNRESERVED is not claimed",
    "longer_windows": lambda claims: _longer_windows(claims.dedup),
    "longer_extensions": lambda claims: _beyond("extension", claims.extension),
    "longer_delays": lambda claims: _beyond("delay", claims.delay),
    "larger_payloads": lambda claims: _beyond("payload", claims.payload),
    "larger_batches": lambda claims: _beyond("batch", claims.batch),
    "delay_limit": lambda claims: None if isinstance(claims.delay, Max) else "no limit of a delay is claimed",
    "payload_limit": lambda claims: None if isinstance(claims.payload, Max) else "no limit of the size is claimed",
}  # fmt: skip
"""By name, what a scenario may need: a function from claims to why it is not claimed, or None."""

UNPROBED = frozenset({"durable", "delay_limit", "payload_limit"})
"""Needs that say nothing where they are not claimed: the first takes a restart to see, the others ask for a limit."""
