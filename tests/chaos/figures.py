"""What a history comes to, in numbers."""

from collections import Counter
from dataclasses import dataclass

from taskq_testing.history import NANOSECONDS


@dataclass(kw_only=True)
class Figures:
    """Numbers of one run.

    Attributes:
        accepted: messages that a producer was told were accepted.
        lost: those of them that are neither done nor dead.
        dead: dead letters.
        unsure: adds whose answer was lost.
        twice: adds that were carried out more than once.
        runs: handlers that began.
        again: how many of these were runs of a message that had ended well in an earlier one.
        cut_short: runs that never ended.
        late: seconds between the end of a reservation and the moment when its message was ready again, at most.
        stalls: how often a process stood still because the machine was busy.
    """

    accepted: int
    lost: int
    dead: int
    unsure: int
    twice: int
    runs: int
    again: int
    cut_short: int
    late: float
    stalls: int

    @property
    def row(self):
        """The numbers as a row of a table."""
        return {name: f"{value:.2f}" if isinstance(value, float) else str(value) for name, value in vars(self).items()}


def figures(history):
    """Count what a history holds."""
    there = {kind: [event for event in history if event.kind == kind] for kind in {event.kind for event in history}}
    of = there.get
    accepted = {event.message for event in of("accepted", ())}
    done, dead = ({event.message for event in of(kind, ())} for kind in ("acked", "dead"))
    stores = Counter(event.op for event in of("stored", ()))
    well, again = set(), 0
    for event in history:
        if event.kind == "end" and event.outcome == "ok":
            well.add(event.message)
        elif event.kind == "start" and event.message in well:
            again += 1
    return Figures(
        accepted=len(accepted),
        lost=len(accepted - done - dead),
        dead=len(dead),
        unsure=len(of("unknown", ())),
        twice=sum(count > 1 for count in stores.values()),
        runs=len(of("start", ())),
        again=again,
        cut_short=len({event.run for event in of("start", ())} - {event.run for event in of("end", ())}),
        late=latest_recovery(history),
        stalls=len([event for event in of("fault", ()) if event.outcome == "stall"]),
    )


def latest_recovery(history):
    """Return the seconds between the end of a reservation and the moment when its message was ready again, at most."""
    until, late = {}, 0
    for event in history:
        if event.kind in ("reserved", "extended"):
            until[event.receipt] = event.expires
        elif event.kind == "expired":
            late = max(late, event.t - until[event.receipt])
    return late / NANOSECONDS
