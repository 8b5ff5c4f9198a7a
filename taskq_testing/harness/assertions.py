"""What a test says about enqueued messages, compared with what waits, and the text of a failure. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, TypedDict

import msgspec

from taskq.task import Task
from taskq_testing.harness.matching import ANY, Difference, differences, show

__all__ = ["Expectation", "Expected", "Pending", "duration", "expect", "no_match", "unwanted"]

_SHOWN = 5
_EXACT = 0.001
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """One message that waits, or runs now.

    Attributes:
        task: name of its task.
        queue: name of its queue.
        args: its arguments as its handler gets them; plain values where its task is not registered here.
        delay: seconds from now until it may run; 0 if it may.
        attempt: the number of its next run, from 1.
        name: what it was named by `named`; None if it was not.
        once: the period in seconds of `once_in`; True for `once` and `once_at`; None without either.
        state: "ready", "delayed", "reserved" (it runs) or "dead".
        id: its id.
        headers: the strings that travel with it.
        reason: why it is dead.
    """

    task: str
    queue: str
    args: tuple[Any, ...] = ()
    delay: float = 0.0
    attempt: int = 1
    name: str | bytes | None = None
    once: float | bool | None = None
    state: str = "ready"
    id: bytes = b""
    headers: dict[str, str] = {}
    reason: str = ""

    def __str__(self) -> str:
        """Return it in one line, as it is shown where an assertion fails."""
        facts = [f"on {self.queue}", {"reserved": "runs now", "dead": f"dead: {self.reason}"}.get(self.state, due(self.delay))]
        if self.attempt > 1:
            facts.append(f"attempt {self.attempt}")
        if self.name is not None:
            facts.append(f"named {self.name!r}")
        if self.once is not None:
            facts.append("once" if self.once is True else f"once in {duration(self.once)}")
        return f"{self.task}({', '.join(map(show, self.args))}) {', '.join(facts)}"


class Expected(TypedDict, total=False):
    """What `assert_enqueued` and `refute_enqueued` may say of a message; what is not said is not compared.

    Values are matched partially and may be wildcards at any depth, see `taskq_testing.harness.matching`.

    Attributes:
        args: the first positional arguments.
        kwargs: arguments by the names of the handler's parameters.
        queue: the queue's name.
        name: the name given to `named`; None for a message without one.
        delay: time from now until it may run, as seconds (compared to the millisecond, and to the millionth part), a
            timedelta, `pytest.approx(seconds)` or a function of the seconds. 0 means that it may run now.
        once: whether it is deduplicated by its arguments or by a period; or that period, in seconds or as a timedelta.
        attempt: the number of its next run, from 1.
        headers: strings that travel with it.
    """

    args: Sequence[Any]
    kwargs: dict[str, Any]
    queue: Any
    name: Any
    delay: Any
    once: Any
    attempt: Any
    headers: Any


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of a message, ready to be compared.

    Attributes:
        task: name of the task; None for any.
        arguments: position, name and expected value of each argument that is compared.
        fields: expected values of the other attributes of a `Pending`.
    """

    task: str | None
    arguments: list[tuple[int, str, Any]]
    fields: dict[str, Any]

    def differences(self, pending: Pending) -> list[Difference]:
        """Return where a message is not as expected; none means that it matches."""
        found = []
        if self.task is not None and self.task != pending.task:
            found.append(Difference("task", self.task, pending.task))
        for index, label, expected in self.arguments:
            if index < len(pending.args):
                found += differences(expected, pending.args[index], label)
            else:
                found.append(Difference(label, show(expected), "nothing"))
        for field, expected in self.fields.items():
            found += _COMPARE.get(field, differences)(expected, getattr(pending, field), field)
        return found

    def __str__(self) -> str:
        """Return it in one line."""
        values = [f"{label}={show(value)}" for _, label, value in self.arguments]
        facts = [f"{key} {_show_field(key, value)}" for key, value in self.fields.items()]
        return ", ".join([f"{self.task or 'any task'}({', '.join(values)})", *facts])


def expect(name: str | None, task: Task[Any] | None, expected: Expected) -> Expectation:
    """Compile what is expected.

    Args:
        name: name of the task; None for any.
        task: the task, where it is registered here.
        expected: what is said of the message.

    Raises:
        TypeError: a word that is none of `Expected`, or arguments that the handler does not take.
    """
    for key in expected:
        if key not in Expected.__annotations__:
            known = ", ".join(Expected.__annotations__)
            raise TypeError(f"{key}= says nothing of a message; known are: {known}. Arguments by name go into kwargs={{...}}")
    fields = {key: value for key, value in expected.items() if key not in ("args", "kwargs")}
    args, kwargs = expected.get("args", ANY), expected.get("kwargs", {})
    positional = [] if args is ANY else list(args)
    names = _parameters(task)
    if names is not None and len(positional) > len(names):
        raise TypeError(f"task {name!r} takes {len(names)} arguments ({', '.join(names)}) and args= gives {len(positional)}")
    arguments = [(n, names[n] if names is not None else f"args[{n}]", value) for n, value in enumerate(positional)]
    for key, value in kwargs.items():
        if names is None or key not in names:
            known = ", ".join(names) if names else "none that are known here"
            raise TypeError(f"task {name!r} has no parameter {key!r}; it has: {known}")
        arguments.append((names.index(key), key, value))
    return Expectation(task=name, arguments=arguments, fields=fields)


