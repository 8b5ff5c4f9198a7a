"""The same seed gives the same run: over generated fleets, in this process and in others, whatever else differs.

Each fleet runs four times: twice here, the second time with other objects in memory; and once in each of two processes with
another hash seed. Compared are the trace (a hash over every event) and what came of it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

from taskq_testing.explore.strategies import by_name
from taskq_testing.simulator import scenario
from taskq_testing.tape import Tape
from tests.testing.fleets import generated

STRATEGIES = ("uniform", "pct", "delay-bounded", "swarm")
HASH_SEEDS = ("1", "4242")


def traces(fleets: int, junk: int = 0) -> list[tuple[str, str]]:
    """Run each fleet once; return its trace and what came of it.

    Args:
        fleets: how many.
        junk: how many objects of no use to make and drop between runs, so that addresses differ.
    """
    found = []
    for seed in range(fleets):
        waste = [bytearray(seed % 97 + index % 13) for index in range(junk)]
        del waste[:: seed % 5 + 2]
        app, body, workers = generated(seed)
        strategy = by_name(STRATEGIES[seed % len(STRATEGIES)], seed)
        outcome = scenario(body, app=app, workers=workers, faults="all")(Tape(seed, strategy))
        ends = sorted((event.message, event.outcome, event.t) for event in outcome.history.of("end", "acked", "dead"))
        found.append((outcome.trace, json.dumps([outcome.signature, ends, outcome.draws])))
        del waste
    return found


def elsewhere(fleets: int, hash_seed: str) -> list[tuple[str, str]]:
    """Do the same in another process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.exploration.determinism", str(fleets)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        check=True,
    )
    return [tuple(row) for row in json.loads(done.stdout)]


def report(fleets: int) -> bool:
    """Print how many fleets gave one trace and one outcome; return whether all did."""
    runs = {"here": traces(fleets), "here, other objects in memory": traces(fleets, junk=500)}
    for seed in HASH_SEEDS:
        runs[f"another process, PYTHONHASHSEED={seed}"] = elsewhere(fleets, seed)
    first = runs["here"]
    different = len({trace for trace, _ in first})
    print(f"{fleets} generated fleets, {', '.join(STRATEGIES)}, all faults: {different} traces")
    ok = True
    for name, found in runs.items():
        same_trace = sum(one[0] == other[0] for one, other in zip(first, found, strict=True))
        same_outcome = sum(one[1] == other[1] for one, other in zip(first, found, strict=True))
        print(f"  {name:42} same trace {same_trace:5}/{fleets}  same outcome {same_outcome:5}/{fleets}")
        ok = ok and same_trace == same_outcome == fleets
    return ok


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(json.dumps(traces(int(sys.argv[1]), junk=100)))
