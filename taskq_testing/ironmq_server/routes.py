"""Which path leads to which call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from taskq_testing.ironmq_server import on_messages, on_queues
from taskq_testing.ironmq_server.call import Call, Poll
from taskq_testing.ironmq_server.values import Answer, Refused, not_found

__all__ = ["Handler", "Route", "route"]

Handler = Callable[[Call], Answer | Poll]
_ANY = ""
"""Stands for a variable part of a path."""


class Route(NamedTuple):
    """Where a path leads.

    Attributes:
        handler: what to call.
        names: the variable parts of the path.
        raw: whether the body is no JSON.
    """

    handler: Handler
    names: tuple[str, ...]
    raw: bool = False


_ROUTES: Mapping[tuple[str, ...], Mapping[str, Handler]] = {
    ("queues",): {"GET": on_queues.list_queues},
    ("queues", _ANY): {
        "GET": on_queues.get_queue,
        "PUT": on_queues.create_queue,
        "PATCH": on_queues.update_queue,
        "DELETE": on_queues.delete_queue,
    },
    ("queues", _ANY, "alerts"): {"DELETE": on_queues.remove_alerts},
    ("queues", _ANY, "subscribers"): {
        "POST": on_queues.add_subscribers,
        "PUT": on_queues.replace_subscribers,
        "DELETE": on_queues.remove_subscribers,
    },
    ("queues", _ANY, "webhook"): {"POST": on_messages.post_webhook},
    ("queues", _ANY, "reservations"): {"POST": on_messages.reserve_messages},
    ("queues", _ANY, "messages"): {
        "POST": on_messages.post_messages,
        "GET": on_messages.peek_messages,
        "DELETE": on_messages.delete_messages,
    },
    ("queues", _ANY, "messages", _ANY): {"GET": on_messages.get_message, "DELETE": on_messages.delete_message},
    ("queues", _ANY, "messages", _ANY, "touch"): {"POST": on_messages.touch_message},
    ("queues", _ANY, "messages", _ANY, "release"): {"POST": on_messages.release_message},
    ("queues", _ANY, "messages", _ANY, "subscribers"): {"GET": on_messages.get_push_statuses},
}


def route(method: str, parts: Sequence[str]) -> Route:
    """Return where a path below a project leads.

    Raises:
        Refused: nowhere (404), or not with this method (405).
    """
    for pattern, handlers in _ROUTES.items():
        if len(pattern) == len(parts) and all(fixed in (_ANY, part) for fixed, part in zip(pattern, parts, strict=True)):
            names = tuple(part for fixed, part in zip(pattern, parts, strict=True) if fixed == _ANY)
            if not all(names):
                break
            if method not in handlers:
                raise Refused(405, "Method not allowed")
            return Route(handlers[method], names, raw=parts[-1] == "webhook" and len(parts) == 3)
    raise not_found("")
