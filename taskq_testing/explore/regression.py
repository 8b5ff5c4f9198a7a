"""A failure as a test: the source text of a pytest function that replays it, for people to read and keep."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from taskq.errors import ConfigError
from taskq_testing.explore.tapes import entry_texts, sentence
from taskq_testing.outcome import Outcome
from taskq_testing.tape import Draw

__all__ = ["literal", "regression"]

_WIDTH = 88
_INDENT = "    "


def regression(
    name: str, reference: str, outcome: Outcome, *, settings: Mapping[str, str] | None = None, fixtures: Sequence[str] = ()
) -> str:
    """Return the source of a pytest function that replays a failure; it fails for as long as the failure is there.

    Args:
        name: of the function; "test_" is put before it where it is missing.
        reference: the scenario, an async function of a world: MODULE:NAME, or :NAME for a test that goes into the same module.
        outcome: the failure, best shrunk. Its draws become literals.
        settings: further keywords of the decorator as source text, such as {"workers": "2", "app": "app"}.
        fixtures: names of the fixtures that the scenario takes beside the world.

    Raises:
        ConfigError: the run did not fail, or a name cannot be one in Python.
    """
    if not outcome.failed:
        raise ConfigError(f"the run of seed {outcome.seed} did not fail; a regression needs a failure")
    module, colon, scenario = reference.rpartition(":")
    parts = f"{module}.{scenario}".removeprefix(".").split(".")
    if not colon or not all(part.isidentifier() for part in (name, *parts)):
        raise ConfigError(f"{name!r} of {reference!r} cannot be a test; give a name, and MODULE:NAME or :NAME")
    parameters = ", ".join(["world", *fixtures])
    arguments = ", ".join(["world", *(f"{fixture}={fixture}" for fixture in fixtures)])
    imports = ["import taskq_testing", "", f"from {module} import {scenario.partition('.')[0]}"]
    lines = [
        *(imports if module else imports[:1]),
        *["", ""],
        "@taskq_testing.simulation(",
        *(f"{_INDENT}{keyword}={value}," for keyword, value in (settings or {}).items()),
        *_replay(outcome.entries),
        ")",
        f"async def {name if name.startswith('test_') else f'test_{name}'}({parameters}):",
        *_docstring(outcome),
        f"{_INDENT}await {scenario}({arguments})",
    ]
    return "\n".join(lines) + "\n"


def _replay(entries: Mapping[Draw, int]) -> list[str]:
    if not entries:
        return [f"{_INDENT}replay={{}},"]
    lines = [f"{_INDENT}replay={{"]
    for draw, text in entry_texts(entries).items():
        label, key, count = draw
        value = entries[draw]
        comment = f"# {' '.join(text.split())}"
        line = f"{_INDENT * 2}({_quoted(label)}, {_quoted(key)}, {count}): {value},"
        if len(line) + len(comment) + 2 <= _WIDTH:
            lines.append(f"{line}  {comment}")
        else:
            lines += [f"{_INDENT * 2}{textwrap.shorten(comment, _WIDTH - 2 * len(_INDENT), placeholder=' ...')}", line]
    return [*lines, f"{_INDENT}}},"]


def literal(value: Any) -> str:
    """Return a value as source text, as formatters write it; sets become lists, in order.

    Raises:
        ConfigError: it is not made of strings, numbers, None, and lists, tuples, sets and dicts of such.
    """
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, list | set | frozenset):
        return f"[{', '.join(map(literal, value if isinstance(value, list) else sorted(value)))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{literal(key)}: {literal(one)}' for key, one in value.items())}}}"
    raise ConfigError(f"{value!r} cannot be written as a literal")


def _quoted(text: str) -> str:
    """Return a string in double quotes, unless that takes more escapes."""
    quoted = repr(text)
    return f'"{quoted[1:-1]}"' if quoted[0] == "'" and '"' not in text else quoted


def _docstring(outcome: Outcome) -> list[str]:
    """Return what is wrong as a docstring: one line where it fits, else a paragraph below its first line."""
    text = " ".join(sentence(outcome).split()).replace('"""', "'''").rstrip(".")
    first, space, rest = text.partition(" ")
    text = f"{first.capitalize() if first.isalpha() else first}{space}{rest}."
    raw = "r" if "\\" in text else ""
    if len(text) + len(raw) <= _WIDTH - len(_INDENT) - 6:
        return [f'{_INDENT}{raw}"""{text}"""']
    wrapped = textwrap.wrap(text, _WIDTH - len(_INDENT), break_long_words=False, break_on_hyphens=False)
    paragraph = [f"{_INDENT}{line}" for line in wrapped]
    return [f'{_INDENT}{raw}"""Replay the failure of seed {outcome.seed}.', "", *paragraph, f'{_INDENT}"""']
