"""Worker processes and their parent: real processes, signals and a real server; a wait is for what has to come."""

import contextlib
import itertools
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from support import run

import taskq
from taskq.cli import main
from taskq_testing.services import Processes, redis_server

PATIENCE = 120.0  # seconds: many processes start one after another, and a machine may be busy
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE)]

ROOT = Path(__file__).parents[1]
JOBS = """
import asyncio, os, signal, subprocess, sys, threading
import taskq

def tell(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")  # one write, or the lines of two processes mix
    sys.stdout.flush()

tell("imported by", os.getpid())
app = taskq.App(os.environ["TASKQ_URL"])
mail = app.queue(os.environ["QUEUE"], stop_timeout=float(os.environ.get("STOP_TIMEOUT", "20")), reservation_size=3)
kept = []
pause = threading.Event()

@mail.task
async def say(text: str) -> None:
    tell("said", text, "by", os.getpid(), "on", type(asyncio.get_running_loop()).__module__)

@mail.task
async def finish(path: str) -> None:
    tell("working in", os.getpid())
    while not os.path.exists(path):
        await asyncio.to_thread(pause.wait, 0.01)
    tell("finished by", os.getpid())

@mail.task
async def wait_in_thread() -> None:
    tell("waiting in", os.getpid())
    await asyncio.to_thread(pause.wait)

@mail.task
async def block(path: str) -> None:
    if path == "never":
        subprocess.Popen(["sleep", "600"])
    tell("blocking", os.getpid())
    while not os.path.exists(path):
        pause.wait(0.01)

@mail.task
async def cling() -> None:
    tell("clinging in", os.getpid())
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

@mail.task
async def die_once(path: str, status: int) -> None:
    if not os.path.exists(path):
        open(path, "w").close()
        os._exit(status)

@mail.task
async def fork() -> None:
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.write(theirs, b"x")
        threading.Event().wait()
    os.read(ours, 1)
    os.kill(child, signal.SIGTERM)
    tell("a fork ended by", os.WTERMSIG(os.waitpid(child, 0)[1]))

@mail.task
def grow(megabytes: int) -> None:
    kept.append(b"x" * (megabytes << 20))
"""
NUMBERS = itertools.count(1)


class Project:
    """A project folder, a queue of its own on a server, and the programs that were started there."""

    def __init__(self, folder, url, processes):
        self.folder, self.url, self.processes = folder, url, processes
        self.queue = f"q{os.getpid()}-{next(NUMBERS)}"
        self.environment = {"TASKQ_URL": url, "QUEUE": self.queue, "PYTHONPATH": str(ROOT), "TASKQ_TEST": self.queue}
        self.write("jobs.py", JOBS)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(f".{path.name}")
        draft.write_text(text)
        draft.replace(path)

    def worker(self, *options, ready=1, **environment):
        """Start a worker and wait until so many processes consume."""
        program = self.start("worker", "jobs:app", *options, **environment)
        program.wait_for(r"worker \d+ consumes", times=ready)
        return program

    def start(self, *arguments, **environment):
        program = self.processes.python("-m", "taskq", *arguments, env=self.environment | environment)
        program.wait_for, program.wait = partial(program.wait_for, timeout=PATIENCE), partial(program.wait, timeout=PATIENCE)
        return program

    def enqueue(self, task, *args, times=1):
        """Add messages, and let the connection go."""
        with contextlib.closing(taskq.App(self.url)) as app:
            queue = app.queue(self.queue)
            queue.enqueue_many(queue.message(task, *args) for _ in range(times))

    def size(self):
        async def ask():
            async with taskq.App(self.url) as app:
                return await app.queue(self.queue).size()

        return run(ask())

    def pids(self):
        """The processes that were started here and still live, at whatever remove, and whoever their parent is now."""
        mark = f"TASKQ_TEST={self.queue}".encode()
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.add(int(entry.name))
                except OSError:
                    continue  # it went just now
        return found


def workers(program):
    """The process ids of the workers that have consumed so far."""
    return [int(pid) for pid in re.findall(r"worker (\d+) consumes", program.output)]


