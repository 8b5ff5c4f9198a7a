"""How `benchmarks/peers` runs: its order of cells, the peers' files, the command, the machine, and one small run of it."""

import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from benchmarks import __main__ as main
from benchmarks import memory, peers
from benchmarks.peers import catalog, command, environments, machine, plan, run
from benchmarks.peers.catalog import PeerError, chosen, read_peer
from benchmarks.peers.goals import GOALS
from benchmarks.peers.plan import FULL, QUICK, Plan
from benchmarks.peers.results import Cell, Results

PEER = """
REQUIREMENTS = ["toy>=1", "redis"]
IMPORT = "import toy"
TASKS = ["noop_sync"]
WORKERS = {"fast": {"run": "toy.py", "jobs": {"noop": 7}}, "slow": {"run": "toy.py --slow", "processes": 2}}
SETTINGS = "None."
"""


# -- the order of cells


def order(a_plan, *names):
    """Who is measured, in order."""
    return [(s.repetition, s.awake, s.phase, s.peer.name) for s in plan.steps(a_plan, chosen(names))]


def test_everybody_takes_turns_at_one_cell():
    """What is compared is measured side by side, and every second repetition goes the other way."""
    found = order(Plan(repetitions=2, phases=("bulk_sync", "bulk_async"), awake=(False,)), "floor_sync", "taskq")
    assert [(n, phase, name) for n, _, phase, name in found] == [
        (0, "bulk_sync", "floor_sync"), (0, "bulk_sync", "taskq"), (0, "bulk_async", "floor_sync"), (0, "bulk_async", "taskq"),
        (1, "bulk_sync", "taskq"), (1, "bulk_sync", "floor_sync"), (1, "bulk_async", "taskq"), (1, "bulk_async", "floor_sync"),
    ]  # fmt: skip


def test_a_peer_drains_only_the_tasks_it_has():
    """Async peers are not asked for sync handlers, nor the other way round."""
    found = order(Plan(repetitions=1, awake=(False,), phases=("noop_async", "noop_sync")), "arq", "huey", "taskq")
    assert {(phase, name) for *_, phase, name in found} == {
        ("noop_async", "arq"), ("noop_sync", "huey"), ("noop_async", "taskq"), ("noop_sync", "taskq"),
    }  # fmt: skip


def test_goals_are_measured_each_time_and_the_rest_once():
    """Second-best settings and the idle waits of peers are measured once in all, imports and backlogs once for both states."""
    found = list(plan.steps(FULL, chosen(["floor_async", "taskq", "dramatiq"])))
    idle = [(s.peer.name, s.repetition, s.awake) for s in found if s.phase == "idle"]
    assert len([each for each in idle if each[0] == "taskq"]) == FULL.repetitions * 2
    assert [each for each in idle if each[0] == "dramatiq"] == [("dramatiq", 0, False)]
    assert {(s.repetition, s.awake) for s in found if s.worker not in (None, s.peer.workers[0])} == {(0, False)}
    assert {s.awake for s in found if s.phase in ("import", "backlog")} == {False}
    assert {s.repetition for s in found if s.peer.name == "dramatiq" and s.phase == "noop_sync"} == {0, 1, 2}


def test_the_quick_run_measures_what_its_goals_need():
    """First workers only; of the peers only no-ops; each goal but those of idleness and backlogs has what it compares."""
    found = list(plan.steps(QUICK, chosen(command.QUICK_PEERS)))
    assert all(s.worker in (None, s.peer.workers[0]) for s in found)
    assert {s.phase for s in found if s.peer.name == "dramatiq"} == {"noop_sync"}
    had = {(s.peer.name, s.phase) for s in found}
    for goal in GOALS:
        if goal.phase not in ("idle", "backlog"):
            assert ("taskq", goal.phase) in had
            assert not isinstance(goal.to, tuple) or (goal.to[0], goal.phase) in had


# -- the peers' files


def test_every_peer_keeps_the_contract():
    """All files can be read, floors come first and then taskq, and each names a worker that the others do not."""
    found = chosen()
    assert [peer.name for peer in found[:4]] == ["floor_async", "floor_raw", "floor_sync", "taskq"]
    assert {"arq", "celery", "dramatiq", "huey", "rq", "saq", "streaq", "taskiq_list", "taskiq_stream"} <= {p.name for p in found}
    for peer in found:
        text = (catalog.INSIDE / f"peer_{peer.name}.py").read_text()
        kinds = {task.rpartition("_")[2] for task in peer.tasks}
        assert ("def sending(" in text) >= ("sync" in kinds)
        assert ("def sending_async(" in text) >= ("async" in kinds)


