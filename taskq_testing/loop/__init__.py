"""An asyncio event loop in virtual time, and what belongs to it: order, domains that can die, threads, the wall clock.

`virtual` is the loop itself and `scheduling` the order of things in it; `awaitables` and `handles` are asyncio's own
classes made repeatable. `domain` is one simulated process. `threads`, `executor` and `blocking` bring sync code under
virtual time, and `wall` the time of day. `real_io` refuses what lives in real time, and `stuck` reports a program
that cannot go on.
"""

from taskq_testing.loop.domain import Domain, current_domain
from taskq_testing.loop.real_io import RealIO
from taskq_testing.loop.stuck import Deadlock, Livelock
from taskq_testing.loop.virtual import VirtualLoop

__all__ = ["Deadlock", "Domain", "Livelock", "RealIO", "VirtualLoop", "current_domain"]
