"""What the tests of the IronMQ backend share: brokers on a server, and on one that answers what a test says."""

import json

import httpx
import msgspec

from taskq.backends.base import Outgoing
from taskq.backends.ironmq import IronMQBroker, settings_for
from taskq.backends.memory import MemoryBroker
from taskq.options import QueueOptions
from taskq.runtime.clock import SystemClock

OPTIONS = QueueOptions(reservation_timeout=60.0, send_timeout=0.5)
URL = "ironmq+http://project:token@ironmq/"


def broker_at(url, *, transport=None, clock=None):
    clock = clock or SystemClock()
    return IronMQBroker(settings_for(url, {}), clock, MemoryBroker(clock), transport)


def queue_at(url, name="q", *, transport=None, clock=None, **options):
    return broker_at(url, transport=transport, clock=clock).queue(name, msgspec.structs.replace(OPTIONS, **options))


def messages(*bodies, delay=0.0):
    return [Outgoing(body, body, delay) for body in bodies]


class Scripted:
    """A service that answers what a test says: a status and content for each path's last part, or an exception to raise."""

    def __init__(self, **answers):
        self.answers = {name: list(each) if isinstance(each, list) else each for name, each in answers.items()}
        self.requests = []
        self.transport = httpx.MockTransport(self._answer)

    def __getitem__(self, kind):
        return [json.loads(request.content or b"null") for each, request in self.requests if each == kind]

    def _answer(self, request):
        parts = request.url.path.removeprefix("/3/projects/project/queues/").split("/")
        kind = f"{request.method} {parts[-1] if len(parts) > 1 else 'queue'}"
        if len(parts) == 3 and not parts[-1].isalpha():
            kind = f"{request.method} message"
        self.requests.append((kind, request))
        name = kind.replace(" ", "_").lower()
        answer = self.answers.get(name, _DEFAULTS.get(name))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        status, content = answer
        if isinstance(content, bytes):
            return httpx.Response(status, content=content)
        return httpx.Response(status, json=content)


_DEFAULTS = {
    "get_queue": (200, {"queue": {"name": "q", "type": "pull", "size": 0}}),
    "put_queue": (200, {"queue": {"name": "q"}}),
    "post_messages": lambda request: (
        201,
        {"ids": [f"id{number}" for number, _ in enumerate(json.loads(request.content)["messages"])], "msg": "ok"},
    ),
    "delete_messages": (200, {"msg": "Deleted"}),
    "post_reservations": (200, {"messages": []}),
}
