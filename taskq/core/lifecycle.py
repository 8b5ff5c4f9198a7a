"""What a message and a consumer go through: two transition tables, and the diagram drawn from them. Data, no behaviour.

Backends and the runtime follow these tables; they do not execute them. Tests and simulators check histories against them.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from taskq.errors import ConfigError

__all__ = ["CONSUMER", "MESSAGE", "Table", "advance", "mermaid"]


class Table(msgspec.Struct, frozen=True):
    """The states of one kind of thing, and what moves it from one to another.

    Args:
        what: what has these states, for an error's text.
        start: the state that everything begins in.
        moves: for each state the events that can happen there, and the state after each. No events: the end.

    Raises:
        ConfigError: the start, or the state after an event, is not a state of the table.
    """

    what: str
    start: str
    moves: Mapping[str, Mapping[str, str]]

    def __post_init__(self) -> None:
        for state in (self.start, *(after for events in self.moves.values() for after in events.values())):
            if state not in self.moves:
                raise ConfigError(f"{state!r} is not a state of the {self.what}; add a row for it")


MESSAGE = Table(
    "message",
    "new",
    {
        "new": {"send": "ready", "send_delayed": "delayed"},
        "delayed": {"due": "ready", "purge": "done"},
        "ready": {"reserve": "reserved", "purge": "done"},
        "reserved": {
            "ack": "done",
            "release": "ready",
            "release_delayed": "delayed",
            "dead_letter": "dead",
            "extend": "reserved",
            "expire": "ready",
        },
        "dead": {"redrive": "ready"},
        "done": {},
    },
)
"""A message in a backend. At any moment it is in exactly one of these states; a purge spares what is reserved or dead."""

CONSUMER = Table(
    "consumer",
    "idle",
    {
        "idle": {"start": "running", "stop": "idle"},
        "running": {"stop": "draining", "cancel": "stopping"},
        # Nothing is reserved any more; what is owned still runs.
        "draining": {"stop": "draining", "drained": "stopping", "timed_out": "stopping", "cancel": "stopping"},
        # What still runs is interrupted, what is owned is given back; neither can be hurried.
        "stopping": {"stop": "stopping", "cancel": "stopping", "given_back": "stopped"},
        "stopped": {"start": "running", "stop": "stopped"},
    },
)
"""A consumer. It can be started again, and stopping it twice is no error."""


def advance(table: Table, state: str, event: str) -> str:
    """Return the state after `event`.

    Raises:
        ValueError: the table has no such state, or the event cannot happen in it.
    """
    events = table.moves.get(state)
    if events is None:
        raise ValueError(f"a {table.what} is never {state!r}; it is one of: {', '.join(table.moves)}")
    if event not in events:
        raise ValueError(f"{event!r} cannot happen to a {table.what} that is {state}; there: {', '.join(events) or 'nothing'}")
    return events[event]


def mermaid(table: Table) -> str:
    """Return the table as a Mermaid state diagram, one arrow for all events between the same two states."""
    lines = ["stateDiagram-v2", f"    [*] --> {table.start}"]
    for state, events in table.moves.items():
        for after in dict.fromkeys(events.values()):
            labels = ", ".join(event for event, target in events.items() if target == after)
            lines.append(f"    {state} --> {after}: {labels}")
        if not events:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines) + "\n"