def _parameters(task: Task[Any] | None) -> list[str] | None:
    """Return the names of the arguments that travel; None where they have no names."""
    if task is None or task.binder.form != "args":
        return None
    names = list(inspect.signature(task.handler).parameters)
    return names[1:] if task.binder.wants_context else names


# -- fields that are compared in their own way


def _compare_delay(expected: Any, actual: float, path: str) -> list[Difference]:
    wanted = expected.total_seconds() if isinstance(expected, timedelta) else expected
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        matches = abs(actual - wanted) <= max(_EXACT, abs(wanted) * 1e-6)
    else:
        matches = not differences(wanted, actual)
    return [] if matches else [Difference(path, _show_field("delay", expected), duration(actual))]


def _compare_once(expected: Any, actual: float | bool | None, path: str) -> list[Difference]:
    if isinstance(expected, bool):
        actual = actual is not None
    elif isinstance(expected, timedelta):
        expected = expected.total_seconds()
    return differences(expected, actual, path)


def _compare_name(expected: Any, actual: str | bytes | None, path: str) -> list[Difference]:
    if isinstance(expected, str) and isinstance(actual, bytes):
        expected = expected.encode()
    elif isinstance(expected, bytes) and isinstance(actual, str):
        actual = actual.encode()
    return differences(expected, actual, path)


_COMPARE: dict[str, Callable[[Any, Any, str], list[Difference]]] = {
    "delay": _compare_delay,
    "once": _compare_once,
    "name": _compare_name,
}


def _show_field(key: str, value: Any) -> str:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if key in ("delay", "once") and isinstance(value, int | float) and not isinstance(value, bool):
        return duration(value)
    return show(value)


# -- texts


def no_match(expectation: Expectation, pending: Sequence[Pending], *, count: int | None, beside: Iterable[str] = ()) -> str:
    """Return why an assertion failed: how many match, and the nearest of those that do not, with their differences.

    Args:
        expectation: what was expected.
        pending: everything that waits.
        count: how many matches were expected; None for at least one.
        beside: more lines that may explain it.
    """
    judged = [(expectation.differences(message), message) for message in pending]
    matching = [message for found, message in judged if not found]
    wanted = "" if count is None else f"; expected {'is' if count == 1 else 'are'} {count}"
    lines = [f"{_matches(len(matching))} {expectation}{wanted}", *(f"  {message}" for message in matching[:_SHOWN])]
    misses = [(found, message) for found, message in judged if found]
    if misses:
        lines += ["", f"{len(misses)} {'does' if len(misses) == 1 else 'do'} not, the closest first:"]
        lines += _near_misses(misses)
    elif not pending:
        lines += ["", "No message waits."]
    return "\n".join([*lines, *beside])


def _near_misses(misses: list[tuple[list[Difference], Pending]]) -> list[str]:
    misses = sorted(misses, key=lambda miss: (any(d.path == "task" for d in miss[0]), len(miss[0])))
    lines = []
    for found, message in misses[:_SHOWN]:
        lines.append(f"  {message}")
        width = max(len(difference.path) for difference in found)
        for path, expected, actual in found:
            lines += [f"    {path:<{width}}  expected {expected}", f"    {'':<{width}}  but is   {actual}"]
    if len(misses) > _SHOWN:
        lines.append(f"  and {len(misses) - _SHOWN} more")
    return lines


def unwanted(expectation: Expectation, matching: Sequence[Pending]) -> str:
    """Return the text for messages that should not be there."""
    lines = [f"{_matches(len(matching))} {expectation}; expected is none"]
    lines += [f"  {message}" for message in matching[:_SHOWN]]
    if len(matching) > _SHOWN:
        lines.append(f"  and {len(matching) - _SHOWN} more")
    return "\n".join(lines)


def _matches(count: int) -> str:
    return f"{count or 'no'} message matches" if count < 2 else f"{count} messages match"


def due(delay: float) -> str:
    """Return when something is due, in words."""
    return f"due in {duration(delay)}" if delay > 0 else "due now"


def duration(seconds: float) -> str:
    """Return seconds in units that people read, such as "1 h 30 min" or "250 ms"."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.6g} ms"
    seconds = round(seconds, 3)
    parts = []
    for size, unit in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            parts.append(f"{count} {unit}")
            seconds -= count * size
    if seconds or not parts:
        parts.append(f"{seconds:.6g} s")
    return " ".join(parts)
