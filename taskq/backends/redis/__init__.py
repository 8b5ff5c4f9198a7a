"""The Redis backend: streams and consumer groups in the layout of Go taskq v3, on redis-py's connections.

`keys` names what lies in the server, `scripts` are the atomic steps, `links` carry them there, `sending` makes sends that
can be repeated, `queue` is the backend of one queue, `stores` are what queues share, `broker` holds it all together.
"""

from __future__ import annotations

from taskq.backends.redis.broker import RedisBroker
from taskq.backends.redis.connections import connector_for, from_client

__all__ = ["RedisBroker", "connector_for", "from_client"]
