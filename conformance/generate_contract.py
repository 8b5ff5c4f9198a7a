"""Writes CONTRACT.md from the table of guarantees: `python conformance/generate_contract.py`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from taskq_conformance.contract import GUARANTEES
from taskq_conformance.scenario import all_scenarios

HEAD = """# The contract

What a backend of taskq promises. Each guarantee has a number that stays; each scenario of the suite cites one. The third column
names the capability that a guarantee rests on: a backend that does not claim it is not held to it, and its report says so.
Delivery is at-least-once: a message runs again after a crash or an expired reservation, and for no other reason.

Written by `python conformance/generate_contract.py` from `taskq_conformance/contract.py`; a test compares the two.
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    scenarios = all_scenarios()
    for group, found in groupby(GUARANTEES.values(), key=lambda each: each.group):
        parts.append(f"\n## {group}\n\n| | guarantee | rests on |\n|---|---|---|\n")
        parts += [f"| {each.number} | {each.sentence} | {f'`{each.rests}`' if each.rests else ''} |\n" for each in found]
    parts.append("\n## The scenarios\n")
    for guarantee in GUARANTEES.values():
        parts.append(f"\n{guarantee.number}\n")
        parts += [f": `{each.name}` {each.sentence}\n" for each in scenarios if each.guarantee == guarantee.number]
    return "".join(parts)


if __name__ == "__main__":
    (Path(__file__).parent / "CONTRACT.md").write_text(page())
