"""The long form of the chaos tests: `python -m tests.chaos [--rows 2,6] [--scale 0.1] [--seed 1]`. Prints a table."""

import argparse
import logging
import sys
import time
import traceback

from tests.chaos.long import ROWS, Place


class Progress:
    """One line that says how far a row is."""

    def __init__(self, row):
        self._row, self._began, self._told = row, time.monotonic(), 0.0

    def __call__(self, text):
        now = time.monotonic()
        if now - self._told > (0.2 if sys.stderr.isatty() else 30.0):
            self._told = now
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"row {self._row}: {text}, {now - self._began:.0f} s   ", end=end, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), metavar="A,B", help="rows of the bar (default: all)")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="share of the row's numbers (default: 1)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which random moments (default: 0)")
    given = parser.parse_args()
    unknown = [row for row in given.rows.split(",") if row not in ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    logging.getLogger("taskq").setLevel(logging.ERROR)  # that servers cannot be reached is no news here
    print("| row | what was done | what came of it | seconds |\n|---|---|---|---|", flush=True)
    failed = 0
    for row in given.rows.split(","):
        began = time.monotonic()
        try:
            for what, found, wrong in ROWS[row](Place(given.scale, given.seed, Progress(row))):
                failed += len(wrong)
                print(f"| {row} | {what} | {found} | {time.monotonic() - began:.0f} |", flush=True)
                for sentence in wrong[:10]:
                    print(f"row {row}: {sentence}", file=sys.stderr, flush=True)
                began = time.monotonic()
        except Exception:  # the other rows are tried all the same
            failed += 1
            print(f"| {row} | | FAILED | {time.monotonic() - began:.0f} |", flush=True)
            traceback.print_exc()
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
