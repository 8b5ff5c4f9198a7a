"""Calls about queues: what each does, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskq_testing.ironmq_server.call import Call
from taskq_testing.ironmq_server.reading import objects, text, whole_text
from taskq_testing.ironmq_server.settings import Subscriber, read_subscribers
from taskq_testing.ironmq_server.values import Answer, Refused

__all__ = [
    "add_subscribers",
    "create_queue",
    "delete_queue",
    "get_queue",
    "list_queues",
    "remove_alerts",
    "remove_subscribers",
    "replace_subscribers",
    "update_queue",
]

_UPDATED = Answer(200, {"msg": "Updated"})


def list_queues(call: Call) -> Answer:
    """GET /queues: a page of the names, in alphabetical order."""
    count = whole_text(call.query, "per_page", 30, (1, call.options.maximum_list))
    names = call.project.names(call.query.get("previous", ""), call.query.get("prefix", ""), count)
    return Answer(200, {"queues": [{"name": name} for name in names]})


def get_queue(call: Call) -> Answer:
    """GET /queues/{q}."""
    return Answer(200, {"queue": call.queue().content(call.project.name, counts=True)})


def create_queue(call: Call) -> Answer:
    """PUT /queues/{q}: a new queue, or a change of one."""
    queue = call.project.set(call.name, _settings(call), call.now, create=True)
    return Answer(200, {"queue": queue.content(call.project.name, counts=False)})


def update_queue(call: Call) -> Answer:
    """PATCH /queues/{q}: a change of an existing queue."""
    queue = call.project.set(call.name, _settings(call), call.now, create=False)
    return Answer(200, {"queue": queue.content(call.project.name, counts=True)})


def _settings(call: Call) -> Mapping[str, Any]:
    value = call.fields.get("queue")
    if value is not None and not isinstance(value, dict):
        raise Refused(400, "queue has to be an object")
    return value or {}


def delete_queue(call: Call) -> Answer:
    """DELETE /queues/{q}."""
    call.project.delete(call.name, call.now)
    return Answer(200, {"msg": "Deleted"})


def add_subscribers(call: Call) -> Answer:
    """POST /queues/{q}/subscribers: more of them; one with a name that is there takes its place."""
    found = {subscriber.name: subscriber for subscriber in (*_subscribers(call), *read_subscribers(call.fields))}
    call.project.subscribe(call.name, list(found.values()), call.now)
    return _UPDATED


def replace_subscribers(call: Call) -> Answer:
    """PUT /queues/{q}/subscribers: these and no others."""
    call.project.subscribe(call.name, read_subscribers(call.fields), call.now)
    return _UPDATED


def remove_subscribers(call: Call) -> Answer:
    """DELETE /queues/{q}/subscribers: all but these."""
    gone = {text(each, "name") for each in objects(call.fields, "subscribers")}
    call.project.subscribe(call.name, [each for each in _subscribers(call) if each.name not in gone], call.now)
    return _UPDATED


def _subscribers(call: Call) -> tuple[Subscriber, ...]:
    push = call.queue().settings.push
    return push.subscribers if push is not None else ()


def remove_alerts(call: Call) -> Answer:
    """DELETE /queues/{q}/alerts, which a client calls: alerts are kept as they are given, and do nothing here."""
    call.project.clear_alerts(call.name, call.now)
    return _UPDATED
