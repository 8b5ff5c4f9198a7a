"""Print the comparison as a table, or as JSON. Exits with 1 where ours is not better."""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.autoscale.measure import Row, Score, compare
from benchmarks.autoscale.workloads import WORKLOADS

_PAIR = f"{'ours':>8} {'roulette':>8}"
HEAD = "\n".join(
    [
        f"{'':11} {'best':>5}   {'time to 95 %, s':^17}   {'most above it':^17}   {'worker-s above':^17}   {'mean time, s':^17}",
        f"{'workload':11} {'fixed':>5}   {_PAIR}   {_PAIR}   {_PAIR}   {_PAIR}",
    ]
)


def _time(score: Score) -> str:
    return f"{score.time_s:.1f}" if score.reached == 1 else f">{score.time_s:.0f}"


def line(row: Row) -> str:
    """Return one line of the table; `>` stands where some runs did not get there before their end."""
    a, b = row.ours, row.roulette
    return (
        f"{row.workload:11} {row.best_workers:>3}/{row.best_fetchers}   {_time(a):>8} {_time(b):>8}   "
        f"{a.overshoot:8.1f} {b.overshoot:8.1f}   {a.overshoot_s:8.0f} {b.overshoot_s:8.0f}   {a.wait_s:8.2f} {b.wait_s:8.2f}"
        f"   {'better' if row.better else 'NOT better'}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscale", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="workload", help=f"some of: {', '.join(WORKLOADS)}; all by default")
    parser.add_argument("--seeds", type=int, default=5, help="runs per workload and policy")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--stretch", type=float, default=1.0, help="multiplies handler times, and divides the arrival rates")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two of our plans")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    rows = []
    if not arguments.json:
        print(HEAD)
    for name in arguments.workloads or WORKLOADS:
        rows.append(compare(name, seeds, stretch=arguments.stretch, interval=arguments.interval))
        if not arguments.json:
            print(line(rows[-1]), flush=True)
    if arguments.json:
        print(json.dumps([row.as_dict() for row in rows], indent=2))
    return 0 if all(row.better for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
