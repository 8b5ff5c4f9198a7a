"""An app in virtual time for the length of a test: what the fixture `taskq_sim` gives.

`harness` is the object that a test holds: its questions are in `witness`, told with `assertions` and `matching`; what
ran is in `runs`. `stage` binds the app to a virtual loop and puts it back, `crew` are its workers, `inline` runs sync
handlers on the test's own thread, and `performing` runs one handler alone. `probes` are points to wait for, and
`machine` a Hypothesis state machine of a queue.
"""

from taskq_testing.harness.harness import Drained, Harness

__all__ = ["Drained", "Harness"]
