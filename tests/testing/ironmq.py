"""What the tests of the IronMQ server share: the service asked without a socket, at a time that is set by hand."""

import json

from taskq_testing.ironmq_server import Answer, Options, Request, Service

TOKEN, PROJECT = "secret", "p1"


class Asking:
    """A service and somebody who asks it. A call returns the status and the content, or the poll that waits."""

    def __init__(self, **options):
        self.service = Service(token=TOKEN, project=PROJECT, options=Options(**options))
        self.now = 1000.0

    def __call__(self, method, path, content=None, *, raw=None, headers=None):
        body = raw if raw is not None else b"" if content is None else json.dumps(content).encode()
        given = {"authorization": f"OAuth {TOKEN}"} if headers is None else headers
        target = path if path.startswith("//") else f"/3/projects/{PROJECT}{path}"
        request = Request(method=method, target=target.removeprefix("/") if target.startswith("//") else target,
                          headers=given, body=body)  # fmt: skip
        outcome = self.service.handle(request, self.now)
        self.service.settle(self.now)
        if not isinstance(outcome, Answer):
            if outcome.answer is None:
                return outcome
            outcome = outcome.answer
        return outcome.status, json.loads(json.dumps(outcome.content))

    def post(self, *bodies, queue="q", delay=0):
        status, content = self("POST", f"/queues/{queue}/messages", {"messages": [{"body": b, "delay": delay} for b in bodies]})
        assert status == 201
        return content["ids"]

    def reserve(self, n=1, queue="q", **fields):
        outcome = self("POST", f"/queues/{queue}/reservations", {"n": n, **fields})
        return outcome if not isinstance(outcome, tuple) else outcome[1]["messages"]

    def bodies(self, n=100, queue="q", **fields):
        return [message["body"] for message in self.reserve(n, queue, **fields)]

    def size(self, queue="q"):
        return self("GET", f"/queues/{queue}")[1]["queue"]["size"]

    def peek(self, n=100, queue="q"):
        return [message["body"] for message in self("GET", f"/queues/{queue}/messages?n={n}")[1]["messages"]]

    def settle(self):
        return [(poll.answer.status, poll.answer.content) for poll in self.service.settle(self.now)]