def wait_until(condition):
    """Wait for what has to come; a test that waits in vain is ended by its timeout."""
    pause = threading.Event()
    while not (result := condition()):
        pause.wait(0.01)
    return result


@pytest.fixture(scope="module")
def server():
    """A real server."""
    with redis_server() as server:
        yield server


@pytest.fixture
def project(tmp_path, server):
    """A project to work in, where nothing that was started is left behind."""
    with Processes(cwd=tmp_path) as processes:
        project = Project(tmp_path, server.url, processes)
        yield project
        left = project.pids()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert not left


def test_the_parent_starts_processes_and_imports_nothing(project):
    """Each of the processes imports the app and consumes; the parent never imports it."""
    program = project.worker("--processes", "3", ready=3)
    pids = workers(program)
    assert len(set(pids)) == 3
    imported = {int(pid) for pid in re.findall(r"imported by (\d+)", program.output)}
    assert imported == set(pids)
    assert program.pid not in imported
    program.terminate()
    assert program.wait() == 0
    program.wait_for(r"worker \d+ stopped", times=3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_drains(project, number):
    """What runs is finished, nothing new begins, and the status is 0."""
    program = project.worker("--processes", "2", ready=2)
    project.enqueue("finish", "go")
    program.wait_for("working")
    program.signal(number)
    program.wait_for("stopping: ")
    program.wait_for(r"worker \d+ stopped")  # the one without work
    project.enqueue("say", "late")
    project.write("go", "")
    assert program.wait() == 0
    assert "finished" in program.output
    assert "late" not in program.output
    assert (project.size().ready, project.size().reserved) == (1, 0)


def test_the_second_signal_interrupts(project):
    """What runs is given back, and the status is 130."""
    program = project.worker("--processes", "2", ready=2)
    project.enqueue("finish", "never")
    program.wait_for("working")
    program.terminate()
    program.wait_for(r"worker \d+ stopped")  # the one without work
    program.signal(signal.SIGINT)
    assert program.wait() == 130
    assert program.output.count("interrupted by a second signal") == 1
    assert (project.size().ready, project.size().reserved) == (1, 0)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_thread_of_asyncios_does_not_keep_a_process(project, loop):
    """A handler that waits in one for ever is given up, its message is given back, and the process ends in good order."""
    program = project.worker("--loop", loop, STOP_TIMEOUT="0.1")
    project.enqueue("wait_in_thread")
    program.wait_for("waiting in")
    program.terminate()
    assert program.wait() == 0
    assert "what handlers began in threads of asyncio's still runs" in program.output
    assert (project.size().ready, project.size().reserved) == (1, 0)


def test_the_third_signal_kills(project):
    """A process whose loop is blocked takes no notice of two; the status is that of a killed one."""
    program = project.worker("--processes", "2", ready=2)
    project.enqueue("block", "never")
    program.wait_for("blocking")
    for answer in (r"worker \d+ stopped", "interrupting: ", "killing"):
        program.terminate()
        program.wait_for(answer)
    assert program.wait() == 128 + signal.SIGKILL
    assert "did not end" not in program.output


def test_a_process_that_does_not_end_is_killed(project):
    """The parent waits for the queues' stop timeout and the grace, then kills and says so."""
    program = project.worker("--processes", "2", "--grace", "0.5", ready=2, STOP_TIMEOUT="0.25")
    project.enqueue("block", "never")
    blocked = int(program.wait_for(r"blocking (\d+)")[1])
    program.terminate()
    assert program.wait() == 128 + signal.SIGKILL
    assert re.search(rf"process \d \(pid {blocked}\) did not end within 0\.8 s and is killed", program.output)


def test_a_stop_reaches_processes_that_still_start(project):
    """They own nothing yet, so that ending at once is a drain too."""
    project.write("jobs.py", "import threading\nprint('starting', flush=True)\nthreading.Event().wait()\n")
    program = project.start("worker", "jobs:app", "--processes", "2")
    program.wait_for("starting")
    program.terminate()
    assert program.wait() == 0
    assert "is killed" not in program.output


def test_a_stop_that_comes_too_late_changes_nothing(project):
    """A process that has drained and is leaving has ended in good order, whatever reaches it now."""
    project.write(
        "jobs.py",
        JOBS
        + """
import atexit

@atexit.register
def leave():
    tell("leaving")
    while not os.path.exists("gone"):
        pause.wait(0.01)
""",
    )
    program = project.worker("--max-jobs", "1")
    project.enqueue("say", "hello")
    program.wait_for("leaving")
    program.terminate()
    program.wait_for("stopping: ")
    project.write("gone", "")
    assert program.wait() == 0


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_signal_to_a_fork_is_not_ours(project, loop):
    """What a handler forked ends by a signal as any program does, and the worker takes no notice."""
    program = project.worker("--loop", loop)
    project.enqueue("fork")
    program.wait_for(f"a fork ended by {signal.SIGTERM:d}")
    project.enqueue("say", "hello")
    program.wait_for("said hello")
    program.terminate()
    assert program.wait() == 0


def test_ctrl_c_in_a_terminal_reaches_each_process_once(project):
    """The terminal interrupts the whole foreground group; the processes drain all the same, once, and the status is 0."""
    master, slave = pty.openpty()
    into_terminal = ["/bin/sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(slave)]  # the first that a new session opens
    program = subprocess.Popen(
        [*into_terminal, sys.executable, "-m", "taskq", "worker", "jobs:app", "--processes", "2"],
        cwd=project.folder,
        env=os.environ | project.environment,
        start_new_session=True,
    )
    output = ""

    def read_until(pattern, times=1):
        nonlocal output
        while len(re.findall(pattern, output)) < times:
            output += os.read(master, 65536).decode()

    try:
        read_until(r"worker \d+ consumes", 2)
        project.enqueue("finish", "go")
        read_until("working")
        os.write(master, b"\x03")
        read_until(r"worker \d+ stopped")
        project.write("go", "")
        read_until(r"worker \d+ stopped", 2)
        assert program.wait() == 0
    finally:
        program.kill()
        program.wait()
        os.close(slave)
        os.close(master)
    assert output.count("stopping: ") == 1
    assert "finished" in output
    assert "interrupted" not in output


@pytest.mark.parametrize("end", ["status", "signal"])
def test_a_process_that_dies_is_replaced(project, end):
    """The log tells its pid and how it ended; the other one works on, and the new one works too."""
    program = project.worker("--processes", "2", ready=2)
    if end == "status":
        project.enqueue("die_once", "died", 7)
        how = "ended with status 7"
    else:
        os.kill(workers(program)[0], signal.SIGKILL)
        how = "was killed by SIGKILL (the system does that when memory runs out)"
    dead = int(program.wait_for(r"process \d \(pid (\d+)\) .*; another one starts in 0\.5 s")[1])
    assert f"(pid {dead}) {how}" in program.output
    program.wait_for(r"worker \d+ consumes", times=3)
    assert dead in workers(program)[:2]
    assert workers(program)[2] not in workers(program)[:2]
    project.enqueue("say", "hello", times=20)
    program.wait_for("said hello", times=20)
    program.terminate()
    assert program.wait() == 0


def test_a_process_that_dies_again_and_again_is_replaced_later_and_later(project):
    """The waits grow, so that a broken program does not keep the machine busy; a stop during such a wait is obeyed at once."""
    program = project.worker("--processes", "2", ready=2)
    for count, delay in enumerate(("0.5", "1.0", "2.0"), start=3):
        os.kill(workers(program)[-1], signal.SIGKILL)
        program.wait_for(rf"another one starts in {delay} s")
        if delay != "2.0":
            program.wait_for(r"worker \d+ consumes", times=count)
    program.terminate()
    program.wait_for(r"stopping: ")
    assert program.wait() == 0
    assert len(workers(program)) == 4


def test_a_replacement_that_cannot_start_is_tried_again(project):
    """A deployment that breaks the module costs the replaced processes, not those that still run, and ends with its repair."""
    program = project.worker("--processes", "2", ready=2)
    project.write("jobs.py", "1 / 0\n")
    os.kill(workers(program)[0], signal.SIGKILL)
    program.wait_for("cannot be imported: ZeroDivisionError: division by zero")
    program.wait_for(r"ended with status 2; another one starts in 1\.0 s")
    project.enqueue("say", "still here")
    program.wait_for("said still here")
    project.write("jobs.py", JOBS)
    program.wait_for(r"worker \d+ consumes", times=3)
    program.terminate()
    assert program.wait() == 0


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("1 / 0\n", (), "module 'jobs' cannot be imported: ZeroDivisionError: division by zero (jobs.py, line 1)"),
        ("app = 3\n", (), "'jobs' has no taskq.App named 'app'; give MODULE:APP"),
        ("import taskq\napp = taskq.App('nope://')\n", (), "no backend serves URLs that begin with nope://"),
        ("import taskq\napp = taskq.App()\n", (), "this app has no queue to consume"),
        (JOBS, ("--queues", "post"), "this app has no queue 'post'"),
        (
            "import taskq\napp = taskq.App()\napp.queue('mail')\n",
            (),
            "the in-memory backend lives in one process; give --processes 1",
        ),
        (JOBS, ("--max-memory", "5"), "--max-memory 5 is too small"),
    ],
)
def test_what_cannot_work_is_told_once(project, text, options, sentence):
    """One sentence, not one for each process, no traceback, and status 2."""
    project.write("jobs.py", text)
    program = project.start("worker", "jobs:app", "--processes", "3", *options)
    assert program.wait() == 2
    lines = [line for line in program.output.splitlines() if not line.startswith("imported by")]
    assert len(lines) == 1
    assert lines[0].startswith(f"taskq: {sentence}")


