"""What a run of `benchmarks/peers` says: its arithmetic, its goals and its report."""

from dataclasses import replace

import pytest

from benchmarks.peers import catalog, goals, plan, report, run
from benchmarks.peers.catalog import read_peer
from benchmarks.peers.cells import by_backlog
from benchmarks.peers.goals import FLOOR_ASYNC, FLOOR_SYNC, GOALS, PEERS, TASKQ, Goal
from benchmarks.peers.results import Cell, Figure, Key, Results, figure, quantile


def cell(who, phase, repetition=0, awake=False, **values):
    """One measurement; of a peer as a whole where only its name is given."""
    peer, worker = (who, None) if isinstance(who, str) else who
    return Cell(peer=peer, worker=worker, phase=phase, repetition=repetition, awake=awake, values=values)


def results(*cells):
    """What a run holds that measured these, with two peers of which the second has two processes."""
    told = {"versions": {"redis": "8"}, "settings": "As they are."}
    return Results(
        machine={"cpu": "a CPU", "cores": 2, "python": "3.11", "server": "Valkey 9", "niceness": 0, "when": "today"},
        peers={
            "floor_async": {"tasks": ["noop_async"], "workers": {"inline": 1}, **told},
            "taskq": {"tasks": ["noop_async", "noop_sync"], "workers": {"one process": 1}, **told},
            "toy": {"tasks": ["noop_sync"], "workers": {"threads": 1, "forks": 2}, **told},
            "snail": {"tasks": ["noop_async"], "workers": {"tasks": 1}, **told},
        },
        cells=list(cells),
    )


# -- arithmetic


def test_a_figure_is_the_median_with_the_extremes():
    """The median of an even number of values lies between the middle ones, and nothing has no figure."""
    assert figure([3.0, 1.0, 2.0]) == Figure(2.0, 1.0, 3.0)
    assert figure([4.0, 1.0, 2.0, 3.0]) == Figure(2.5, 1.0, 4.0)
    assert figure([]) is None


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (1, 1), (50, 50), (50.5, 51), (99, 99), (100, 100)])
def test_a_quantile_is_one_of_the_values(percent, value):
    """It is the smallest value that so many percent do not exceed, whatever the order."""
    assert quantile([*range(51, 101), *range(1, 51)], percent) == value


def test_the_quantile_of_few_values_is_their_largest():
    """With fewer than a hundred values the 99th percentile is the worst of them, never a better one."""
    assert quantile([1.0, 2.0, 9.0], 99) == 9.0
    with pytest.raises(ValueError, match="give at least one value"):
        quantile([], 50)


def test_ratios_are_taken_within_a_repetition():
    """A machine that is half as fast in one repetition changes no ratio, where the ratio of the medians would."""
    found = results(
        *(cell(TASKQ, "noop_async", n, rate=rate) for n, rate in enumerate([60.0, 30.0, 45.0])),
        *(cell(FLOOR_ASYNC, "noop_async", n, rate=rate) for n, rate in enumerate([100.0, 50.0, 90.0])),
    )
    ours, floor = (Key(peer=peer, worker=worker, phase="noop_async") for peer, worker in (TASKQ, FLOOR_ASYNC))
    assert found.ratio(ours, floor, awake=False) == Figure(0.6, 0.5, 0.6)
    assert found.figure(ours, awake=False) == Figure(45.0, 30.0, 60.0)


def test_a_repetition_that_one_side_lacks_has_no_ratio():
    """What failed on one side, or in the other state of the machine, pairs with nothing."""
    found = results(
        cell(TASKQ, "noop_async", 1, rate=99.0),
        cell(TASKQ, "noop_async", 0, rate=10.0),
        cell(FLOOR_ASYNC, "noop_async", 0, rate=20.0),
        Cell(peer="floor_async", worker="inline", phase="noop_async", repetition=1, awake=False, error="it ended"),
        cell(FLOOR_ASYNC, "noop_async", 1, awake=True, rate=1.0),
    )
    ours, floor = (Key(peer=peer, worker=worker, phase="noop_async") for peer, worker in (TASKQ, FLOOR_ASYNC))
    assert found.ratio(ours, floor, awake=False) == Figure(0.5, 0.5, 0.5)
    assert found.ratio(ours, floor, awake=True) is None


