"""The service: requests in, answers out, and long polls that are answered later. No I/O and no clock: `now` is an argument.

```python
service = Service(token="secret")
outcome = service.handle(request, now)     # an Answer, or a Poll
done = service.settle(now)                 # the polls that are answered by now
```

Whoever carries this calls `settle` after each request, and when `next_change` comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from taskq_testing.ironmq_server.call import Call, Poll
from taskq_testing.ironmq_server.ids import Ids
from taskq_testing.ironmq_server.options import Options
from taskq_testing.ironmq_server.project import Project
from taskq_testing.ironmq_server.reading import parse
from taskq_testing.ironmq_server.routes import route
from taskq_testing.ironmq_server.values import Answer, Refused, Request, not_found

__all__ = ["Poll", "Service"]

_VERSION = Answer(200, {"version": "3"})
_FOREVER = float("inf")


class Service:
    """An IronMQ of its own, all of it in memory and gone with it.

    Args:
        token: what clients have to say; None lets everybody in.
        project: the only project that exists; None for any.
        options: what the sources leave open.
        seed: where ids begin; None for somewhere else each time.

    Attributes:
        projects: by id.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        project: str | None = None,
        options: Options | None = None,
        seed: int | None = 0,
    ) -> None:
        self.projects: dict[str, Project] = {}
        self.options = options or Options()
        self._token = token
        self._project = project
        self._ids = Ids(seed)
        self._polls: list[Poll] = []

    def handle(self, request: Request, now: float) -> Answer | Poll:
        """Do what a request asks for; one that is refused changes nothing."""
        try:
            outcome = self._do(request, now)
        except Refused as refused:
            return refused.answer
        if isinstance(outcome, Poll):
            self._polls.append(outcome)
        return outcome

    def settle(self, now: float) -> list[Poll]:
        """Answer the polls that have waited long enough, or for which there is a message; those that came first, first."""
        done = [poll for poll in self._polls if poll.settle(now)]
        if done:
            self._polls = [poll for poll in self._polls if poll.answer is None]
        return done

    def next_change(self) -> float:
        """Return when a poll can be answered though nothing is asked; infinity if none waits."""
        return min((poll.next_change() for poll in self._polls), default=_FOREVER)

    def abandon(self, poll: Poll) -> None:
        """Forget a poll whose client is gone."""
        if poll in self._polls:
            self._polls.remove(poll)

    def project(self, name: str) -> Project:
        """Return a project.

        Raises:
            Refused: there is none of this name.
        """
        if self._project is not None and name != self._project:
            raise not_found("")
        if name not in self.projects:
            self.projects[name] = Project(name, self.options, self._ids)
        return self.projects[name]

    def _do(self, request: Request, now: float) -> Answer | Poll:
        path, _, raw_query = request.target.partition("?")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts == ["version"]:
            return _VERSION
        query = dict(parse_qsl(raw_query, keep_blank_values=True))
        self._authorize(request, query)
        if parts[:2] != ["3", "projects"] or len(parts) < 4:
            raise not_found("")
        project = self.project(parts[2])
        handler, names, raw = route(request.method, parts[3:])
        if len(request.body) > self.options.maximum_size:
            raise Refused(self.options.too_large_status, f"a request may have {self.options.maximum_size} bytes at most")
        fields = {} if raw else parse(request.body)
        return handler(Call(project, names, query, fields, request, self.options, now))

    def _authorize(self, request: Request, query: Mapping[str, str]) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "oauth" else query.get("oauth")
        if self._token is not None and given != self._token:
            raise Refused(401, "Unauthorized")