def test_recycling_refuses_the_memory_backend(project):
    """A process that ends with its messages is not replaced for fun."""
    program = project.start("worker", "jobs:app", "--max-jobs", "5", TASKQ_URL="memory://")
    assert program.wait() == 2
    assert "the in-memory backend ends with its process" in program.output


def test_a_process_that_dies_before_it_consumes_ends_the_worker(project):
    """A start that never worked is not repeated; the status is the dead one's."""
    project.write("jobs.py", "import os\nos._exit(9)\n")
    program = project.start("worker", "jobs:app", "--processes", "3")
    assert program.wait() == 9
    assert program.output.count("ended with status 9 before it consumed") == 1


def test_processes_drain_when_their_parent_is_killed(project):
    """They notice, finish what they run, and leave nothing behind."""
    program = project.worker("--processes", "2", ready=2)
    project.enqueue("finish", "go")
    program.wait_for("working")
    program.kill()
    wait_until(lambda: program.output.count("is gone; it drains and ends") == 2)
    project.write("go", "")
    wait_until(lambda: not project.pids())
    assert "finished" in program.output
    assert program.output.count("stopped") == 2
    assert (project.size().ready, project.size().reserved) == (0, 0)


@pytest.mark.parametrize("handler", ["cling", "block"])
def test_processes_that_cannot_drain_end_without_their_parent_too(project, handler):
    """Neither a handler that swallows its cancellation nor one that blocks the loop keeps an orphan alive."""
    program = project.worker("--processes", "2", "--grace", "0.3", ready=2, STOP_TIMEOUT="0.2")
    project.enqueue(handler, *["never"][: handler == "block"])
    program.wait_for(f"{handler}ing")
    program.kill()
    wait_until(lambda: not project.pids())
    assert "is gone; it drains and ends" in program.output


