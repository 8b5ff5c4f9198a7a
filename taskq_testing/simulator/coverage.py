"""Which parts of the space of failures a run met: the state of a message, the fault that hit it, and what was going on."""

from __future__ import annotations

from taskq_testing.history import History

__all__ = ["met"]

_STATES = {
    "due": "ready",
    "reserved": "reserved",
    "start": "running",
    "end": "reserved",
    "acked": "done",
    "released": "released",
    "dead": "dead",
    "expired": "ready",
    "purged": "done",
    "redriven": "ready",
    "cloned": "ready",
}


def met(history: History) -> frozenset[tuple[str, str, str]]:
    """Return each (state, fault, phase) that was met.

    The state is that of the message which the fault hit: new, ready, delayed, reserved, running, released, done or dead; "-" for
    a fault that hit a process, or the broker. The phase is the call in which it came, or else who it came to.
    """
    states: dict[str, str] = {}
    found: set[tuple[str, str, str]] = set()
    for event in history:
        kind, message = event.kind, event.message
        if kind == "fault":
            name = message.partition("#")[0]
            phase = event.reason or ("broker" if event.process == "broker" else "handler" if name else "process")
            found.add((states.get(name, "new") if name else "-", event.outcome, phase))
        elif kind == "stored":
            states[message] = "delayed" if event.due else "ready"
        elif kind in _STATES:
            states[message] = _STATES[kind]
    return frozenset(found)
