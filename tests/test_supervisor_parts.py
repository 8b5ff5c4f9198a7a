"""The parts of the worker processes by themselves: what decides, what is read and written, and how programs end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import FakeClock, run

import taskq
from taskq.errors import ConfigError, TaskqError
from taskq.hooks.events import Settled
from taskq.supervisor.exits import describe_exit, exit_status, shell_status
from taskq.supervisor.health import Health, HealthFile, check
from taskq.supervisor.loading import load, source_folders
from taskq.supervisor.loops import loop_factory
from taskq.supervisor.metrics import observe
from taskq.supervisor.options import WorkerOptions
from taskq.supervisor.recycling import RunLimit, check_memory_limit, lowered, resident_memory
from taskq.supervisor.reporting import Reporter
from taskq.supervisor.reports import Found, Ready, Report, decode, encode
from taskq.supervisor.restarts import STEADY, Restarts
from taskq.supervisor.watching import SourceWatch

MB = 1024 * 1024
LATER = 4e9
"""Unix seconds, far in the future: no file is newer."""


# -- options


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"processes": 0}, "--processes 0"),
        ({"max_jobs": 0}, "--max-jobs 0"),
        ({"max_memory": -1}, "--max-memory -1"),
        ({"metrics_port": 65536}, "--metrics-port 65536"),
        ({"metrics_port": -1}, "--metrics-port -1"),
        ({"grace": -0.1}, "--grace"),
        ({"grace": float("nan")}, "--grace"),
        ({"health_file": "/no/such/folder/health"}, "/no/such/folder/health"),
    ],
)
def test_options_out_of_range_are_refused(options, named):
    """The sentence names the option as it was given."""
    with pytest.raises(ConfigError, match=named):
        WorkerOptions(app="jobs:app", **options)


@pytest.mark.parametrize(
    ("options", "supervised"),
    [
        ({}, False),
        ({"health_file": "health", "metrics_port": 0, "grace": 0.0}, False),
        ({"processes": 2}, True),
        ({"max_jobs": 1}, True),
        ({"max_memory": 1}, True),
        ({"reload": True}, True),
    ],
)
def test_only_what_is_replaced_needs_a_parent(options, supervised, monkeypatch):
    """One process that nothing replaces runs alone; parents need POSIX, and elsewhere that is said."""
    assert WorkerOptions(app="jobs:app", **options).supervised is supervised
    monkeypatch.setattr(os, "name", "nt")
    if supervised:
        with pytest.raises(ConfigError, match="POSIX"):
            WorkerOptions(app="jobs:app", **options)
    else:
        assert loop_factory("auto") is None


def test_uvloop_is_taken_if_it_is_there(monkeypatch):
    """The choice "auto" does without it, "uvloop" says what to install, and "asyncio" never asks."""
    assert loop_factory("auto").__module__ == "uvloop"
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory("auto") is None
    assert loop_factory("asyncio") is None
    with pytest.raises(ConfigError, match=r"pip install 'taskq\[uvloop\]'"):
        loop_factory("uvloop")


# -- restarts, recycling


def test_deaths_in_a_row_wait_longer():
    """Half a second, doubled up to thirty; a process that lived for a minute begins a new row."""
    restarts = Restarts()
    assert [restarts.after(1.0) for _ in range(9)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert restarts.after(STEADY) == 0.5
    assert restarts.after(STEADY - 0.1) == 1.0


def test_limits_lie_up_to_a_tenth_lower():
    """Never above what was asked for, and not the same for all."""
    assert lowered(1000, 0.0) == 1000
    assert lowered(1000, 0.5) == pytest.approx(950)
    assert 900 <= lowered(1000, 0.999) < 901


def test_runs_are_counted():
    """The limit is reached with its last run, not before; less than one run is one."""
    for limit, runs in ((2.7, 3), (0.9, 1)):
        counter = RunLimit(limit)
        for count in range(1, runs + 1):
            assert not counter.reached.is_set()
            counter.on_settle(Settled("q", taskq.Message(task="t"), None, None, 0.0))
            assert counter.reached.is_set() is (count == runs)
        assert counter.limit == runs


def test_a_memory_limit_below_the_start_is_refused():
    """What the lowest limit of a process could be has to lie above; the sentence gives a number that would do."""
    check_memory_limit(100, 90 * MB - 1)
    with pytest.raises(ConfigError, match="takes 90 MB before its first message; give at least 101"):
        check_memory_limit(100, 90 * MB)
    check_memory_limit(101, 90 * MB)


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_memory_is_known_without_proc(monkeypatch, platform, unit):
    """Where there is no /proc the most that was ever taken stands in, in the platform's unit."""
    resource = pytest.importorskip("resource")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert most / 10 < resident_memory() < most * 1.1  # the kernel counts both in batches

    def missing(self, encoding):
        raise OSError

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(sys, "platform", platform)
    assert resident_memory() == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# -- how programs end


