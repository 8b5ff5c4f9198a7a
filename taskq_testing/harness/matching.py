"""Partial matching of values, and where one differs: the comparison behind `assert_enqueued`. Pure; raises nothing.

What is expected may be, at any depth:

- a value that is equal: it matches, whatever it is (`pytest.approx` and others that define `==` work so);
- `ANY`: everything;
- a type: its instances;
- a compiled regular expression: text, or bytes, in which it is found;
- a function: whatever it returns something true for;
- a dict: a mapping that has at least these keys, or an object that has at least these attributes;
- a list or tuple: a sequence item by item; `...` as its last item stands for any further ones;
- a dataclass, attrs object, msgspec struct or pydantic model: one of the same type, field by field;
- `Exactly(value)`: only what is equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["ANY", "Difference", "Exactly", "differences", "show"]

_WIDTH = 120


class _Any:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY: Any = _Any()
"""Matches everything."""


class Exactly:
    """Matches what is equal to `value`, with no key or item more, and nothing in it is a wildcard."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return _equal(self.value, other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Exactly({show(self.value)})"


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


_MISSING = _Missing()


class Difference(NamedTuple):
    """One place where a value is not what was expected.

    Attributes:
        path: where, as in `user.emails[0]`.
        expected: what was expected there, as text.
        actual: what is there, as text.
    """

    path: str
    expected: str
    actual: str


def differences(expected: Any, actual: Any, path: str = "") -> list[Difference]:
    """Return every place in which `actual` is not as expected; none means that it matches."""
    return list(_compare(expected, actual, path))


def _compare(expected: Any, actual: Any, path: str) -> Iterator[Difference]:
    if actual is _MISSING:
        yield Difference(path, show(expected), show(actual))
        return
    if _equal(expected, actual):
        return
    fields = _fields(expected)
    if isinstance(expected, Mapping):
        yield from _compare_keys(expected, actual, path)
    elif isinstance(expected, list | tuple):
        yield from _compare_items(expected, actual, path)
    elif fields is not None and type(actual) is type(expected):
        for name in fields:
            yield from _compare(getattr(expected, name), getattr(actual, name), _attribute(path, name))
    elif not _is_wildcard_for(expected, actual):
        yield Difference(path, show(expected), show(actual))


def _compare_keys(expected: Mapping[Any, Any], actual: Any, path: str) -> Iterator[Difference]:
    if isinstance(actual, Mapping):
        for key, value in expected.items():
            yield from _compare(value, actual.get(key, _MISSING), f"{path}[{key!r}]")
    elif _fields(actual) is not None:
        for key, value in expected.items():
            yield from _compare(value, getattr(actual, str(key), _MISSING), _attribute(path, str(key)))
    else:
        yield Difference(path, show(expected), show(actual))


def _compare_items(expected: Sequence[Any], actual: Any, path: str) -> Iterator[Difference]:
    if not isinstance(actual, Sequence) or isinstance(actual, str | bytes):
        yield Difference(path, show(expected), show(actual))
        return
    is_open = bool(expected) and expected[-1] is ...
    wanted = expected[:-1] if is_open else expected
    for index, value in enumerate(wanted):
        yield from _compare(value, actual[index] if index < len(actual) else _MISSING, f"{path}[{index}]")
    if not is_open:
        for index in range(len(wanted), len(actual)):
            yield Difference(f"{path}[{index}]", show(_MISSING), show(actual[index]))


def _is_wildcard_for(expected: Any, actual: Any) -> bool:
    """Return whether `expected` is a type, an expression or a function that accepts `actual`."""
    try:
        if isinstance(expected, type):
            return isinstance(actual, expected)
        if isinstance(expected, re.Pattern):
            return expected.search(actual) is not None
        return callable(expected) and bool(expected(actual))
    except Exception:  # noqa: BLE001 - a predicate that cannot take this value does not accept it
        return False


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - arrays and others whose comparison is no yes or no are compared by their parts
        return False


def _fields(value: Any) -> list[str] | None:
    """Return the names of a structured object's fields; None for everything else."""
    kind = type(value)
    for attribute in ("__dataclass_fields__", "__struct_fields__", "model_fields", "_fields"):
        names = getattr(kind, attribute, None)
        if names is not None:
            return list(names)
    names = getattr(kind, "__attrs_attrs__", None)
    return None if names is None else [field.name for field in names]


def _attribute(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def show(value: Any) -> str:
    """Return a value, or what is expected of one, as text of at most 120 characters."""
    text = _show(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_show(item)}" for key, item in value.items()) + "}"
    if type(value) is list:
        return "[" + ", ".join(map(_show, value)) + "]"
    if type(value) is tuple:
        return "(" + ", ".join(map(_show, value)) + ("," if len(value) == 1 else "") + ")"
    return "..." if value is ... else _wildcard(value) or _safe_repr(value)


def _wildcard(value: Any) -> str:
    if isinstance(value, type):
        return f"any {value.__name__}"
    if isinstance(value, re.Pattern):
        return f"/{value.pattern}/"
    name = getattr(value, "__name__", "") if callable(value) else ""
    return f"whatever {name} accepts" if name else ""


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a broken repr must not hide the comparison
        return f"<{type(value).__name__}>"
