"""The backend in memory and a real service, driven in lock step: every answer of the one is held to that of the other.

```bash
python -m conformance.differential                       # 200 examples on each service, and docs/divergences.md
python -m conformance.differential --service valkey --examples 1000
```

Time is moved on both sides, so that nothing waits: in memory by a clock of our own, on the service by moving what is due.
`worlds` are the services, `lockstep` drives and compares, `page` writes down what is known to differ, and was seen to.
"""

from conformance.differential.lockstep import DIFFERENCES, Difference, machine
from conformance.differential.worlds import World, sqs, valkey

__all__ = ["DIFFERENCES", "Difference", "World", "machine", "sqs", "valkey"]
