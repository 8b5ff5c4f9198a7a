"""The matrix as a page: guarantees and backends, and what draws them."""

from __future__ import annotations

import html
from string import Template
from typing import Any

from taskq_conformance.report.cells import cell, guarantees, tally, verdict
from taskq_conformance.results import Result, Run, Target
from taskq_conformance.scenario import all_scenarios
from taskq_testing.page import asset, page

__all__ = ["document"]

_LONGEST = 6000
"""Characters of a traceback: its end says what broke."""


def document(run: Run, title: str = "Conformance") -> str:
    """Return the page; nothing in the results can become markup or script."""
    body = Template(asset(__package__, "page.html")).substitute(title=html.escape(title))
    style, scripts = asset(__package__, "page.css"), [asset(__package__, "page.js")]
    return page(body, _painted(run), title=title, style=style, scripts=scripts)


def _painted(run: Run) -> dict[str, Any]:
    """Return what the page shows."""
    sentences = {each.name: each.sentence for each in all_scenarios()}
    about = run.environment
    facts = [f"taskq {about.taskq}", about.python, about.platform, about.at, f"{run.seeds} seeds" if run.seeds else ""]
    rows = []
    for guarantee in guarantees(run):
        results = [[each for each in target.results if each.guarantee == guarantee.number] for target in run.targets]
        if any(results):
            cells = [_cell(each, sentences) for each in results]
            rows.append({**_named(guarantee, "number", "group", "sentence"), "cells": cells})
    return {
        "verdict": verdict(run),
        "facts": [fact for fact in facts if fact.strip()],
        "targets": [_target(target) for target in run.targets],
        "rows": rows,
        "missing": [_named(each, "name", "reason") for each in run.missing],
    }


def _target(target: Target) -> dict[str, Any]:
    return {
        **_named(target, "name", "about", "time", "tick", "capabilities", "versions", "seconds"),
        "tally": tally(target),
        "ok": target.ok,
        "underclaimed": [each.text for each in target.underclaimed],
    }


def _cell(results: list[Result], sentences: dict[str, str]) -> dict[str, Any]:
    found = cell(results)
    told = [
        {
            **_named(each, "scenario", "status", "reason", "seconds", "seed"),
            "sentence": sentences.get(each.scenario, ""),
            "virtual": each.virtual,
            "error": each.error[-_LONGEST:],
        }
        for each in results
    ]
    return {"state": found.state, "text": found.text, "seconds": found.seconds, "reasons": found.reasons, "results": told}


def _named(value: object, *names: str) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}