def test_the_fastest_has_the_highest_median():
    """One lucky repetition does not make the fastest, and who was not measured is not it."""
    found = results(
        *(cell("lucky", "bulk_sync", n, rate=rate) for n, rate in enumerate([1.0, 1.0, 99.0])),
        *(cell("steady", "bulk_sync", n, rate=2.0) for n in range(3)),
    )
    keys = [Key(peer=name, worker=None, phase="bulk_sync") for name in ("lucky", "steady", "absent")]
    assert found.fastest(keys, awake=False) == keys[1]
    assert found.fastest(keys, awake=True) is None


def test_results_are_read_as_they_were_written(tmp_path):
    """Nothing is lost between a run and its report on another day."""
    found = results(cell(TASKQ, "noop_async", 2, awake=True, rate=1.5), Cell(**vars(cell("toy", "import")) | {"error": "no"}))
    found.save(tmp_path / "a.json")
    assert Results.load(tmp_path / "a.json") == found


@pytest.mark.parametrize(("errors", "busy", "counts"), [
    ((None, None), (0.9, 0.1), 1), ((None, None), (0.1, 0.9), 0), ((None, "x"), (0.9, 0.0), 0), (("x", None), (0.0, 0.9), 1),
])  # fmt: skip
def test_the_quietest_try_that_worked_counts(errors, busy, counts):
    """A try that failed never stands in for one that worked, however quiet the machine was."""
    tries = [replace(cell("toy", "import"), error=error, busy=cores) for error, cores in zip(errors, busy, strict=True)]
    assert run.better(run.better(None, tries[0]), tries[1]) is tries[counts]


def test_the_cost_of_a_message_is_the_median_of_its_rounds():
    """Growth is the worst of the larger backlogs by the smallest one, in whatever order they were drained."""
    told = [{"rate": rate, "fill_us": 2.0, "server_bytes": 80.0} for rate in (100_000.0, 125_000.0, 10.0)]
    found = by_backlog(
        {9000: [{**told[0], "rate": 50_000.0}], 10: told, 90: [{**told[0], "rate": 40_000.0, "worker_us": 3.0, "server_us": 4.0}]}
    )
    assert {name: value for name, value in found.items() if name.startswith("drain")} == {
        "drain_us_9000": 20.0, "drain_us_10": 10.0, "drain_us_90": 25.0,
    }  # fmt: skip
    assert (found["growth"], found["fill_us_10"], found["server_bytes_90"]) == (2.5, 2.0, 80.0)
    assert {name: value for name, value in found.items() if name.startswith("cpu")} == {"cpu_us_90": 7.0}


# -- goals


def test_more_of_a_rate_is_better_and_less_of_a_cost():
    """A limit that is just reached is reached, on either side."""
    faster, cheaper = Goal("a", "noop_async", 0.6, to=FLOOR_ASYNC), Goal("b", "noop_async", 15, "worker_us")
    assert [goals.met(faster, Figure(m, 0, 9)) for m in (0.59, 0.6, 0.61)] == [False, True, True]
    assert [goals.met(cheaper, Figure(m, 0, 99)) for m in (14.9, 15, 15.1)] == [True, True, False]


def test_a_goal_to_the_peers_takes_the_fastest_that_is_one_process():
    """Floors, taskq itself and peers with several processes are no candidates, a slower peer is none either."""
    found = results(
        cell(TASKQ, "noop_async", rate=100.0),
        cell(FLOOR_ASYNC, "noop_async", rate=200.0),
        cell(("toy", "threads"), "noop_sync", rate=5.0),
        cell(("toy", "forks"), "noop_sync", rate=50.0),
        cell(("snail", "tasks"), "noop_async", rate=1.0),
    )
    assert goals.measured(Goal("a", "noop_async", 10, to=PEERS), found, awake=False) == Figure(20.0, 20.0, 20.0)


