"""taskq on IronMQ against hand-written loops, on the server of `taskq_testing`, in one run."""

from benchmarks.ironmq.measure import main

__all__ = ["main"]