def test_a_peer_is_read_without_being_run(tmp_path):
    """Counts come from the worker, then from the peer, then from the defaults."""
    (tmp_path / "peer_toy.py").write_text(f"import toy\n{PEER}JOBS = {{'noop': 3, 'sleep': 4}}\n")
    peer = read_peer(tmp_path / "peer_toy.py")
    assert (peer.name, peer.environment, peer.is_floor, peer.backlogs) == ("toy", "toy", False, ())
    assert [(w.label, w.run, w.processes) for w in peer.workers] == [("fast", "toy.py", 1), ("slow", "toy.py --slow", 2)]
    assert [peer.count("noop", w) for w in (*peer.workers, None)] == [7, 3, 3]
    assert (peer.count("sleep"), peer.count("idle")) == (4, catalog.COUNTS["idle"])


@pytest.mark.parametrize(("old", "new", "words"), [
    ('SETTINGS = "None."', "", "peer_toy.py lacks SETTINGS"),
    ('"import toy"', '"import" + toy', "IMPORT is computed; write it as a literal"),
    ("noop_sync", "noop_twice", "unknown tasks noop_twice; the tasks are noop_async"),
])  # fmt: skip
def test_a_file_that_breaks_the_contract_is_refused(tmp_path, old, new, words):
    """The text says what is wrong with it."""
    (tmp_path / "peer_toy.py").write_text(PEER.replace(old, new))
    with pytest.raises(PeerError, match=words):
        read_peer(tmp_path / "peer_toy.py")


def test_a_name_stands_for_all_that_begin_with_it():
    """`floor` is three floors, `taskiq` two brokers; a name that fits nobody is refused with the names there are."""
    assert [peer.name for peer in chosen(["taskiq", "floor"])] == [
        "floor_async", "floor_raw", "floor_sync", "taskiq_list", "taskiq_stream",
    ]  # fmt: skip
    with pytest.raises(PeerError, match="there is no peer 'task'; the peers are floor_async, "):
        chosen(["task"])


# -- the command


def planned(*words):
    """What these words ask for."""
    return command.planned(command.parser().parse_args(words))


def test_words_override_the_plan():
    """What is not said stays as the full or the quick run has it."""
    assert planned()[0] == FULL
    assert planned("--quick")[0] == QUICK
    assert [peer.name for peer in planned("--quick")[1]] == ["floor_async", "floor_sync", "taskq", "dramatiq"]
    changed = planned(
        "--quick", "--repetitions", "2", "--cores", "both", "--phases", "import,idle", "--only", "floor", "--scale", "3"
    )
    assert changed[0] == replace(QUICK, repetitions=2, awake=(False, True), phases=("import", "idle"), scale=3.0)
    assert [peer.name for peer in changed[1]] == ["floor_async", "floor_raw", "floor_sync"]


def test_what_cannot_be_measured_is_refused(capsys):
    """An unknown cell or peer ends the command with a sentence before anything is installed."""
    assert command.main(["--phases", "noop"]) == 2
    assert command.main(["--only", "gearman"]) == 2
    told = capsys.readouterr().err
    assert "there is no cell noop; the cells are import, " in told
    assert "there is no peer 'gearman'" in told


def test_an_earlier_run_is_reported_again(tmp_path, capsys):
    """The report needs only the file of the run."""
    told = {"cpu": "a CPU", "cores": 2, "python": "3.11", "server": "Valkey 9", "niceness": 0, "when": "today"}
    drained = Cell(peer="taskq", worker="one process", phase="noop_async", repetition=0, awake=False, values={"worker_us": 9.0})
    Results(machine=told, cells=[drained]).save(tmp_path / "a.json")
    assert command.main(["--report", str(tmp_path / "a.json")]) == 0
    assert "| worker CPU a no-op job | ≤ 15 µs | 9.0 (9.0 – 9.0) | yes |" in capsys.readouterr().out


# -- the machine


@pytest.mark.slow
def test_a_tree_ends_with_its_children():
    """Nothing that a worker started goes on, whatever group it has put itself into."""
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '60'], process_group=0).pid, flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child = psutil.Process(int(process.stdout.readline()))
    machine.end_tree(process)
    process.stdin.close()
    process.stdout.close()
    assert process.returncode is not None
    gone, alive = psutil.wait_procs([child], timeout=10)
    assert (gone, alive) == ([child], [])