def test_a_goal_without_a_rival_is_not_measured():
    """Without a floor or a peer in the run nothing is claimed."""
    alone = results(cell(TASKQ, "noop_async", rate=100.0))
    assert [goals.measured(goal, alone, awake=False) for goal in GOALS[:2]] == [None, None]
    assert goals.measured(Goal("a", "noop_async", 1), alone, awake=False) == Figure(100.0, 100.0, 100.0)


def test_each_goal_names_what_exists():
    """Peers, workers, cells and numbers of the goals are those of the peers' files and of the cells."""
    for goal in GOALS:
        assert goal.phase in plan.PHASES
        for name, label in (TASKQ, *([goal.to] if isinstance(goal.to, tuple) else [])):
            peer = read_peer(catalog.INSIDE / f"peer_{name}.py")
            assert label == peer.workers[0].label
            assert not goal.phase.startswith(("noop", "sleep")) or goal.phase in peer.tasks


def test_the_goals_are_those_that_were_asked_for():
    """The limits of the project's speed, as a list that a change has to touch."""
    wanted = [(goal.phase, goal.name, goal.reaches, goal.limit, goal.to) for goal in GOALS]
    assert wanted == [
        ("noop_async", "rate", ">=", 0.6, FLOOR_ASYNC),
        ("noop_async", "rate", ">=", 10, PEERS),
        ("noop_sync", "rate", ">=", 5, PEERS),
        ("sleep_async", "rate", ">=", 0.85, FLOOR_ASYNC),
        ("bulk_sync", "rate", ">=", 0.5, FLOOR_SYNC),
        ("bulk_async", "rate", ">=", 0.5, FLOOR_ASYNC),
        ("enqueue_sync", "rate", ">=", 0.85, FLOOR_SYNC),
        ("enqueue_async", "rate", ">=", 0.85, FLOOR_ASYNC),
        ("latency", "p50_ms", "<=", 1.3, FLOOR_ASYNC),
        ("latency", "p99_ms", "<=", 1.3, FLOOR_ASYNC),
        ("idle", "p50_ms", "<=", 1.3, FLOOR_ASYNC),
        ("idle", "p99_ms", "<=", 1.3, FLOOR_ASYNC),
        ("noop_async", "worker_us", "<=", 15, None),
        ("noop_async", "commands", "<=", 0.1, None),
        ("noop_async", "rss_mb", "<=", 60, None),
        ("backlog", "growth", "<=", 1.2, None),
    ]


# -- the report


def rows(text, start):
    """The cells of the table rows that begin with this."""
    return [[part.strip() for part in line.strip("|").split("|")] for line in text.splitlines() if line.startswith(f"| {start}")]


def test_a_goal_that_is_met_in_one_state_only_says_so():
    """The verdict covers both states of the machine, and shows the spread of each."""
    found = results(
        *(cell(TASKQ, "noop_async", n, awake, rate=rate) for n, awake, rate in [(0, False, 70), (1, False, 90), (0, True, 50)]),
        *(cell(FLOOR_ASYNC, "noop_async", n, awake, rate=100) for n, awake in [(0, False), (1, False), (0, True)]),
    )
    first, second, *_ = rows(report.goals_table(found), "drain, async no-op")
    assert first[1:4] == ["≥ 0.6 × `floor_async`", "0.80 (0.70 – 0.90)", "0.50 (0.50 – 0.50)"]
    assert first[4] == "**only with cores left alone**"
    assert second[1:] == ["≥ 10 × the fastest peer (none measured)", "–", "–", "not measured"]


