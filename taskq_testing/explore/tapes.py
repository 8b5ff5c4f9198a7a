"""Tapes on disk, and draws in words: how a failing run is kept, passed on, edited by hand and read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec

from taskq.errors import ConfigError
from taskq_testing.explore.strategies import SCHEDULE
from taskq_testing.faults import PLACES
from taskq_testing.outcome import Outcome
from taskq_testing.tape import Draw, Entries

__all__ = ["Recording", "entry_text", "entry_texts", "load", "save", "sentence", "words"]

SCHEMA = 1
_ON = "on"  # draws which faults a run may have at all
_DETAILS = {"fault": "which fault it is", "span": "for how long", "variant": "in which way"}
_LONGEST = 200


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """One draw that is not boring; `words` is for the reader alone."""

    label: str
    value: int
    key: str = ""
    count: int = 0
    words: str = ""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A tape as it is kept in a file.

    Attributes:
        seed: of the run.
        entries: its draws that are not boring.
        scenario: what the run was of: MODULE:NAME, FILE.py:NAME, or the name that pytest has for a test. Empty if unknown.
        signature: how it failed; empty if it did not.
        sentence: the same, for a reader.
    """

    seed: int
    entries: Entries
    scenario: str = ""
    signature: tuple[str, ...] = ()
    sentence: str = ""


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    schema: int
    seed: int
    draws: list[_Line]
    scenario: str = ""
    signature: tuple[str, ...] = ()
    sentence: str = ""


def save(path: str | Path, outcome: Outcome, *, scenario: str = "") -> None:
    """Write the tape of a run to a file: JSON, one draw a line, so that a line can be deleted or a value changed by hand.

    Args:
        path: of the file; its folders are made.
        outcome: the run.
        scenario: what it was a run of; see `Recording`.
    """
    head = {
        "schema": SCHEMA,
        "scenario": scenario,
        "sentence": sentence(outcome),
        "signature": outcome.signature,
        "seed": outcome.seed,
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items()]
    texts = entry_texts(outcome.entries)
    draws = [
        json.dumps({"label": draw[0], "key": draw[1], "count": draw[2], "value": value, "words": texts[draw]})
        for draw, value in outcome.entries.items()
    ]
    body = ",\n".join(f"    {line}" for line in draws)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + "".join(lines) + '  "draws": [' + (f"\n{body}\n  " if draws else "") + "]\n}\n", encoding="utf-8")


def load(path: str | Path) -> Recording:
    """Read a tape from a file.

    Raises:
        ConfigError: the file cannot be read, is no tape, or has the same draw twice.
    """
    try:
        file = msgspec.json.decode(Path(path).read_bytes(), type=_File)
    except OSError as error:
        raise ConfigError(f"tape {str(path)!r} cannot be read: {error.strerror or error}") from None
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{str(path)!r} is no tape: {error}") from None
    if file.schema != SCHEMA:
        raise ConfigError(f"tape {str(path)!r} has schema {file.schema} and this version reads {SCHEMA}; record it again")
    entries: Entries = {}
    for line in file.draws:
        draw = (line.label, line.key, line.count)
        if draw in entries or line.value < 0 or line.count < 0:
            raise ConfigError(f"tape {str(path)!r} has a draw twice or below 0: {draw}; keep one of them, from 0")
        entries[draw] = line.value
    return Recording(seed=file.seed, entries=entries, scenario=file.scenario, signature=file.signature, sentence=file.sentence)


def sentence(outcome: Outcome) -> str:
    """Return in one sentence what is wrong with a run; empty if nothing is. Of an error's text only the first line is told."""
    if outcome.error is not None:
        lines = str(outcome.error).strip().splitlines()
        text = f": {lines[0].strip()[:_LONGEST]}" if lines else ""
        return f"the test raised {type(outcome.error).__name__}{text}"
    if outcome.violations:
        first = outcome.violations[0]
        return f"{first.sentence.rstrip('.')} (invariant {first.invariant})"
    return ""


# -- draws in words


def words(entries: Mapping[Draw, int]) -> list[str]:
    """Return what the draws of a run make happen, a line for each; those that only say how a fault goes are told with it."""
    texts = entry_texts(entries)
    lines = [text for (label, _, _), text in texts.items() if label not in (_ON, *_DETAILS)]
    allowed = [key for label, key, _ in texts if label == _ON]
    return [*lines, f"faults that the run may have: {', '.join(allowed)}"] if allowed else lines


def entry_texts(entries: Mapping[Draw, int]) -> dict[Draw, str]:
    """Return each draw in words, as it is to be understood among the others."""
    texts: dict[Draw, str] = {}
    firings: dict[str, int] = {}
    for draw, value in entries.items():
        label, key, _ = draw
        if label in PLACES:
            number = firings[key] = firings.get(key, -1) + 1
            names = PLACES[label][1]
            texts[draw] = _at(names[min(entries.get(("fault", key, number), 0), len(names) - 1)], draw)
        else:
            texts[draw] = entry_text(draw, value)
    return texts


def entry_text(draw: Draw, value: int) -> str:
    """Return one draw in words, whatever else is drawn."""
    label, key, count = draw
    if label in _DETAILS:
        return f"{_DETAILS[label]} ({value})"
    if label == SCHEDULE:
        return _turn(key, count, value)
    if label == _ON:
        return f"the run may have {key.replace('_', ' ')}"
    return _at(label, draw) + (f" ({value})" if value > 1 else "")


def _turn(key: str, count: int, value: int) -> str:
    names = key.split(",")
    if value < len(names):
        ready = ", ".join(names)
        return f"{names[value]} goes on before {names[0]}{_time(count, f' that {ready} are ready')}"
    return f"{key or 'the process whose turn it is'} lets another go first{_time(count)}" + (f" ({value})" if value > 1 else "")


def _at(name: str, draw: Draw) -> str:
    _, key, count = draw
    return f"{name.replace('_', ' ')}{f' of {key.strip()}' if key.strip() else ''}{_time(count)}"


def _time(count: int, what: str = "") -> str:
    return f", the {ordinal(count + 1)} time{what}" if count or what else ""


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th and so on."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
