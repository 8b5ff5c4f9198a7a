"""One run of a whole fleet in virtual time: production consumers and producers, a broker and a network that fail, a judge.

`simulator` puts a run together and `world` is what a scenario sees of it. `broker` is the in-memory backend that
writes everything down; `network` and `clients` stand before it. `process` is one worker that can crash or stand
still, `handlers` what its handlers meet, and `routing` its own clock. `coverage` says which failures a run met.
"""

from taskq_testing.simulator.simulator import Simulator, scenario

__all__ = ["Simulator", "scenario"]