# -- recycling


def test_max_jobs_replaces_processes_and_loses_nothing(project):
    """Every message runs exactly once, by more processes than run side by side, and none of them by far too many."""
    program = project.worker("--processes", "2", "--max-jobs", "20", ready=2)
    with contextlib.closing(taskq.App(project.url)) as app:
        queue = app.queue(project.queue)
        queue.enqueue_many(queue.message("say", f"number-{n}") for n in range(150))
    program.wait_for(r"said number-\d+ by", times=150)
    program.wait_for(r"ended in good order and is replaced")
    program.terminate()
    assert program.wait() == 0
    said = re.findall(r"said (number-\d+) by (\d+)", program.output)
    assert sorted(text for text, _ in said) == sorted(f"number-{n}" for n in range(150))
    assert set(re.findall(r"worker \d+ has done its (\d+) runs", program.output)) <= {"18", "19", "20"}
    assert max(Counter(pid for _, pid in said).values()) <= 2 * 20  # what was reserved by then is done too
    assert project.size() == taskq.backends.base.Size()


def test_a_stop_during_a_recycling_drains_too(project):
    """The first signal is the first one, although the process was ending already."""
    program = project.worker("--max-jobs", "1")
    project.enqueue("finish", "go")
    program.wait_for("working")
    project.enqueue("say", "hello")
    program.wait_for(r"has done its 1 runs")
    program.terminate()
    program.wait_for("stopping: ")
    project.write("go", "")
    assert program.wait() == 0
    assert "finished" in program.output
    assert "interrupted" not in program.output


