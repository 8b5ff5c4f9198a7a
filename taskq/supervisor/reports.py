"""What a worker process tells its parent, one JSON object a line, over a socket that says by its end that the other is gone."""

from __future__ import annotations

import msgspec

__all__ = ["Found", "Note", "Ready", "Report", "decode", "encode"]


class Found(msgspec.Struct, frozen=True, tag="found"):
    """The app was imported, or could not be.

    Attributes:
        folders: where the sources lie that it was imported from.
    """

    folders: list[str]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The process consumes.

    Attributes:
        stop_timeout: seconds that it may take to drain: the longest of its queues.
    """

    stop_timeout: float


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """How a process fares; this is what stands in a health file.

    Attributes:
        pid: its process id; 0 while there is none.
        time: unix seconds of the last moment when its event loop ran and no queue's last answer was an error; 0 for never.
        queues: what it consumes.
        processed: runs that ended well, since it started.
        retries: runs that failed and whose message will be tried again.
        failed: messages that failed for good.
        in_flight: handlers that run now.
        paused: by queue, by paused task ("" is the whole queue), the seconds left; None until resumed by hand.
        backend_error: the last error of a queue that does not answer; empty while all do.
    """

    pid: int = 0
    time: float = 0.0
    queues: list[str] = []
    processed: int = 0
    retries: int = 0
    failed: int = 0
    in_flight: int = 0
    paused: dict[str, dict[str, float | None]] = {}
    backend_error: str = ""


Note = Found | Ready | Report

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Note] = msgspec.json.Decoder(Note)


def encode(note: Note) -> bytes:
    """Return a note as one line."""
    return _ENCODER.encode(note) + b"\n"


def decode(line: bytes) -> Note:
    """Return the note in a line."""
    return _DECODER.decode(line)
