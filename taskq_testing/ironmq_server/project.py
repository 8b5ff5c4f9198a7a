"""The queues of one project: made, changed, listed, deleted; and what goes from one to another. `now` comes from the caller."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from taskq_testing.ironmq_server.ids import Ids
from taskq_testing.ironmq_server.messages import Message
from taskq_testing.ironmq_server.options import Options
from taskq_testing.ironmq_server.queue import Draft, IronQueue
from taskq_testing.ironmq_server.settings import Settings, Subscriber, read_settings
from taskq_testing.ironmq_server.values import Refused, not_found

__all__ = ["Project", "Wanted"]


class Wanted:
    """What a reserve asks for: how many, for how long (0 for the queue's own time), and whether they are deleted at once."""

    __slots__ = ("n", "pop", "timeout")

    def __init__(self, n: int, timeout: int, *, pop: bool) -> None:
        self.n = n
        self.timeout = timeout
        self.pop = pop


class Project:
    """All queues of one project.

    Args:
        name: its id.
        options: what the sources leave open.
        ids: makes ids.
    """

    def __init__(self, name: str, options: Options, ids: Ids) -> None:
        self.name = name
        self.queues: dict[str, IronQueue] = {}
        self._options = options
        self._ids = ids

    # -- queues

    def queue(self, name: str, now: float) -> IronQueue:
        """Return a queue as it is now.

        Raises:
            Refused: there is none.
        """
        queue = self.queues.get(name)
        if queue is None:
            raise not_found("Queue")
        queue.messages.advance(now)
        return queue

    def queue_or_new(self, name: str, now: float) -> IronQueue:
        """Return a queue as it is now; one that does not exist is made with all defaults."""
        if name not in self.queues:
            self.queues[name] = IronQueue(name, Settings(), self._options)
        return self.queue(name, now)

    def set(self, name: str, fields: Mapping[str, Any], now: float, *, create: bool) -> IronQueue:
        """Change what a queue is set to; one that does not exist is made, or refused."""
        if name not in self.queues:
            if not create and not self._options.patch_creates:
                raise not_found("Queue")
            self.queues[name] = IronQueue(name, read_settings(fields, None, self._options), self._options)
        else:
            queue = self.queues[name]
            queue.settings = read_settings(fields, queue.settings, self._options)
        queue = self.queue(name, now)
        if queue.settings.dead_letter is not None:
            self.queue_or_new(queue.settings.dead_letter.queue_name, now)
        return queue

    def delete(self, name: str, now: float) -> None:
        """Delete a queue with all that is in it."""
        self.queue(name, now).deleted = True
        del self.queues[name]

    def names(self, previous: str, prefix: str, count: int) -> list[str]:
        """Return the names behind `previous` that begin with `prefix`, in alphabetical order."""
        names = sorted(name for name in self.queues if name.startswith(prefix))
        return names[bisect.bisect_right(names, previous) :][:count] if previous else names[:count]

    def subscribe(self, name: str, subscribers: Sequence[Subscriber], now: float) -> None:
        """Let these be the subscribers of a push queue.

        Raises:
            Refused: it is a pull queue, or none would be left.
        """
        queue = self.queue(name, now)
        if queue.settings.push is None:
            raise Refused(400, "a pull queue cannot have subscribers")
        if not subscribers:
            raise Refused(400, "a push queue needs at least one subscriber")
        queue.settings = replace(queue.settings, push=replace(queue.settings.push, subscribers=tuple(subscribers)))

    def clear_alerts(self, name: str, now: float) -> None:
        """Forget the alerts of a queue."""
        queue = self.queue(name, now)
        queue.settings = replace(queue.settings, alerts=())

    # -- messages

    def post(self, name: str, drafts: Sequence[Draft], now: float) -> list[Message]:
        """Add messages; a queue that does not exist is made."""
        queue = self.queue_or_new(name, now)
        return [queue.post(draft, self._ids.message(), now) for draft in drafts]

    def reserve(self, queue: IronQueue, wanted: Wanted, now: float) -> list[dict[str, Any]]:
        """Reserve messages of a queue and return them as JSON."""
        queue.messages.advance(now)
        doomed = partial(self._bury, queue, now)
        taken = queue.reserve(wanted.n, wanted.timeout, self._ids.reservation, doomed, now)
        contents = [self.content(message) | {"reservation_id": message.reservation} for message in taken]
        if wanted.pop:
            for message, content in zip(taken, contents, strict=True):
                queue.messages.remove(message)
                if not self._options.popped_reservation:
                    del content["reservation_id"]
        return contents

    def _bury(self, queue: IronQueue, now: float, message: Message) -> None:
        assert queue.settings.dead_letter is not None
        self.queue_or_new(queue.settings.dead_letter.queue_name, now).bury(message, now)

    def touch(self, queue: IronQueue, message_id: str, reservation: str, timeout: int, now: float) -> str:
        """Reserve a reserved message anew and return the new reservation."""
        return queue.touch(message_id, reservation, timeout, self._ids.reservation, now)

    def content(self, message: Message) -> dict[str, Any]:
        """Return a message as JSON, without its reservation."""
        return {"id": self.id(message), "body": message.body, "reserved_count": message.reserved_count}

    def id(self, message: Message) -> str | int:
        """Return the id of a message as it is sent."""
        return int(message.id) if self._options.ids_are_numbers else message.id
