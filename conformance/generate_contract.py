"""Writes CONTRACT.md from the table of guarantees: `python conformance/generate_contract.py`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from taskq_conformance.contract import GUARANTEES

HEAD = """# The contract

What a backend of taskq promises. Each guarantee has a number that stays; each scenario of the suite cites one. The third column
names the capability that a guarantee rests on: a backend that does not claim it is not held to it, and its report says so.
`taskq conformance --list` lists the scenarios with the guarantee that each tries.

Delivery is at-least-once: a message runs again after a crash or an expired reservation, and for no other reason.

Written by `python conformance/generate_contract.py` from `taskq_conformance/contract.py`; a test compares the two.
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for group, found in groupby(GUARANTEES.values(), key=lambda each: each.group):
        parts.append(f"\n## {group}\n\n| | guarantee | rests on |\n|---|---|---|\n")
        parts += [f"| {each.number} | {each.sentence} | {f'`{each.rests}`' if each.rests else ''} |\n" for each in found]
    return "".join(parts)


if __name__ == "__main__":
    (Path(__file__).parent / "CONTRACT.md").write_text(page())
