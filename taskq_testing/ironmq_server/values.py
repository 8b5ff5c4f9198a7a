"""What crosses the edge of the server: requests, answers, refusals. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "Refused", "Request", "not_found"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request.

    Attributes:
        method: in capitals.
        target: path and query as they were sent, percent-encoded.
        headers: by name in lower case.
        body: as it was sent.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """One HTTP response: a status and what is sent as JSON."""

    status: int
    content: Mapping[str, Any]


class Refused(Exception):  # noqa: N818 - named for what it reports
    """The request is answered with an error; nothing was changed."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.answer = Answer(status, {"msg": text})


def not_found(what: str) -> Refused:
    """Return the refusal of a thing that does not exist; with no name, of a route."""
    return Refused(404, f"{what} not found" if what else "Not found")
