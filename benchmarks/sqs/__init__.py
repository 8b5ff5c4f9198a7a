"""SQS on a local server beside what a user would write by hand."""

from benchmarks.sqs.measure import main

__all__ = ["main"]
