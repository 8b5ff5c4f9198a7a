"""The published list of differences, as a page of the documentation. Text only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from conformance.differential.lockstep import Difference

__all__ = ["Drive", "page"]

_TITLES = {"valkey": "Redis (a Valkey server)", "sqs": "SQS (moto, over HTTP)"}


class Drive(msgspec.Struct, frozen=True):
    """What came of driving one service.

    Attributes:
        examples: how many there were.
        steps: of each, at most.
        seen: the names of the known differences that were seen.
    """

    examples: int
    steps: int
    seen: frozenset[str]


def page(differences: Iterable[Difference], drives: Mapping[str, Drive]) -> str:
    """Return the page."""
    lines = [
        "# Divergences",
        "",
        "% Written by `nox -s differential`; change conformance/differential/lockstep.py instead.",
        "",
        "A Hypothesis machine drives the backend in memory and a real service in lock step: sends with delays and names,",
        "reserves, acknowledgements, releases, extensions, dead letters, late settlements, purges and the passing of time. Every",
        "answer of the one is held to that of the other. What is listed here may differ, and why; anything else that differs",
        "fails the machine.",
    ]
    for service, drive in drives.items():
        lines += ["", f"## {_TITLES.get(service, service)}", "", f"{drive.examples} examples of up to {drive.steps} steps.", ""]
        lines += ["| what is different | why | seen in this drive |", "|---|---|---|"]
        for each in differences:
            if service in each.services:
                lines.append(f"| {each.what} | {each.why} | {'yes' if each.name in drive.seen else 'no'} |")
    return "\n".join(lines) + "\n"