@pytest.mark.parametrize(
    ("code", "words", "status"),
    [
        (0, "ended with status 0", 0),
        (7, "ended with status 7", 7),
        (-15, "was killed by SIGTERM", 143),
        (-9, "was killed by SIGKILL (the system does that when memory runs out)", 137),
        (-250, "was killed by signal 250", 378),
    ],
)
def test_ends_are_told_in_words(code, words, status):
    """Signals by their names, and statuses as shells count them."""
    assert (describe_exit(code), shell_status(code)) == (words, status)


def fail(error):
    def command():
        raise error

    return command


def test_errors_of_ours_are_one_sentence(capsys):
    """Also those that come in groups; the status is 2."""
    nested = BaseExceptionGroup("", [ExceptionGroup("", [ConfigError("give one"), TaskqError("other")])])
    for error in (ConfigError("give one"), nested):
        assert exit_status(fail(error)) == 2
        assert capsys.readouterr().err == "taskq: give one\n"


def test_errors_of_others_keep_their_traceback():
    """A bug is not told as if the user had made a mistake, not even beside an error of ours."""
    with pytest.raises(ZeroDivisionError):
        exit_status(fail(ZeroDivisionError()))
    with pytest.raises(ExceptionGroup):
        exit_status(fail(ExceptionGroup("", [ConfigError("x"), ZeroDivisionError()])))
    with pytest.raises(ExceptionGroup):
        exit_status(fail(ExceptionGroup("", [ZeroDivisionError()])))


def test_other_ends_have_their_status():
    """What the command returns, and 130 after Ctrl-C."""
    assert exit_status(lambda: 5) == 5
    assert exit_status(fail(KeyboardInterrupt())) == 130


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 50_000])
def test_a_reader_that_has_enough_is_no_error(lines):
    """`taskq ... | head` ends quietly, with the status of a program that SIGPIPE ended, however much was left to say."""
    code = f"""
import sys
from taskq.supervisor.exits import exit_status
sys.stdin.readline()
sys.exit(exit_status(lambda: [print(n) for n in range({lines})]))
"""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen([sys.executable, "-c", code], **pipes, env=buffered) as program:
        program.stdout.close()
        program.stdin.write(b"\n")
        program.stdin.close()
        assert program.wait() == 128 + signal.SIGPIPE
        assert program.stderr.read() == b""


# -- reports and health


@pytest.mark.parametrize(
    "note",
    [Found(["/a", "/b"]), Ready(30.0), Report(), Report(pid=3, time=1.5, queues=["q"], paused={"q": {"": None}})],
)
def test_notes_travel_as_lines(note):
    """What a process tells comes out as it went in."""
    line = encode(note)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == note


@pytest.mark.parametrize(
    ("times", "well", "sentence"),
    [
        ((100.0, 99.0), True, "all was well 6.0 s ago; processes: 2, messages processed: 8"),
        ((95.0, 100.0), True, "all was well 10.0 s ago"),
        ((94.9, 100.0), False, "process 1 was well 10.1 s ago: it is down"),
        ((100.0, 0.0), False, "a process that has not started has not been well yet"),
        ((90.0, 91.0), False, "process 1 was well 15.0 s ago: it is down; process 2 was well 14.0 s ago"),
        ((120.0, 100.0), False, "process 1 was well -15.0 s ago"),
    ],
)
def test_health_is_judged_by_the_worst(tmp_path, times, well, sentence):
    """Each process counts; a time of the future, after the clock was set back, is no proof of anything."""
    first = Report(pid=1, time=times[0], processed=3, backend_error="it is down")
    second = Report(pid=2 if times[1] else 0, time=times[1], processed=5)
    HealthFile(str(tmp_path / "health")).write([first, second])
    answer, text = check(str(tmp_path / "health"), 105.0, 10.0)
    assert (answer, text[: len(sentence)]) == (well, sentence)