def test_max_memory_replaces_a_process_that_grew(project):
    """The message that made it grow is done, and the next one runs in a new process, right away."""
    program = project.worker("--max-memory", "200")
    project.enqueue("grow", 200)
    program.wait_for(r"worker \d+ takes \d+ MB of (18\d|19\d|200); it drains and is replaced")
    program.wait_for(r"worker \d+ consumes", times=2)
    project.enqueue("say", "hello")
    assert int(program.wait_for(r"said hello by (\d+)")[1]) == workers(program)[1]
    assert "another one starts" not in program.output
    program.terminate()
    assert program.wait() == 0
    assert project.size() == taskq.backends.base.Size()


# -- the loop


def test_uvloop_is_used_where_it_is_installed(project):
    """`--loop auto` takes it, and `--loop asyncio` refuses it; handlers in threads and tasks run on both."""
    for option, module in (("auto", "uvloop"), ("asyncio", "asyncio")):
        program = project.worker("--loop", option)
        project.enqueue("grow", 0)
        project.enqueue("say", "hello")
        assert program.wait_for(r"said hello by \d+ on (\w+)")[1] == module
        program.terminate()
        assert program.wait() == 0
        assert (project.size().ready, project.size().reserved) == (0, 0)


# -- health


def health(path):
    """The health file as it stands now, or nothing yet."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def probe(path, age="5"):
    """The exit status of a probe."""
    return main(["health", str(path), "--max-age", age])


def test_the_health_file_tells_of_all_processes(project, capsys):
    """It counts, it is well only once all processes are, and it goes with the worker."""
    path = project.folder / "health"
    assert probe(path) == 1
    program = project.worker("--processes", "2", "--health-file", "health", ready=2)
    wait_until(lambda: health(path) and health(path)["time"])
    assert probe(path) == 0
    assert capsys.readouterr().out.startswith("all was well ")
    project.enqueue("say", "hello", times=7)
    project.enqueue("finish", "go")
    program.wait_for("working")

    def totals(facts, *names):
        return [sum(each[name] for each in facts["processes"]) for name in names]

    facts = wait_until(lambda: totals(facts := health(path), "processed", "in_flight") == [7, 1] and facts)
    assert sorted(each["pid"] for each in facts["processes"]) == sorted(workers(program))
    assert {each["backend_error"] for each in facts["processes"]} == {""}
    assert [each["queues"] for each in facts["processes"]] == [[project.queue]] * 2
    project.write("go", "")
    program.terminate()
    assert program.wait() == 0
    assert [each.name for each in project.folder.iterdir() if "health" in each.name] == []


def test_a_blocked_loop_is_ill(project):
    """A process whose loop is blocked reports nothing; its last time stands, and a probe fails although the other one is well."""
    path = project.folder / "health"
    program = project.worker("--processes", "2", "--health-file", "health", ready=2)
    wait_until(lambda: health(path) and health(path)["time"])
    project.enqueue("block", "go")
    blocked = int(program.wait_for(r"blocking (\d+)")[1])

    def ages():
        facts = health(path)
        times = {each["pid"]: each["time"] for each in facts["processes"]}
        assert facts["time"] == min(times.values())
        return {pid: max(times.values()) - time for pid, time in times.items()}

    wait_until(lambda: ages()[blocked] > 2.0)
    assert probe(path, "2") == 1
    project.write("go", "")
    wait_until(lambda: ages()[blocked] < 1.5)
    program.terminate()
    assert program.wait() == 0


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
def test_a_backend_that_is_down_is_ill(tmp_path, capsys, options):
    """The last error is told, the time stands still, and both heal with the server; the worker waits for it meanwhile."""
    path = tmp_path / "health"
    with redis_server() as server, Processes(cwd=tmp_path) as processes:
        project = Project(tmp_path, server.url, processes)
        program = project.worker("--health-file", "health", *options, ready=len(options) or 1)
        wait_until(lambda: health(path) and health(path)["time"])
        server.stop()
        ill = wait_until(lambda: all(each["backend_error"] for each in health(path)["processes"]) and health(path))
        assert f"queue '{project.queue}' does not answer: BackendUnavailable: Redis at" in ill["processes"][0]["backend_error"]
        stamp = path.stat().st_mtime_ns
        wait_until(lambda: path.stat().st_mtime_ns > stamp)
        assert health(path)["time"] == ill["time"]
        capsys.readouterr()
        assert probe(path, "0") == 1
        assert "does not answer" in capsys.readouterr().err
        server.start()
        wait_until(lambda: not any(each["backend_error"] for each in health(path)["processes"]))
        assert health(path)["time"] > ill["time"]
        project.enqueue("say", "hello")
        program.wait_for("said hello")
        program.terminate()
        assert program.wait() == 0


# -- metrics


def scrape(program):
    """The metrics by name and labels."""
    address = program.wait_for(r"metrics are served at (\S+)")[1]
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}


@pytest.mark.parametrize("options", [(), ("--processes", "2"), ("--max-jobs", "1000")])
def test_metrics_are_served(project, options):
    """One process serves its own figures, and a parent the sum of all; both on the loopback."""
    program = project.worker("--metrics-port", "0", *options, ready=2 if "--processes" in options else 1)
    project.enqueue("say", "hello", times=9)
    project.enqueue("finish", "go")
    program.wait_for("said hello", times=9)
    labels = f'queue="{project.queue}",task="say"'
    done = f'taskq_processed_total{{outcome="Ack",{labels}}}'
    facts = wait_until(lambda: scrape(program).get(done) == 9 and scrape(program))
    assert facts[f"taskq_run_seconds_count{{{labels}}}"] == 9
    wait_until(lambda: scrape(program)[f'taskq_in_flight{{queue="{project.queue}"}}'] == 1)
    project.write("go", "")
    wait_until(lambda: scrape(program)[f'taskq_in_flight{{queue="{project.queue}"}}'] == 0)
    program.terminate()
    assert program.wait() == 0


def test_metrics_of_replaced_processes_go_on(project):
    """Counters keep what the dead have counted, in as many files as there are places; what they had in flight is gone."""
    program = project.worker("--processes", "2", "--metrics-port", "0", ready=2, TMPDIR=str(project.folder))
    done = f'taskq_processed_total{{outcome="Ack",queue="{project.queue}",task="say"}}'
    running = f'taskq_in_flight{{queue="{project.queue}"}}'
    project.enqueue("say", "hello", times=20)
    wait_until(lambda: scrape(program).get(done) == 20)
    project.enqueue("finish", "go")
    busy = int(program.wait_for(r"working in (\d+)")[1])
    wait_until(lambda: scrape(program)[running] == 1)
    os.kill(busy, signal.SIGKILL)
    program.wait_for(r"worker \d+ consumes", times=3)
    wait_until(lambda: scrape(program)[running] == 0)
    assert scrape(program)[done] == 20
    os.kill(workers(program)[2], signal.SIGKILL)
    program.wait_for(r"worker \d+ consumes", times=4)
    project.enqueue("say", "hello", times=20)
    wait_until(lambda: scrape(program)[done] == 40)
    assert len(list(project.folder.glob("taskq-metrics-*/counter_*.db"))) == 2
    program.terminate()
    assert program.wait() == 0
    assert list(project.folder.glob("taskq-metrics-*")) == []


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
def test_a_port_that_is_taken_is_told(project, options):
    """One sentence and status 2, before anything is consumed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = project.start("worker", "jobs:app", "--metrics-port", str(port), *options)
        assert program.wait() == 2
    assert f"taskq: metrics cannot be served on 127.0.0.1:{port}: " in program.output
    assert "consumes" not in program.output
    assert "Traceback" not in program.output


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
def test_metrics_without_the_client_are_told(project, options):
    """One sentence says what to install."""
    project.write("without/prometheus_client.py", "raise ImportError\n")
    path = f"{project.folder / 'without'}{os.pathsep}{ROOT}"
    program = project.start("worker", "jobs:app", "--metrics-port", "0", *options, PYTHONPATH=path)
    assert program.wait() == 2
    assert (
        program.output.splitlines()[-1] == "taskq: --metrics-port needs prometheus-client; run: pip install 'taskq[prometheus]'"
    )


