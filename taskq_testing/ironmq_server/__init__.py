"""An IronMQ v3 server to test against: HTTP on a socket, or in this process and in virtual time.

Any client written to the service's documentation works against it unchanged, among them the official one for Python. Messages
live in memory. `options` lists what the sources leave open, and what is done there.

`service` is the core, without I/O and without a clock: `routes` leads a request to a call (`on_queues`, `on_messages`), which
works on a `project`, its `queue`s and their `messages`. `driver` lets long polls wait on an event loop; `http` and `server`
put it on a socket, `transport` under an httpx client without one.

```python
with ironmq_server() as server:
    app = taskq.App(server.url)
```
"""

from __future__ import annotations

from taskq_testing.ironmq_server.driver import ManualClock
from taskq_testing.ironmq_server.options import Options
from taskq_testing.ironmq_server.server import IronMQServer, ironmq_server
from taskq_testing.ironmq_server.service import Service
from taskq_testing.ironmq_server.transport import IronMQTransport
from taskq_testing.ironmq_server.values import Answer, Request

__all__ = ["Answer", "IronMQServer", "IronMQTransport", "ManualClock", "Options", "Request", "Service", "ironmq_server"]
