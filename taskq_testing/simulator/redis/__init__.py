"""The production Redis adapter in virtual time: all of it runs, its links included; only the server is a fake.

`fake` is fakeredis at moments of virtual time, with what differs from a real server put right. `server` makes a server of
it: clients, waiting, restarts. `commands`, `pictures`, `watcher` and `limits` tell from what its keys held before and after
each command what happened, for the history that the oracle judges. `mischief` and `upset` are faults of the server, `wires`
those of the connections to it; `connections` is the end of these that the adapter sees, and `clients` gives each process a
broker of its own. `service` puts it together.
"""

from __future__ import annotations

from taskq_testing.simulator.redis.service import RedisService

__all__ = ["RedisService"]