# -- reloading

LIVE = """
import taskq
from parts import words

app = taskq.App()
mail = app.queue("mail")

@mail.task
async def say() -> None:
    print("said", words.TEXT, flush=True)

say.enqueue()
"""


@pytest.mark.parametrize("watchfiles", [True, False])
def test_reload_follows_the_sources(project, watchfiles):
    """A change of any imported source starts anew, by watchfiles or without; a syntax error is shown and waited out."""
    environment = {}
    if not watchfiles:
        project.write("without/watchfiles.py", "raise ImportError\n")
        environment["PYTHONPATH"] = f"{project.folder / 'without'}{os.pathsep}{ROOT}"
    project.write("parts/__init__.py", "")
    project.write("parts/words.py", "TEXT = 'one'\n")
    project.write("jobs.py", LIVE)
    program = project.worker("--reload", **environment)
    program.wait_for("said one")
    project.write("parts/words.py", "TEXT = 'two'\n")
    program.wait_for(r"words\.py changed")
    program.wait_for("said two")
    project.write("parts/words.py", "TEXT = \n")
    program.wait_for(r"taskq: module 'jobs' cannot be imported: SyntaxError: invalid syntax \(words.py, line 1\)")
    program.wait_for("waiting for a change of the sources")
    project.write("parts/words.py", "TEXT = 'six'\n")
    program.wait_for("said six")
    project.write("jobs.py", LIVE.replace("said", "told"))
    program.wait_for("told six")
    os.kill(workers(program)[-1], signal.SIGKILL)
    program.wait_for("another one starts")
    program.wait_for("told six", times=2)
    program.terminate()
    assert program.wait() == 0
    assert "Traceback" not in program.output
    assert "change detected" not in program.output