def test_health_that_cannot_be_read_is_bad(tmp_path):
    """A missing file and a foreign one are told apart."""
    path = tmp_path / "health"
    assert check(str(path), 0.0, 10.0) == (False, f"{path} does not exist: no worker runs with this --health-file")
    for text in ("", "[]", '{"time": 3}'):
        path.write_text(text)
        well, sentence = check(str(path), 0.0, 10.0)
        assert not well
        assert f"{path} is no health file" in sentence


def test_the_health_file_is_always_whole(tmp_path, monkeypatch):
    """It is written beside its place and put there in one step; what stood there before is gone from the start."""
    path = tmp_path / "health"
    path.write_text("old")
    file = HealthFile(str(path))
    assert not path.exists()
    seen = []
    replace = Path.replace

    def watched(draft, target):
        seen.append((draft.parent, Path(target), json.loads(draft.read_bytes())["time"], path.exists()))
        return replace(draft, target)

    monkeypatch.setattr(Path, "replace", watched)
    file.write([Report(time=2.0), Report(time=1.0)])
    file.write([Report(time=4.0)])
    assert seen == [(tmp_path, path, 1.0, False), (tmp_path, path, 4.0, True)]
    file.remove()
    assert list(tmp_path.iterdir()) == []
    file.remove()


def test_a_health_file_that_cannot_be_written_is_told_once(tmp_path, caplog):
    """The worker works on; the next failure after a success is told again."""
    folder = tmp_path / "folder"
    folder.mkdir()
    file = HealthFile(str(folder / "health"))
    for _ in range(2):
        folder.rmdir()
        file.write([Report()])
        file.write([Report()])
        folder.mkdir()
        file.write([Report()])
        file.remove()
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("the health file cannot be written, trying again: ")


class Flaky:
    """A queue's size that answers, fails or hangs as told."""

    def __init__(self):
        self.answer = None

    async def __call__(self):
        if self.answer == "hang":
            raise TimeoutError
        if self.answer is not None:
            raise self.answer


@pytest.fixture
def asked(monkeypatch):
    """A reporter on an app with two queues whose answers are set by hand; each step asks the next queue."""
    clock = FakeClock()
    app = taskq.App(clock=clock)
    answers = {}
    for name in ("a", "b"):
        queue = app.queue(name)
        answers[name] = queue.size = Flaky()
    steps = iter(())

    async def sleep(seconds):
        assert seconds == 1.0
        clock.time += 1.0
        next(steps)()

    monkeypatch.setattr("taskq.supervisor.reporting.asyncio.sleep", sleep)

    def report(*changes):
        nonlocal steps
        steps = iter(changes)
        reports = []

        async def until_no_more():
            try:
                await Reporter(app, ["a", "b"]).report_forever(reports.append)
            except RuntimeError:  # no step is left
                return reports

        return run(until_no_more())

    yield app, answers, report
    app.close()


def test_a_report_is_well_only_while_no_queue_fails(asked):
    """One queue is asked at a time; the error of one stands until that one answers again."""
    _, answers, report = asked

    def set_a(answer):
        return lambda: setattr(answers["a"], "answer", answer)

    def nothing():
        pass

    #                    0: a   1: b                         2: a     3: b     4: a             5: b     6: a
    reports = report(nothing, set_a(taskq.BackendUnavailable("down")), nothing, set_a("hang"), nothing, set_a(None))
    assert [each.time for each in reports] == [1000.0, 1001.0, 1001.0, 1001.0, 1001.0, 1001.0, 1006.0]
    errors = [each.backend_error for each in reports]
    assert errors[:2] == ["", ""]
    assert errors[2:4] == ["queue 'a' does not answer: BackendUnavailable: down"] * 2
    assert errors[4:6] == ["queue 'a' does not answer: it took more than 5 s"] * 2
    assert errors[6] == ""
    assert {each.pid for each in reports} == {os.getpid()}


