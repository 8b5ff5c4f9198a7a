"""The service without a socket: an httpx transport that goes straight to it, in the time of the event loop.

Under a virtual loop long polls take no time at all, and a client that was written for HTTP is tested in virtual time.

```python
client = httpx.AsyncClient(transport=IronMQTransport(Service(token="token")), base_url="http://ironmq")
```
"""

from __future__ import annotations

import httpx
import msgspec

from taskq_testing.ironmq_server.driver import Clock, Driver
from taskq_testing.ironmq_server.service import Service
from taskq_testing.ironmq_server.values import Request

__all__ = ["IronMQTransport"]

_HEADERS = {"Content-Type": "application/json; charset=utf-8"}


class IronMQTransport(httpx.AsyncBaseTransport):
    """For one event loop at a time; several clients may share it.

    Args:
        service: what answers.
        clock: whose time it has; None means the loop's.
    """

    def __init__(self, service: Service, clock: Clock | None = None) -> None:
        self.driver = Driver(service, clock)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        body = await request.aread()
        headers = {name.lower(): value for name, value in request.headers.items()}
        target = request.url.raw_path.decode("ascii")
        answer = await self.driver.request(Request(method=request.method, target=target, headers=headers, body=body))
        return httpx.Response(answer.status, headers=_HEADERS, content=msgspec.json.encode(answer.content))

    async def aclose(self) -> None:
        """Do nothing: the service outlives the client."""
