"""taskq against other queues and against hand-written loops, all on one server in one run; see README.md.

`inside/` holds what runs in the peers' own environments; everything else here is the runner.
"""

from benchmarks.peers.command import main

__all__ = ["main"]
