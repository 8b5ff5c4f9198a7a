"""What a queue is set to: read from what clients send, and written as they are answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from taskq_testing.ironmq_server.options import Options
from taskq_testing.ironmq_server.reading import objects, text, whole
from taskq_testing.ironmq_server.values import Refused

__all__ = ["DeadLetter", "Push", "Settings", "Subscriber", "read_headers", "read_settings", "read_subscribers"]

DAY = 86_400
_TYPES = ("pull", "multicast", "unicast")
_RESERVED_HEADERS = frozenset(
    {
        "content-type",
        "user-agent",
        "iron-message-id",
        "iron-reservation-id",
        "iron-subscriber-name",
        "iron-subscriber-message-url",
    }
)
_MOST_HEADERS, _LONGEST_NAME, _LONGEST_VALUE = 5, 64, 1024


@dataclass(frozen=True)
class Subscriber:
    """Where a push queue sends its messages."""

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"name": self.name, "url": self.url, **({"headers": dict(self.headers)} if self.headers else {})}


@dataclass(frozen=True)
class Push:
    """How a push queue sends."""

    subscribers: tuple[Subscriber, ...]
    retries: int = 3
    retries_delay: int = 60
    error_queue: str = ""

    def content(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "subscribers": [subscriber.content() for subscriber in self.subscribers],
            "retries": self.retries,
            "retries_delay": self.retries_delay,
            "error_queue": self.error_queue,
        }


@dataclass(frozen=True)
class DeadLetter:
    """Where messages go that were reserved too often."""

    queue_name: str
    max_reservations: int = 10


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a queue is set to. Durations are seconds."""

    message_timeout: int = 60
    message_expiration: int = 7 * DAY
    type: str = "pull"
    push: Push | None = None
    dead_letter: DeadLetter | None = None
    alerts: tuple[Mapping[str, Any], ...] = ()

    def content(self) -> dict[str, Any]:
        """Return it as JSON."""
        found: dict[str, Any] = {
            "message_timeout": self.message_timeout,
            "message_expiration": self.message_expiration,
            "type": self.type,
        }
        if self.push is not None:
            found["push"] = self.push.content()
        if self.dead_letter is not None:
            found["dead_letter"] = vars(self.dead_letter)
        if self.alerts:
            found["alerts"] = list(self.alerts)
        return found


def read_settings(fields: Mapping[str, Any], before: Settings | None, options: Options) -> Settings:
    """Return what a queue is set to by a request.

    Args:
        fields: the object `queue` of the request.
        before: what an existing queue is set to; None for a new one.
        options: what the sources leave open.

    Raises:
        Refused: a field is out of range, or cannot be changed.
    """
    settings = before or Settings()
    kind = text(fields, "type", "") or ("multicast" if before is None and fields.get("push") is not None else settings.type)
    if kind not in _TYPES:
        raise Refused(400, f"type has to be one of {', '.join(_TYPES)}")
    if before is not None and kind != before.type:
        raise Refused(403, "the type of a queue cannot be changed")
    push = _read_push(fields.get("push"), settings.push, kind, options)
    dead_letter = _read_dead_letter(fields.get("dead_letter"), settings.dead_letter, kind)
    alerts = settings.alerts
    if fields.get("alerts") is not None:
        if kind != "pull":
            raise Refused(400, "a push queue cannot have alerts")
        alerts = tuple(objects(fields, "alerts"))
    return replace(
        settings,
        message_timeout=whole(fields, "message_timeout", settings.message_timeout, (options.minimum_timeout, DAY), zero=True),
        message_expiration=whole(fields, "message_expiration", settings.message_expiration, (1, 30 * DAY), zero=True),
        type=kind,
        push=push,
        dead_letter=dead_letter,
        alerts=alerts,
    )


def _read_push(value: Any, before: Push | None, kind: str, options: Options) -> Push | None:
    if value is not None and (kind == "pull" or not isinstance(value, dict)):
        raise Refused(400, "push has to be an object, and a pull queue cannot have subscribers")
    if kind == "pull":
        return None
    fields: dict[str, Any] = value or {}
    old = before or Push(())
    subscribers = read_subscribers(fields) if before is None or "subscribers" in fields else old.subscribers
    return Push(
        subscribers,
        whole(fields, "retries", old.retries, (0, options.maximum_retries)),
        whole(fields, "retries_delay", old.retries_delay, (3, DAY), zero=True),
        text(fields, "error_queue", old.error_queue),
    )


def _read_dead_letter(value: Any, before: DeadLetter | None, kind: str) -> DeadLetter | None:
    if value is None:
        return before
    if kind != "pull" or not isinstance(value, dict):
        raise Refused(400, "dead_letter has to be an object, and a push queue cannot have it; give it an error_queue")
    name = text(value, "queue_name", before.queue_name if before is not None else "")
    if not name:
        if before is None:
            raise Refused(400, "queue_name of dead_letter cannot be empty")
        return None
    default = before.max_reservations if before is not None else 10
    return DeadLetter(name, whole(value, "max_reservations", default, (1, 1000), zero=True))


def read_subscribers(fields: Mapping[str, Any]) -> tuple[Subscriber, ...]:
    """Return the subscribers that a request names, at least one.

    Raises:
        Refused: one has no name or no URL.
    """
    found = []
    for each in objects(fields, "subscribers"):
        name, url, headers = text(each, "name"), text(each, "url"), each.get("headers") or {}
        if not name or "://" not in url:
            raise Refused(400, "a subscriber needs a name and a url")
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            raise Refused(400, "headers of a subscriber have to be an object of strings")
        found.append(Subscriber(name, url, headers))
    return tuple(found)


def read_headers(value: Any) -> dict[str, str]:
    """Return the push headers of a message.

    Raises:
        Refused: there are more than 5, or one is empty, too long, or reserved.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > _MOST_HEADERS:
        raise Refused(400, f"push_headers has to be an object of {_MOST_HEADERS} headers at most")
    for name, content in value.items():
        if not 1 <= len(name.encode()) <= _LONGEST_NAME or name.lower() in _RESERVED_HEADERS:
            raise Refused(400, f"the name of a push header has 1 to {_LONGEST_NAME} bytes, and is not one of the service's own")
        if not isinstance(content, str) or not 1 <= len(content.encode()) <= _LONGEST_VALUE:
            raise Refused(400, f"the value of a push header is a string of 1 to {_LONGEST_VALUE} bytes")
    return value
