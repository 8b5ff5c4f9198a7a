"""The command line: what it prints, its exit statuses, and that a wrong call is told in one sentence."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from taskq.cli import main

ROOT = Path(__file__).parents[1]
JOBS = """
import os, signal, taskq

app = taskq.App()
mail = app.queue("mail", reservation_size=7)
logs = app.queue("logs")
number = 3

@mail.task
def greet(name: str, times: int = 1) -> None: ...

@logs.task
async def leave(status: int) -> None:
    if status:
        os._exit(status)
    os.kill(os.getpid(), signal.SIGTERM)
"""
MODULES = ("jobs", "bad_url", "broken", "down", "empty")
DOWN = """
import taskq
app = taskq.App("unix://PATH/nobody")
mail = app.queue("mail", send_timeout=0)
"""
SHARED = """
import msgspec
for queue in (mail, logs):
    queue.backend.capabilities = msgspec.structs.replace(queue.backend.capabilities, durable=True)
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Return a function that writes a user's module, jobs.py, into the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)

    def write(more="", name="jobs", text=JOBS):
        (tmp_path / f"{name}.py").write_text(text + more)

    yield write
    for name in MODULES:
        sys.modules.pop(name, None)


@contextlib.contextmanager
def spawn(*arguments):
    """Run a command, and end it if the test fails to."""
    command = [sys.executable, "-m", "taskq", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            yield program
        finally:
            program.kill()


def read_until(stream, text, count=1):
    """Read lines until `count` of them held `text`; an end before that fails."""
    lines = []
    while sum(text in line for line in lines) < count:
        lines.append(stream.readline())
        assert lines[-1], f"the program ended after {lines}"
    return lines


WRONG = [
    ("", "COMMAND"),
    ("fly", "invalid choice"),
    ("demo --limit x", "--limit"),
    ("demo --limit 0", "--limit 0"),
    ("demo --rate 0", "rate"),
    ("demo --backend nope://", "nope://"),
    ("demo --path /no/such/folder", "/no/such/folder"),
    ("demo --path . --pattern *.nothing", "*.nothing"),
    ("info nowhere:app", "nowhere"),
    ("info .x:app", "'.x'"),
    ("info :app", "''"),
    ("info jobs:number", "number"),
    ("info broken:app", "ZeroDivisionError"),
    ("info bad_url:app", "nope://"),
    ("worker jobs:app --processes 0", "--processes 0"),
    ("worker jobs:app --max-jobs 0", "--max-jobs 0"),
    ("worker jobs:app --max-memory 0", "--max-memory 0"),
    ("worker jobs:app --metrics-port 70000", "--metrics-port 70000"),
    ("worker jobs:app --health-file no/such/health", "no/such/health"),
    ("worker jobs:app --grace=-1", "--grace"),
    ("worker jobs:app --loop trio", "--loop"),
    ("worker empty:app", "no queue to consume"),
    ("health", "PATH"),
    ("health h --max-age=-1", "--max-age"),
    ("worker jobs:app --queues mail,post", "'post'; its queues are: logs, mail"),
    ("info down:app", "cannot be reached"),
    ("enqueue down:app mail greet", "cannot be reached"),
    ("purge down:app mail --yes", "cannot be reached"),
    ("dead list down:app mail", "cannot be reached"),
    ("dead", "ACTION"),
    ("dead list jobs:app", "queue"),
    ("dead list jobs:app post", "'post'"),
    ("dead list jobs:app mail --limit 0", "--limit 0"),
    ("dead show jobs:app mail", "ID"),
    ("dead show jobs:app mail nobody", "'nobody' is among the oldest 1000 of queue 'mail'"),
    ("dead requeue jobs:app mail nobody --limit 5", "'nobody' is among the oldest 5 of queue 'mail'; nothing was done"),
    ("dead requeue jobs:app mail", "give the ids"),
    ("dead requeue jobs:app mail nobody --all", "do not go together"),
    ("dead drop jobs:app mail --yes", "give the ids"),
    ("dead drop jobs:app mail --all", "--yes"),
    ("dead drop jobs:app mail --limit 0 --yes", "--limit 0"),
    ("purge jobs:app post --yes", "'post'"),
    ("purge jobs:app mail", "--yes"),
    ("enqueue jobs:app post greet", "'post'"),
    ("enqueue jobs:app mail greet", "greet"),
    ("enqueue jobs:app mail greet Ada many", "greet"),
    ("enqueue jobs:app mail greet Ada --delay=-1", "--delay"),
    ("enqueue jobs:app mail greet Ada --name=", "name"),
]


@pytest.mark.parametrize(("line", "named"), WRONG, ids=[line for line, _ in WRONG])
def test_a_wrong_call_is_one_sentence(jobs, tmp_path, capsys, monkeypatch, line, named):
    """It goes to stderr, begins with "taskq: ", names what is wrong, and the exit status is 2."""
    jobs()
    jobs(name="broken", text="1 / 0\n")
    jobs(name="bad_url", text="import taskq\napp = taskq.App('nope://')\n")
    jobs(name="empty", text="import taskq\napp = taskq.App()\n")
    jobs(name="down", text=DOWN.replace("PATH", str(tmp_path)))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("taskq: ")
    assert err.count("\n") == 1
    assert named in err


def test_help_is_no_error(capsys):
    """It prints the commands and leaves with status 0."""
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert "worker" in capsys.readouterr().out


def test_info_tells_sizes_tasks_and_changed_options(jobs, capsys):
    """Both forms tell the same; options at their default are left out."""
    jobs('\ngreet.enqueue("Ada"); mail.enqueue(greet.message("Eve").delayed(60))\n')
    assert main(["info", "jobs:app", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    sizes = {"ready": 1, "delayed": 1, "reserved": 0, "dead": 0}
    assert facts["mail"] == sizes | {"tasks": ["greet"], "options": {"reservation_size": 7}}
    assert facts["logs"] == dict.fromkeys(sizes, 0) | {"tasks": ["leave"], "options": {}}
    assert main(["info", "jobs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["mail: ready 1  delayed 1  reserved 0  dead 0", "  tasks: greet", "  reservation_size = 7"]


@pytest.mark.parametrize(("answer", "dropped"), [("y", 2), ("Yes", 2), ("", 0), ("n", 0), (EOFError, 0)])
def test_purge_asks_in_a_terminal(jobs, capsys, monkeypatch, answer, dropped):
    """Only a yes drops; anything else, and the end of the input, leaves the messages where they are."""
    jobs('\ngreet.enqueue("Ada"); mail.enqueue(greet.message("Eve").delayed(60))\n')
    asked = []

    def reply(question):
        asked.append(question)
        if answer is EOFError:
            raise EOFError
        return answer

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", reply)
    assert main(["purge", "jobs:app", "mail"]) == 0
    assert asked == ["Drop 2 messages of queue mail? [y/N] "]
    assert capsys.readouterr().out.startswith("2 messages" if dropped else "nothing")
    main(["info", "jobs:app", "--json"])
    left = json.loads(capsys.readouterr().out)["mail"]
    assert left["ready"] + left["delayed"] == 2 - dropped


def test_purge_with_yes_does_not_ask(jobs, capsys):
    """It drops what is ready and delayed, and says how much."""
    jobs('\ngreet.enqueue("Ada")\n')
    assert main(["purge", "jobs:app", "mail", "--yes"]) == 0
    assert capsys.readouterr().out == "1 messages of queue mail were dropped\n"


@pytest.mark.parametrize(
    ("line", "args", "size"),
    [
        ("mail greet Ada 2", ("Ada", 2), (1, 0)),
        ('mail greet "7" --delay 9', ("7", 1), (0, 1)),
        ('mail elsewhere {"a":[1]} -5', ({"a": [1]}, -5), (1, 0)),
    ],
)
def test_enqueue_binds_json_arguments(jobs, capsys, line, args, size):
    """A registered task checks and completes them; those of a task defined elsewhere travel as they are."""
    jobs("\nseen = []\nadd = mail.enqueue\nmail.enqueue = lambda message: (seen.append(message.args), add(message))[1]\n")
    assert main(["enqueue", "jobs:app", *line.split()]) == 0
    out, err = capsys.readouterr()
    assert len(out.strip()) == 32
    assert "in-memory" in err
    seen = sys.modules["jobs"].seen
    assert [(*got, *args[len(got) :]) for got in seen] == [args]
    main(["info", "jobs:app", "--json"])
    mail = json.loads(capsys.readouterr().out)["mail"]
    assert (mail["ready"], mail["delayed"]) == size


def test_enqueue_tells_of_a_duplicate(jobs, capsys):
    """A name that is taken adds nothing, and that is no error; a durable backend needs no warning."""
    jobs('\nmail.enqueue(greet.message("Ada").named("once"))' + SHARED)
    assert main(["enqueue", "jobs:app", "mail", "greet", "Ada", "--name", "once"]) == 0
    assert "duplicate" in capsys.readouterr().out
    sys.modules.pop("jobs")
    assert main(["enqueue", "jobs:app", "mail", "greet", "Ada", "--name", "twice"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_worker_runs_until_a_signal(jobs, caplog, capsys):
    """SIGTERM, here sent by a handler, ends it with status 0; it logs its start and its end."""
    jobs("\nleave.enqueue(0)\n")
    caplog.set_level("INFO", logger="taskq")
    assert main(["worker", "jobs:app", "--queues", "logs, mail,logs"]) == 0
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"worker {os.getpid()} consumes logs, mail; stop it with Ctrl-C", f"worker {os.getpid()} stopped"]


@pytest.mark.slow
def test_a_second_signal_interrupts_the_worker(jobs, caplog):
    """What a handler does is given up, and the status is 130."""
    jobs("""
import asyncio

@mail.task
async def cling() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.Event().wait()

cling.enqueue()
""")
    caplog.set_level("INFO", logger="taskq")
    assert main(["worker", "jobs:app"]) == 130
    assert "interrupted" in caplog.messages[-1]


@pytest.mark.slow
def test_the_third_signal_kills_the_worker(jobs):
    """A handler that swallows its cancellation does not keep it alive: the system ends it, as by any other signal."""
    jobs("""
import asyncio

@mail.task
async def cling() -> None:
    print("clinging", flush=True)
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("swallowed", flush=True)

cling.enqueue()
""")
    with spawn("worker", "jobs:app") as program:
        read_until(program.stdout, "clinging")
        program.send_signal(signal.SIGTERM)
        program.send_signal(signal.SIGINT)
        read_until(program.stdout, "swallowed")
        program.send_signal(signal.SIGTERM)
        assert program.wait() == -signal.SIGTERM


@pytest.mark.slow
def test_a_lone_worker_serves_health_and_metrics(jobs, tmp_path):
    """Both tell of the process itself; the health file goes with it."""
    jobs("\ngreet.enqueue('Ada')\n")
    with spawn("worker", "jobs:app", "--health-file", "health", "--metrics-port", "0") as program:
        served, *_ = read_until(program.stderr, "metrics are served at ")
        address = served.split()[-1]
        pause, facts = threading.Event(), {}
        while not facts or not facts["processes"][0]["processed"]:
            pause.wait(0.01)
            facts = json.loads((tmp_path / "health").read_text()) if (tmp_path / "health").exists() else {}
        assert main(["health", "health"]) == 0
        with urllib.request.urlopen(address) as answer:
            assert b'taskq_processed_total{outcome="Ack",queue="mail",task="greet"} 1.0' in answer.read()
        program.send_signal(signal.SIGTERM)
        assert program.wait() == 0
    (process,) = facts["processes"]
    assert (process["pid"], process["processed"], process["queues"]) == (program.pid, 1, ["mail", "logs"])
    assert not (tmp_path / "health").exists()


@pytest.mark.slow
def test_the_module_runs_as_a_program(jobs):
    """`python -m taskq` is the same command line, without a traceback."""
    with spawn("info", "nowhere:app") as program:
        out, err = program.communicate()
    assert (program.returncode, out) == (2, "")
    assert err == "taskq: module 'nowhere' cannot be imported: No module named 'nowhere'\n"


def test_ctrl_c_has_its_status(jobs, monkeypatch):
    """An interrupt outside of an event loop ends with 130 and no traceback."""
    jobs(name="broken", text="raise KeyboardInterrupt\n")
    assert main(["info", "broken:app"]) == 130


@pytest.mark.slow
def test_the_command_line_is_light():
    """Its help loads no client of a service, nothing that only some commands need, and no extra."""
    heavy = ["redis", "boto3", "rich", "uvloop", "watchfiles", "prometheus_client", "opentelemetry", "cramjam", "taskq_testing"]
    code = f"""
import sys
from taskq.cli import main
try:
    main(["--help"])
finally:
    print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "worker" in done.stdout
    assert done.stderr.strip() == "[]"
