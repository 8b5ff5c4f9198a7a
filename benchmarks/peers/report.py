"""A run as Markdown: the goals, the table of everybody, what it costs, and what all of it ran on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.peers.goals import FLOOR_ASYNC, FLOOR_SYNC, GOALS, PEERS, TASKQ, Goal, measured, met, rivals
from benchmarks.peers.results import Figure, Key, Results

__all__ = ["NOISY", "cpu_table", "goals_table", "markdown"]

NOISY = 0.15
"""Cores that others may use during a cell before the report says so."""

_NONE = "–"
_STATES = {False: "cores left alone", True: "cores kept awake"}


def markdown(results: Results) -> str:
    """Return the whole report."""
    parts = ["## Goals", goals_table(results)]
    for awake in results.conditions():
        parts += [f"## Everybody, {_STATES[awake]}", _LEGEND, _rates(results, awake=awake), _costs(results, awake=awake)]
    parts += ["## Processor time", cpu_table(results)]
    if backlogs := _backlogs(results):
        parts += ["## Backlogs", backlogs]
    return "\n\n".join([*parts, "## Run", _machine(results)]) + "\n"


_LEGEND = (
    "Medians of the repetitions, lowest and highest in brackets; behind them the ratio to the floor of the same kind, sync or "
    "async, within each repetition. Rates are jobs a second."
)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# -- goals


def goals_table(results: Results) -> str:
    """Return one row for each goal: what is wanted, what was measured in each state, and whether that is enough."""
    states = results.conditions()
    head = ["goal", "wanted", *(_STATES[awake] for awake in states), "met"]
    return _table(head, (_goal_row(goal, results, states) for goal in GOALS))


def _goal_row(goal: Goal, results: Results, states: Sequence[bool]) -> list[str]:
    found = {awake: measured(goal, results, awake=awake) for awake in states}
    verdicts = {awake: met(goal, each) for awake, each in found.items() if each is not None}
    if not verdicts:
        verdict = "not measured"
    elif len(set(verdicts.values())) == 1:
        verdict = "yes" if all(verdicts.values()) else "**no**"
    else:
        verdict = f"**only with {_STATES[next(awake for awake, well in verdicts.items() if well)]}**"
    unit = f" {goal.unit}" if goal.unit else ""
    wanted = f"{'≥' if goal.reaches == '>=' else '≤'} {goal.limit:g}{unit}{_compared(goal, results)}"
    return [goal.what, wanted, *(_spread(found[awake], 2 if goal.to else None) for awake in states), verdict]


def _compared(goal: Goal, results: Results) -> str:
    if goal.to is None:
        return ""
    if goal.to != PEERS:
        return f" × `{goal.to[0]}`"
    fastest = {results.fastest(rivals(results), awake=awake) for awake in results.conditions()}
    names = sorted({f"{key.peer}, {key.worker}" for key in fastest if key is not None})
    return f" × the fastest peer ({'; '.join(names) or 'none measured'})"


def _spread(found: Figure | None, digits: int | None = None) -> str:
    if found is None:
        return _NONE
    return f"{_number(found.median, digits)} ({_number(found.low, digits)} – {_number(found.high, digits)})"


def _number(value: float, digits: int | None = None) -> str:
    if digits is not None:
        return f"{value:,.{digits}f}"
    if value >= 1000:
        return f"{value / 1000:,.{0 if value >= 100_000 else 1}f}k"
    return f"{value:.{0 if value >= 100 else 1 if value >= 1 else 3}f}"


# -- everybody


def _workers(results: Results) -> Iterable[tuple[str, str, list[str], bool]]:
    """Each worker of each peer that has a row, with the peer's tasks, and whether it is the peer's first, which always has."""
    measured_ones = {(cell.peer, cell.worker) for cell in results.cells}
    for name, peer in results.peers.items():
        for index, label in enumerate(peer["workers"]):
            if index == 0 or (name, label) in measured_ones:
                yield name, label, peer["tasks"], index == 0


def _floor_of(phase: str) -> tuple[str, str]:
    return FLOOR_SYNC if phase.endswith("_sync") else FLOOR_ASYNC


def _rate(results: Results, key: Key, *, awake: bool) -> str:
    found = results.figure(key, awake=awake)
    if found is None:
        return _NONE
    floor, worker = _floor_of(key.phase)
    to = Key(peer=floor, worker=worker if key.worker else None, phase=key.phase)
    ratio = results.ratio(key, to, awake=awake)
    return _spread(found) + (f" ×{ratio.median:.{2 if ratio.median >= 0.1 else 3}f}" if ratio else "")


_RATES = {
    "noop_async": "async no-op",
    "noop_sync": "sync no-op",
    "sleep_async": "async 1 ms",
    "sleep_sync": "sync 1 ms",
    "enqueue_sync": "enqueue",
    "enqueue_async": "enqueue, async",
    "bulk_sync": "bulk",
    "bulk_async": "bulk, async",
}


def _rates(results: Results, *, awake: bool) -> str:
    rows = []
    for name, label, _, first in _workers(results):
        row = [f"{name}: {label}"]
        for phase in _RATES:
            per_peer = phase.startswith(("enqueue", "bulk"))
            key = Key(peer=name, worker=None if per_peer else label, phase=phase)
            row.append("" if per_peer and not first else _rate(results, key, awake=awake))
        rows.append(row)
    return _table(["peer: worker", *_RATES.values()], rows)


def _costs(results: Results, *, awake: bool) -> str:
    head = ["peer: worker", "latency p50 / p95 / p99 ms", "after 2 s p50 / p99 ms", "worker CPU µs a job", "server CPU µs a job"]
    head += ["server commands a job", "peak RSS MB", "start to first job s", "import ms"]
    rows = []
    for name, label, tasks, first in _workers(results):

        def of(phase: str, number: str, name: str = name, label: str | None = label) -> str:
            found = results.figure(Key(peer=name, worker=label, phase=phase, name=number), awake=awake)
            return _NONE if found is None else _number(found.median)

        row = [f"{name}: {label}", " / ".join(of("latency", f"p{n}_ms") for n in (50, 95, 99))]
        row.append(" / ".join(of("idle", f"p{n}_ms") for n in (50, 99)))
        row += [of(tasks[0], number) for number in ("worker_us", "server_us", "commands", "rss_mb", "startup_s")]
        imported = results.figure(Key(peer=name, worker=None, phase="import", name="import_ms"), awake=False)
        row.append(_number(imported.median) if imported and first else "")
        rows.append(row)
    return _table(head, rows)


# -- processor time


_CPU = {
    "noop_async": ("worker_us", "worker, async no-op"),
    "noop_sync": ("worker_us", "worker, sync no-op"),
    "sleep_async": ("worker_us", "worker, async 1 ms"),
    "sleep_sync": ("worker_us", "worker, sync 1 ms"),
    "enqueue_sync": ("cpu_us", "enqueue"),
    "enqueue_async": ("cpu_us", "enqueue, async"),
    "bulk_sync": ("cpu_us", "bulk"),
    "bulk_async": ("cpu_us", "bulk, async"),
}


def cpu_table(results: Results) -> str:
    """Return what taskq and the floors spend of our own processor time on a job: steadier than rates on a busy machine."""
    rows = []
    for phase, (name, words) in _CPU.items():
        ours, floor = (_cpu_key(who, phase, name) for who in (TASKQ, _floor_of(phase)))
        for awake in results.conditions():
            pair = results.figure(ours, awake=awake), results.figure(floor, awake=awake)
            rows.append(
                [words, _STATES[awake], *(_spread(each) for each in pair), _spread(results.ratio(ours, floor, awake=awake), 2)]
            )
    return _table(["CPU µs a job", "", "taskq", "floor", "ratio"], (row for row in rows if row[2] != _NONE))


def _cpu_key(who: tuple[str, str], phase: str, name: str) -> Key:
    return Key(peer=who[0], worker=None if phase.startswith(("enqueue", "bulk")) else who[1], phase=phase, name=name)


# -- the rest


_BACKLOG = ("drain_us", "cpu_us", "fill_us", "server_bytes")


def _backlogs(results: Results) -> str:
    cells = [cell for cell in results.cells if cell.phase == "backlog"]
    drained = {(cell.peer, cell.worker, name) for cell in cells for name in cell.values if name.startswith("drain_us_")}
    sizes = sorted((peer, int(name.removeprefix("drain_us_")), worker) for peer, worker, name in drained)
    rows = []
    for peer, size, worker in sizes:
        keys = [Key(peer=peer, worker=worker, phase="backlog", name=f"{what}_{size}") for what in _BACKLOG]
        rows.append([peer, f"{size:,}", *(_spread(results.figure(key, awake=results.conditions()[0])) for key in keys)])
    head = [
        "peer",
        "backlog",
        "µs to drain one",
        "CPU µs of worker and server",
        "µs to add one, in bulk",
        "server's bytes for one",
    ]
    return _table(head, rows) if rows else ""


def _machine(results: Results) -> str:
    machine = results.machine
    on = [machine["cpu"], f"{machine['cores']} cores", f"Python {machine['python']}", machine["server"]]
    on += [f"niceness {machine['niceness']}"] if machine["niceness"] else []
    lines = [f"{', '.join(on)}, {machine['when']}.", ""]
    for name, peer in results.peers.items():
        versions = ", ".join(f"{what} {version}" for what, version in peer["versions"].items())
        lines.append(f"- {name}: {versions}. {peer['settings']}")
    measured_cells = [cell for cell in results.cells if cell.error is None]
    noisy = sum(cell.busy > NOISY for cell in measured_cells)
    lines.append(f"- {noisy} of {len(measured_cells)} cells were measured while others used more than {NOISY} cores.")
    for cell in results.cells:
        if cell.error is not None:
            where = f"{cell.peer} {cell.worker or ''} {cell.phase}, repetition {cell.repetition + 1}, {_STATES[cell.awake]}"
            lines.append(f"- failed: {where}: {cell.error}")
    return "\n".join(lines)
