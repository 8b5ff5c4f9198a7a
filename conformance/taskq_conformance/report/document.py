"""The page: one HTML file with its style, script and data inside, which may load nothing from anywhere.

It needs a browser of 2024 or later (Chrome 123, Firefox 120, Safari 17.5).
"""

from __future__ import annotations

import base64
import hashlib
import html
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

import msgspec

from taskq_conformance.report.cells import cell, guarantees, tally, verdict
from taskq_conformance.results import Result, Run, Target
from taskq_conformance.scenario import all_scenarios

__all__ = ["document"]

_LONGEST = 6000
"""Characters of a traceback: its end says what broke."""


def document(run: Run, title: str = "Conformance") -> str:
    """Return the page; nothing in the results can become markup or script."""
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_asset("page.html")).substitute(
        policy=policy,
        title=html.escape(title),
        style=f"<style>{style}</style>",
        data=f"<script type='application/json' id='run'>{_embedded(_painted(run))}</script>",
        script=f"<script>{script}</script>",
    )


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


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


@cache
def _digest(source: str) -> str:
    """Return the one inline style or script that the page's policy allows by this."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _embedded(data: object) -> str:
    """Return JSON in which no character can end a script element, open a comment or break a line of script."""
    text = msgspec.json.encode(data).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