def test_every_queue_is_asked_in_turn(asked):
    """The error of the last one is found too, once its turn comes, and forgotten when it comes again."""
    _, answers, report = asked
    answers["b"].answer = taskq.BackendUnavailable("down")
    reports = report(lambda: None, lambda: setattr(answers["b"], "answer", None), lambda: None)
    assert [bool(each.backend_error) for each in reports] == [False, True, True, False]


def test_a_report_adds_up_the_queues(asked):
    """Counts are sums; pauses are told by queue and task, and one by hand has no end."""
    app, _, report = asked
    for name, outcomes in (("a", (1, 2, 3)), ("b", (10, 20, 30))):
        recorder = app.consumer(name)._recorder
        recorder.processed, recorder.retries, recorder.fails = outcomes
        recorder.in_flight = outcomes[0]
    app.consumer("b").pause("t")
    (facts,) = report()
    assert (facts.processed, facts.retries, facts.failed, facts.in_flight) == (11, 22, 33, 11)
    assert decode(encode(facts)).paused == {"b": {"t": None}}
    assert facts.queues == ["a", "b"]


# -- finding the app


def test_an_import_that_fails_says_where(tmp_path, monkeypatch):
    """The file and the line of the user's code, also below another module; the cause is kept."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "outer_module.py").write_text("\nimport inner_module\n")
    for text, reason in (
        ("x = 1\n\n{}['key']\n", "KeyError: 'key' (inner_module.py, line 3)"),
        ("x = (\n", "SyntaxError: '(' was never closed (inner_module.py, line 1)"),
        ("import missing_module\n", "No module named 'missing_module' (inner_module.py, line 1)"),
    ):
        (tmp_path / "inner_module.py").write_text(text)
        with pytest.raises(ConfigError) as caught:
            load("outer_module:app")
        assert str(caught.value) == f"module 'outer_module' cannot be imported: {reason}"
        assert str(tmp_path) in source_folders(caught.value)


def test_source_folders_are_the_users():
    """Neither Python's own sources nor installed packages are watched."""
    folders = source_folders()
    assert str(Path(__file__).parent) in folders
    assert not any("site-packages" in folder for folder in folders)
    assert str(Path(asyncio.__file__).parent) not in folders


# -- metrics


def test_an_app_counts_once(monkeypatch):
    """A hook of the user's is left alone, and asking twice adds none; only a missing one is added, behind the others."""
    prometheus_client = pytest.importorskip("prometheus_client")
    from taskq.hooks.prometheus import PrometheusHook

    monkeypatch.setattr(prometheus_client, "REGISTRY", prometheus_client.CollectorRegistry())
    mine = PrometheusHook(prometheus_client.CollectorRegistry())
    counted = taskq.App(hooks=[mine])
    observe(counted)
    assert counted.hooks.listed == (mine,)
    plain = taskq.App()
    before = plain.hooks.listed
    for _ in range(2):
        observe(plain)
        assert plain.hooks.listed[:-1] == before
        assert isinstance(plain.hooks.listed[-1], PrometheusHook)
    for app in (counted, plain):
        app.close()


