"""Histories of real fleets: what several processes and their server did, written down for the oracle and the timeline.

Each process has a `Recorder`, which is attached to its app and keeps a `Journal`: a file of events that a kill -9 leaves whole.
`Journals` reads them while the fleet runs, so that a test can wait for something to happen. `gather` makes one history of
them afterwards; with the append-only file of the server it holds what the broker did in truth (`ledger`), and not only what
its clients were told.

All processes have to be on one machine, for they are put in order by its monotonic clock.
"""

from taskq_testing.recording.gathering import gather
from taskq_testing.recording.journal import Journal, Journals
from taskq_testing.recording.recorder import Recorder

__all__ = ["Journal", "Journals", "Recorder", "gather"]
