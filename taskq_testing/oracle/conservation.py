"""Invariants of the broker alone: where a message is, who may move it, and what is final."""

from __future__ import annotations

from collections.abc import Iterator

from taskq_testing.oracle.invariant import at, broken, invariant, named
from taskq_testing.oracle.model import GONE, Impossible, Model
from taskq_testing.outcome import Violation

__all__ = ["conservation", "fencing", "finality", "no_ghost", "no_orphan", "promoted_once"]

_BROKER = "stored due reserved extended released acked dead expired purged redriven cloned rolled_back restored"
_OWNERS = ("extended", "acked", "released", "dead")
_SAID = {
    "stored": "was added",
    "due": "came due",
    "reserved": "was reserved",
    "extended": "was extended",
    "acked": "was acknowledged",
    "released": "was released",
    "dead": "was put aside",
    "expired": "expired",
    "purged": "was purged",
    "redriven": "was redriven",
    "start": "was run",
    "stale": "was refused to its owner",
}


def _number(found: Impossible) -> int:
    """Return the invariant that an impossible event breaks."""
    kind, state = found.event.kind, found.state
    if kind in _OWNERS:
        return 8
    if found.why in ("finished", "promoted"):
        return 9 if found.why == "finished" else 19
    if kind == "reserved" and state in ("done", GONE):
        return 4
    if kind == "purged" and state == "reserved":
        return 4
    return 3 if kind == "start" or (kind == "expired" and found.why != "early") else 2


def _where(found: Impossible) -> str:
    """Say where the message was instead."""
    if found.why == "finished":
        return "though it was done"
    lease = found.lease
    if found.state == "reserved" and lease is not None:
        return f"while {lease.process} owned it until {at(lease.expires)}"
    return "though the broker did not have it" if found.state == GONE else f"though it was {found.state}"


def _sentence(found: Impossible) -> str:
    event = found.event
    who = f" by {event.process}" if event.process and event.kind not in ("due", "expired") else ""
    receipt = f" with receipt {event.receipt}" if found.why == "receipt" and event.receipt else ""
    if event.kind == "start":
        return f"{named(found.copy)} was run{who}{receipt} at {at(event.t)}, which nobody was given"
    return f"{named(found.copy)} {_SAID[event.kind]}{who}{receipt} at {at(event.t)} {_where(found)}"


def _of(model: Model, number: int) -> Iterator[Violation]:
    for found in model.noticed.impossible:
        if _number(found) == number:
            lease = found.lease.event if found.lease is not None and found.why != "state" else None
            yield broken(number, _sentence(found), found.copy.message.name, lease, found.event)
    for miscount, state, count, event in model.noticed.miscounts:
        if miscount == number:
            said = (event.data or {}).get(state)
            yield broken(number, f"queue {event.queue} counted {said} as {state} at {at(event.t)}, and {count} were", "", event)


@invariant(
    2,
    "conservation",
    "After each step of the broker a live message is in exactly one of delayed, ready, reserved and dead.",
    _BROKER,
    "A broker need not record that something came due or expired once its time has passed. A rollback sets every message to "
    "what was restored. A reservation may end early if its owner died.",
)
def conservation(model: Model) -> Iterator[Violation]:
    """Yield what cannot happen to a message where it was."""
    return _of(model, 2)


@invariant(
    3,
    "no orphan",
    "Nothing is delivered that is not reserved: what expires was reserved, and what runs was handed out.",
    "expired start size; stored reserved acked released dead extended purged cloned rolled_back restored",
    "None.",
)
def no_orphan(model: Model) -> Iterator[Violation]:
    """Yield expiries and runs without a reservation."""
    return _of(model, 3)


@invariant(
    4,
    "no ghost",
    "No reservation is without a message: what is reserved is in the broker, and a purge spares it.",
    "reserved purged; stored acked cloned rolled_back restored",
    "None.",
)
def no_ghost(model: Model) -> Iterator[Violation]:
    """Yield reservations of what the broker does not have."""
    return _of(model, 4)


@invariant(
    8,
    "fencing",
    "An acknowledgement, release, extension or dead letter with a receipt that owns nothing changes nothing.",
    "acked released extended dead stale; stored reserved expired purged cloned rolled_back restored",
    "A receipt stays good beyond its time until the broker says that it expired or gives the message to somebody else. If a "
    "rollback undid a reservation, its owner may still acknowledge: the message did run.",
)
def fencing(model: Model) -> Iterator[Violation]:
    """Yield what was changed by somebody who did not own it."""
    return _of(model, 8)


@invariant(
    9,
    "finality",
    "A message that is done is never reserved again.",
    "acked; reserved stored cloned rolled_back restored",
    "A rollback to before the acknowledgement takes it back.",
)
def finality(model: Model) -> Iterator[Violation]:
    """Yield reservations of what was done."""
    return _of(model, 9)


@invariant(
    19,
    "promoted once",
    "Each delayed message becomes ready once.",
    "due; stored released reserved acked dead purged expired redriven cloned rolled_back restored",
    "None; each further release with a delay is promoted once more.",
)
def promoted_once(model: Model) -> Iterator[Violation]:
    """Yield promotions of what was not delayed."""
    return _of(model, 19)