@pytest.mark.slow
def test_forks_count_in_files_of_their_own(tmp_path):
    """Two processes never write to one file; what either had in flight is forgotten with the place, what they counted is not."""
    code = """
import os, sys
from taskq.supervisor.metrics import SharedFigures, share_figures
share_figures(3)
import prometheus_client
done = prometheus_client.Counter("done", "x")
running = prometheus_client.Gauge("running", "x", multiprocess_mode="livesum")
done.inc()
running.inc()
child = os.fork()
done.inc(10)
running.inc()
if not child:
    os._exit(0)
os.waitpid(child, 0)
print(child, *sorted(os.listdir()))
SharedFigures(".").forget(3)
print(*sorted(os.listdir()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": ".", "PYTHONPATH": str(Path(taskq.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = (line.split() for line in done.stdout.splitlines())
    child, *files = first
    counters = ["counter_3-" + child + ".db", "counter_3.db"]
    assert files == [*counters, "gauge_livesum_3-" + child + ".db", "gauge_livesum_3.db"]
    assert second == counters


# -- watching


@pytest.fixture
def watched(tmp_path):
    """A function that does one thing while a watch waits and returns the names of what was found to have changed."""
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.py").write_text("1")

    def after(*doings, watch=None):
        left = iter(doings)

        async def wait(folders):
            assert list(folders) == [tmp_path]
            next(left)()

        watch = watch or SourceWatch(wait)
        watch._wait = wait
        watch.follow([str(tmp_path)], LATER)
        return [path.name for path in run(watch.changed())]

    return after


@pytest.mark.slow
def test_a_watch_sees_what_changes_comes_and_goes(watched, tmp_path):
    """Other files, and a file that is only read, change nothing; the size tells where the time does not."""

    def touch_other():
        (tmp_path / "notes.txt").write_text("x")
        (tmp_path / "a.py").read_text()

    def resize():
        stat = (tmp_path / "a.py").stat()
        (tmp_path / "a.py").write_text("22")
        os.utime(tmp_path / "a.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert watched(touch_other, resize) == ["a.py"]
    assert watched(lambda: (tmp_path / "c.py").write_text("")) == ["c.py"]
    assert watched((tmp_path / "b.py").unlink) == ["b.py"]


@pytest.mark.slow
def test_a_watch_misses_nothing_while_nobody_waits(watched, tmp_path):
    """A change between two waits is found by the second one at once, and following a folder again forgets nothing."""
    watch = SourceWatch()
    watch.follow([str(tmp_path)], LATER)
    (tmp_path / "a.py").write_text("22")
    assert watched(watch=watch) == ["a.py"]
    (tmp_path / "b.py").write_text("22")
    assert watched(watch=watch) == ["b.py"]


def test_a_watch_finds_what_changed_before_it_began(tmp_path):
    """A file that is newer than the process that read it counts as changed, once; an older one does not."""
    for name, second in (("old.py", 1000), ("new.py", 1001)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (second, second))
    watch = SourceWatch()
    watch.follow([str(tmp_path)], 1000.5)
    watch.follow([str(tmp_path)], 0.0)
    assert watch._differences() == {tmp_path / "new.py"}
    assert watch._differences() == set()


def test_a_watch_waits_until_all_is_written(tmp_path, monkeypatch):
    """Several files that are saved one after another are one change."""
    names = iter(["b.py", "c.py"])

    async def calm(seconds):
        for name in names:
            (tmp_path / name).write_text("")
            return

    monkeypatch.setattr("taskq.supervisor.watching.asyncio.sleep", calm)
    watch = SourceWatch()
    watch.follow([str(tmp_path)], LATER)
    (tmp_path / "a.py").write_text("")
    assert [path.name for path in run(watch.changed())] == ["a.py", "b.py", "c.py"]


def test_a_watch_lives_without_its_folder(tmp_path):
    """A folder that went, as when a branch is changed, is an empty one; it may come back."""
    folder = tmp_path / "gone"
    watch = SourceWatch()
    watch.follow([str(folder)], LATER)
    assert watch._differences() == set()
    folder.mkdir()
    (folder / "a.py").write_text("")
    assert watch._differences() == {folder / "a.py"}


@pytest.mark.slow
@pytest.mark.parametrize("installed", [True, False])
def test_a_watch_wakes_up(tmp_path, monkeypatch, installed):
    """With watchfiles or without, also where no folder exists yet."""
    if not installed:
        monkeypatch.setitem(sys.modules, "watchfiles", None)
    folder = tmp_path / "new"
    watch = SourceWatch()
    watch.follow([str(folder)], LATER)

    async def change():
        waiting = asyncio.create_task(watch.changed())
        await asyncio.sleep(0)
        folder.mkdir()
        (folder / "a.py").write_text("1")
        assert await waiting == [folder / "a.py"]
        waiting = asyncio.create_task(watch.changed())
        await asyncio.sleep(0)
        (folder / "a.py").write_text("22")
        assert await waiting == [folder / "a.py"]

    run(change())


def test_a_health_document_says_what_it_holds():
    """The names in the file are those in the documentation."""
    page = (Path(__file__).parents[1] / "docs" / "worker.md").read_text()
    for name in (*Health.__struct_fields__, *Report.__struct_fields__):
        assert f"`{name}`" in page