@pytest.mark.slow
def test_what_a_tree_costs_is_counted():
    """Processor time and memory of a child that has ended, or that lives, are those of its tree."""
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(9_000_000))']); print(); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-uc", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    own = psutil.Process(process.pid).cpu_times()
    assert machine.cpu_seconds(process.pid) >= own.user + own.system + 0.03
    assert 3 < machine.peak_rss_mb(process.pid) < 200
    machine.end_tree(process)
    process.stdin.close()
    process.stdout.close()
    assert (machine.cpu_seconds(process.pid), machine.peak_rss_mb(process.pid)) == (0.0, 0.0)


_ORPHANED = """
import os, subprocess, sys
from benchmarks.peers import machine

machine.adopt_orphans()
busy = "import sys; sum(range(9_000_000)); print(flush=True); sys.stdin.read()"
parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
process.stdout.readline()
before = machine.cpu_seconds(os.getpid())
machine.end_tree(process)
print(machine.cpu_seconds(os.getpid()) >= before > 0.03)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has processes adopt others")
def test_what_an_orphan_used_stays_ours():
    """The processor time of a child whose parent was killed with it does not become that of others."""
    done = subprocess.run([sys.executable, "-c", _ORPHANED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "True\n"


# -- a small run


class Here(environments.Environments):
    """This environment, for peers that need no other."""

    def python(self, peer):
        return sys.executable


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_small_run_measures_what_its_plan_says(tmp_path):
    """A floor and taskq on a real server: each cell has its numbers, and every job that was sent ran."""
    small = [replace(peer, workers=peer.workers[:1], jobs={"latency": 20}) for peer in chosen(["floor_async", "taskq"])]
    phases = ("enqueue_sync", "bulk_async", "noop_async", "latency")
    a_plan = Plan(repetitions=1, awake=(True,), scale=0.001, phases=phases)
    found = run.run(a_plan, small, Here(tmp_path), run.Manner(log=tmp_path / "log", out=tmp_path / "a.json"))
    assert [each.error for each in found.cells] == [None] * 7, (tmp_path / "log").read_text()
    measured = {(each.phase, each.peer): each.values for each in found.cells}
    assert set(measured) == {(phase, name) for name in ("floor_async", "taskq") for phase in phases} - {
        ("enqueue_sync", "floor_async")
    }
    for name in ("floor_async", "taskq"):
        drained, waited = measured["noop_async", name], measured["latency", name]
        assert drained["count"] == 20
        assert 0.1 < drained["commands"] < 50
        assert 10 < drained["rss_mb"] < 200
        assert 0 < waited["p50_ms"] <= waited["p95_ms"] <= waited["p99_ms"]
    assert Results.load(tmp_path / "a.json") == found


WORKERS_THAT_FAIL = {
    "it ended": ("", "the worker ran 0 jobs of 20 and ended"),
    "it ran some twice": ("for _ in range(25): done()\ntime.sleep(60)", "the worker ran 25 jobs of 20"),
}


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize(("code", "words"), WORKERS_THAT_FAIL.values(), ids=WORKERS_THAT_FAIL)
def test_a_worker_that_fails_is_a_failed_cell(tmp_path, code, words):
    """The run goes on, and says how far the worker came; jobs that ran twice are no success either."""
    (tmp_path / "worker.py").write_text(f"import time\nfrom probe import done\n{code}\n")
    (floor,) = chosen(["floor_sync"])
    worker = replace(floor.workers[0], run=str(tmp_path / "worker.py"), env={"PYTHONPATH": str(catalog.INSIDE)})
    small = replace(floor, workers=(worker,), jobs={"noop": 20, "bulk": 20})
    a_plan = Plan(repetitions=1, awake=(False,), phases=("noop_sync", "bulk_sync"))
    found = run.run(a_plan, [small], Here(tmp_path), run.Manner(log=tmp_path / "log"))
    assert [(each.phase, each.error) for each in found.cells] == [("noop_sync", words), ("bulk_sync", None)]


# -- the package


def test_the_first_word_names_the_benchmarks(monkeypatch):
    """`peers` and `memory` get the words behind them; without either it is the memory backend's turn, as it always was."""
    monkeypatch.setattr(peers, "main", lambda words: ("peers", words))
    monkeypatch.setattr(memory, "main", lambda words: ("memory", words))
    assert main.main(["peers", "--quick"]) == ("peers", ["--quick"])
    assert main.main(["memory", "size"]) == ("memory", ["size"])
    assert [main.main(words) for words in ([], ["size"])] == [("memory", []), ("memory", ["size"])]
