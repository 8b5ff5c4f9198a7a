"""`python -m benchmarks.exploration`: determinism, planted bugs, the oracle, speed, and a survey of the simulator; see --help."""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys

from benchmarks.exploration import bugs, determinism, speed, survey


def main() -> int:
    """Do what was asked; 0 if all of it is as it should be."""
    parser = argparse.ArgumentParser(prog="nox -s simulate --", description=__doc__)
    parser.add_argument(
        "--determinism", nargs="?", type=int, const=1000, metavar="FLEETS", help="run generated fleets four times each"
    )
    parser.add_argument("--bugs", nargs="?", type=int, const=200, metavar="SEEDS", help="look for each planted bug")
    parser.add_argument(
        "--survey", nargs="?", type=float, const=60.0, metavar="SECONDS", help="explore for so long, in processor time"
    )
    parser.add_argument("--speed", nargs="?", type=float, const=10.0, metavar="SECONDS", help="measure seeds a second, and a day")
    parser.add_argument(
        "--reference", nargs="?", type=int, const=100_000, metavar="HISTORIES", help="compare the oracle with a second judge"
    )
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="where the survey begins")
    parser.add_argument("--backend", choices=("memory", "redis"), default="memory", help="what --bugs and --survey are about")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what faults do to consumers is in the history
    results = []
    if asked.determinism:
        results.append(determinism.report(asked.determinism))
    if asked.bugs:
        results.append(bugs.report(asked.bugs, asked.backend))
    if asked.speed:
        results.append(speed.report(asked.speed))
    if asked.reference:
        command = [sys.executable, "-m", "tests.testing.reference", str(asked.reference)]
        results.append(subprocess.run(command, check=False).returncode == 0)
    if asked.survey or not results:
        results.append(survey.report(asked.survey or 60.0, asked.first, asked.backend))
    return 0 if all(results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
