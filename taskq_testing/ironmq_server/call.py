"""One call on its way through the service, and a reserve that waits. What calls do is in `on_queues` and `on_messages`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskq_testing.ironmq_server.options import Options
from taskq_testing.ironmq_server.project import Project, Wanted
from taskq_testing.ironmq_server.queue import IronQueue
from taskq_testing.ironmq_server.values import Answer, Request

__all__ = ["Call", "Poll"]


@dataclass(frozen=True)
class Call:
    """What a handler is given.

    Attributes:
        project: whose queues it is about.
        names: the variable parts of the path: the queue, and the message.
        query: parameters of the URL.
        fields: the JSON object that was sent.
        request: all of it as it came.
        options: what the sources leave open.
        now: the moment.
    """

    project: Project
    names: tuple[str, ...]
    query: Mapping[str, str]
    fields: Mapping[str, Any]
    request: Request
    options: Options
    now: float

    @property
    def name(self) -> str:
        """The name of the queue."""
        return self.names[0]

    @property
    def message_id(self) -> str:
        """The id of the message."""
        return self.names[1]

    def queue(self) -> IronQueue:
        """Return the queue.

        Raises:
            Refused: it does not exist.
        """
        return self.project.queue(self.name, self.now)


class Poll:
    """A reserve that waits for a message.

    Attributes:
        answer: what it is answered, once that is known.
    """

    def __init__(self, call: Call, queue: IronQueue, wanted: Wanted, wait: float) -> None:
        self.answer: Answer | None = None
        self._project = call.project
        self._queue = queue
        self._wanted = wanted
        self._deadline = call.now + wait
        self._deleted_status = call.options.deleted_queue_status

    def settle(self, now: float) -> bool:
        """Answer it if there is a message, or it has waited long enough; return whether it is answered."""
        if self._queue.deleted:
            self.answer = Answer(self._deleted_status, {"msg": "Queue not found"})
            return True
        messages = self._project.reserve(self._queue, self._wanted, now)
        if messages or now >= self._deadline:
            self.answer = Answer(200, {"messages": messages})
        return self.answer is not None

    def next_change(self) -> float:
        """Return when it may be answered though nothing is asked."""
        return min(self._deadline, self._queue.messages.next_due())