def test_reload_waits_out_a_first_start_that_fails(project):
    """A package that is broken from the beginning is watched too, though nothing of it was ever imported."""
    project.write("parts/__init__.py", "1 / 0\n")
    project.write("parts/words.py", "TEXT = 'one'\n")
    project.write("jobs.py", LIVE)
    program = project.start("worker", "jobs:app", "--reload")
    program.wait_for("waiting for a change of the sources")
    assert "ZeroDivisionError: division by zero (__init__.py, line 1)" in program.output
    project.write("parts/__init__.py", "")
    program.wait_for("said one")
    program.terminate()
    assert program.wait() == 0


def test_reload_waits_for_a_module(project):
    """One that does not exist yet is found in the current folder."""
    program = project.start("worker", "later:app", "--reload")
    program.wait_for("No module named 'later'")
    program.wait_for("waiting for a change of the sources")
    project.write("later.py", JOBS)
    program.wait_for("consumes")
    program.terminate()
    assert program.wait() == 0


def test_reload_can_be_stopped_while_it_waits(project):
    """A signal ends it, with status 0, though no process runs."""
    project.write("jobs.py", "1 / 0\n")
    program = project.start("worker", "jobs:app", "--reload")
    program.wait_for("waiting for a change of the sources")
    program.signal(signal.SIGINT)
    assert program.wait() == 0