@pytest.mark.parametrize(("spent", "verdict"), [(15.0, "yes"), (16.0, "**no**")])
def test_a_goal_says_whether_it_is_met(spent, verdict):
    """A number by itself is shown with its unit and judged by its median."""
    found = results(cell(TASKQ, "noop_async", worker_us=spent))
    assert rows(report.goals_table(found), "worker CPU")[0][1:] == ["≤ 15 µs", f"{spent} ({spent} – {spent})", verdict]


def test_the_report_compares_with_the_floor_of_the_same_kind():
    """A sync rate stands beside the sync floor's, an async one beside the async floor's; a peer's enqueueing is told once."""
    found = results(
        cell(("toy", "threads"), "noop_sync", rate=50.0),
        cell(("toy", "forks"), "noop_sync", rate=80.0),
        cell("toy", "enqueue_sync", rate=4.0),
        cell(FLOOR_SYNC, "noop_sync", rate=1000.0),
        cell("floor_sync", "enqueue_sync", rate=8.0),
        cell(FLOOR_ASYNC, "noop_async", rate=9.0),
    )
    told = report.markdown(found)
    threads, forks = rows(told, "toy: threads")[0], rows(told, "toy: forks")[0]
    assert threads[2] == "50.0 (50.0 – 50.0) ×0.050"
    assert threads[5] == "4.0 (4.0 – 4.0) ×0.50"
    assert (forks[2], forks[5]) == ("80.0 (80.0 – 80.0) ×0.080", "")
    assert rows(told, "floor_async: inline")[0][1] == "9.0 (9.0 – 9.0) ×1.00"


def test_the_report_tells_what_failed_and_what_was_disturbed():
    """A reader learns of every cell that failed and of how many were measured beside others."""
    found = results(
        replace(cell(TASKQ, "noop_async", rate=1.0), busy=0.9),
        cell(FLOOR_ASYNC, "noop_async", rate=1.0),
        replace(cell(("toy", "threads"), "noop_sync", 1, awake=True), error="the worker ended"),
    )
    told = report.markdown(found)
    assert "- failed: toy threads noop_sync, repetition 2, cores kept awake: the worker ended" in told
    assert "1 of 2 cells were measured while others used more than 0.15 cores" in told
    assert "a CPU, 2 cores, Python 3.11, Valkey 9, today." in told


def test_the_cost_by_backlog_is_a_table():
    """Each size has a row, with what it costs to drain, to add and to keep one message."""
    sizes = {f"{what}_{size}": value for size in (1000, 10_000) for what, value in (("drain_us", 9.5), ("fill_us", 2.0))}
    found = results(cell(TASKQ, "backlog", growth=1.1, server_bytes_1000=80.0, server_bytes_10000=81.0, **sizes))
    assert [row[1] for row in rows(report.markdown(found), "taskq | 1")] == ["1,000", "10,000"]
    assert rows(report.markdown(found), "taskq | 1")[0] == [
        "taskq",
        "1,000",
        "9.5 (9.5 – 9.5)",
        "–",
        "2.0 (2.0 – 2.0)",
        "80.0 (80.0 – 80.0)",
    ]
    assert rows(report.goals_table(found), "cost of a message")[0][2:] == ["1.1 (1.1 – 1.1)", "yes"]


def test_processor_time_is_shown_beside_the_floor():
    """The steadier table compares a producer's and a worker's own time with the floor's of the same kind."""
    found = results(
        cell(TASKQ, "noop_sync", worker_us=9.0),
        cell(FLOOR_SYNC, "noop_sync", worker_us=6.0),
        cell("taskq", "enqueue_async", cpu_us=50.0),
        cell("floor_async", "enqueue_async", cpu_us=100.0),
    )
    told = report.cpu_table(found)
    assert rows(told, "worker, sync no-op")[0][-1] == "1.50 (1.50 – 1.50)"
    assert rows(told, "enqueue, async")[0][-1] == "0.50 (0.50 – 0.50)"
    assert len(told.splitlines()) == 4
