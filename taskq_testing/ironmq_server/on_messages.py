"""Calls about messages: what each does, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskq_testing.ironmq_server.call import Call, Poll
from taskq_testing.ironmq_server.project import Wanted
from taskq_testing.ironmq_server.queue import Draft
from taskq_testing.ironmq_server.reading import flag, needed, objects, text, whole, whole_text
from taskq_testing.ironmq_server.settings import DAY, Subscriber, read_headers
from taskq_testing.ironmq_server.values import Answer, Refused

__all__ = [
    "delete_message",
    "delete_messages",
    "get_message",
    "get_push_statuses",
    "peek_messages",
    "post_messages",
    "post_webhook",
    "release_message",
    "reserve_messages",
    "touch_message",
]

_MOST = 100
_LONGEST_WAIT = 30
_LONGEST_DELAY = 7 * DAY
_DELETED = Answer(200, {"msg": "Deleted"})
_WEBHOOK_HEADER = "x-subscribers-"


def post_messages(call: Call) -> Answer:
    """POST /queues/{q}/messages: all or none."""
    needed(call.fields, "messages", call.options.missing_field_status)
    drafts = [_draft(call, each) for each in objects(call.fields, "messages")]
    return _posted(call, drafts)


def _draft(call: Call, fields: Mapping[str, Any]) -> Draft:
    needed(fields, "body", call.options.missing_field_status)
    delay = whole(fields, "delay", 0, (0, _LONGEST_DELAY))
    return text(fields, "body"), delay, read_headers(fields.get("push_headers"))


def post_webhook(call: Call) -> Answer:
    """POST /queues/{q}/webhook: what was sent is the body of one message."""
    headers: dict[str, str] = {}
    for name, value in call.request.headers.items():
        short = name.removeprefix(_WEBHOOK_HEADER)
        if short != name and _fits(headers | {short: value}):
            headers[short] = value
    return _posted(call, [(call.request.body.decode(errors="replace"), 0, headers)])


def _fits(headers: dict[str, str]) -> bool:
    try:
        read_headers(headers)
    except Refused:
        return False
    return True


def _posted(call: Call, drafts: list[Draft]) -> Answer:
    messages = call.project.post(call.name, drafts, call.now)
    ids = [call.project.id(message) for message in messages]
    return Answer(201, {"ids": ids, "msg": "Messages put on queue."})


def reserve_messages(call: Call) -> Answer | Poll:
    """POST /queues/{q}/reservations: now, or as soon as there is one within `wait` seconds."""
    queue = call.queue()
    if call.options.clamp_n and isinstance(call.fields.get("n"), int):
        n = min(whole(call.fields, "n", 1, (1, 1 << 53)), _MOST)
    else:
        n = whole(call.fields, "n", 1, (1, _MOST))
    timeout = whole(call.fields, "timeout", 0, (call.options.minimum_timeout, DAY), zero=True)
    wait = whole(call.fields, "wait", 0, (0, _LONGEST_WAIT))
    if queue.settings.push is not None:
        raise Refused(400, "messages of a push queue are pushed; they cannot be reserved")
    poll = Poll(call, queue, Wanted(n, timeout, pop=flag(call.fields, "delete")), wait)
    poll.settle(call.now)
    return poll.answer or poll


def peek_messages(call: Call) -> Answer:
    """GET /queues/{q}/messages: the first ones, which stay as they are."""
    messages = call.queue().peek(whole_text(call.query, "n", 1, (1, _MOST)))
    return Answer(200, {"messages": [call.project.content(message) for message in messages]})


def get_message(call: Call) -> Answer:
    """GET /queues/{q}/messages/{id}."""
    return Answer(200, {"message": call.project.content(call.queue().get(call.message_id))})


def get_push_statuses(call: Call) -> Answer:
    """GET /queues/{q}/messages/{id}/subscribers: where a message is to be pushed. This server pushes none: all are queued."""
    queue = call.queue()
    queue.get(call.message_id)
    push = queue.settings.push
    if push is None:
        raise Refused(400, "messages of a pull queue are not pushed")
    return Answer(200, {"subscribers": [_status(subscriber, push.retries) for subscriber in push.subscribers]})


def _status(subscriber: Subscriber, retries: int) -> dict[str, Any]:
    about = {"name": subscriber.name, "url": subscriber.url, "status": "queued", "status_code": 0}
    return about | {"tries": 0, "retries_remaining": retries, "last_try_at": ""}


def touch_message(call: Call) -> Answer:
    """POST /queues/{q}/messages/{id}/touch: a new reservation that begins now."""
    queue = call.queue()
    timeout = whole(call.fields, "timeout", 0, (call.options.minimum_timeout, DAY), zero=True)
    reservation = call.project.touch(queue, call.message_id, _reservation(call, call.fields), timeout, call.now)
    return Answer(200, {"reservation_id": reservation, "msg": "Touched"})


def release_message(call: Call) -> Answer:
    """POST /queues/{q}/messages/{id}/release: for others, after a delay if there is one."""
    queue = call.queue()
    delay = whole(call.fields, "delay", 0, (0, call.options.maximum_release_delay))
    queue.release(call.message_id, _reservation(call, call.fields), delay, call.now)
    return Answer(200, {"msg": "Released"})


def _reservation(call: Call, fields: Mapping[str, Any]) -> str:
    found = text(fields, "reservation_id", "")
    if not found:
        raise Refused(call.options.missing_field_status, "A reservation_id is required")
    return found


def delete_message(call: Call) -> Answer:
    """DELETE /queues/{q}/messages/{id}."""
    call.queue().delete(call.message_id, text(call.fields, "reservation_id", ""))
    return _DELETED


def delete_messages(call: Call) -> Answer:
    """DELETE /queues/{q}/messages: those that are named; and if there is no field `ids`, all."""
    queue = call.queue()
    if "ids" not in call.fields:
        queue.messages.clear(reserved=call.options.clear_reserved)
        return Answer(200, {"msg": "Cleared"})
    found = objects(call.fields, "ids", _MOST)
    queue.delete_many([(_id(each), text(each, "reservation_id", "")) for each in found])
    return _DELETED


def _id(fields: Mapping[str, Any]) -> str:
    value = fields.get("id")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text(fields, "id")
