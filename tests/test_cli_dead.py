"""`taskq dead`: what it tells of messages that were given up, and what it does to them."""

import io
import json
import re
import sys

import pytest

from taskq.cli import main
from taskq_testing.services import redis_server

JOBS = """
import asyncio, datetime, taskq
from taskq.backends.base import Outgoing

app = taskq.App(URL)
mail = app.queue("mail", stop_timeout=1.0)
fine = False

@mail.task(max_attempts=2, min_backoff=0.0)
def charge(card: str, at: datetime.date) -> None:
    if not fine:
        raise OSError("no\\x1b[31m money\\nat all")

async def give_up():
    for n in range(3):
        await charge.enqueue_async(f"card-{n}", datetime.date(2024, 1, 2))
    await mail.backend.send([Outgoing(b"broken", b"\\xc1\\xc1")])
    await mail.enqueue_async(taskq.Message(task="charge", args_bytes=b"\\x92\\x01"))
    await app.consumer(mail).process_all()

asyncio.run(give_up())
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def server():
    """A real server."""
    with redis_server() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def taskq(request, tmp_path, monkeypatch, capsys):
    """Return a function that runs a command on queue mail, with five dead letters, and returns its lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    url = "memory://"
    if request.param == "redis":
        server = request.getfixturevalue("server")
        server.cli("FLUSHALL")
        url = server.url
    (tmp_path / "jobs.py").write_text(JOBS.replace("URL", repr(url)))
    sys.modules.pop("jobs", None)

    def run(action, *arguments, status=0):
        assert main(["dead", action, "jobs:app", "mail", *arguments]) == status
        return capsys.readouterr().out.splitlines()

    yield run
    sys.modules.pop("jobs", None)


def ids(lines):
    """The ids in a listing."""
    return [line.split("  ")[0] for line in lines]


def test_a_list_has_one_harmless_line_for_each(taskq):
    """Oldest first: id, task, attempt, reason; what an error said can neither break the line nor steer the terminal."""
    lines = taskq("list")
    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)
    told = [line.split("  ", 1)[1] for line in lines]
    assert told.count(r"charge  2  failed 2 times: OSError: no\x1b[31m money\nat all") == 3
    assert [line for line in told if line.startswith("?  ?  the body cannot be read")]
    assert [line for line in told if line.startswith("charge  1  its arguments cannot be read")]
    assert taskq("list", "--limit", "2") == lines[:2]


def test_a_list_as_json_holds_no_arguments(taskq):
    """One array; arguments are for `show --args` only."""
    (line,) = taskq("list", "--json")
    facts = json.loads(line)
    assert [each["id"] for each in facts] == ids(taskq("list"))
    charged = [each for each in facts if each["reason"] == "failed 2 times: OSError: no\x1b[31m money\nat all"]
    assert [(each["task"], each["attempt"]) for each in charged] == [("charge", 2)] * 3
    assert all(re.fullmatch(r"[0-9a-f]{32}", each["message"]) for each in charged)
    assert [each["bytes"] for each in facts if "unreadable" in each] == [2]
    assert "card" not in line


def test_show_tells_arguments_only_when_asked(taskq):
    """By the id of the letter or of its message; what cannot be read is said."""
    facts = json.loads(taskq("list", "--json")[0])
    charged = next(each for each in facts if each.get("attempt") == 2)
    plain = taskq("show", charged["id"])
    assert f"message: {charged['message']}" in plain
    assert "task: charge" in plain
    assert not any("card" in line for line in plain)
    for name in (charged["id"], charged["message"]):
        assert taskq("show", name, "--args") == [*plain, 'args: ["card-0", "2024-01-02"]']
    broken = next(each for each in facts if "unreadable" in each)
    shown = taskq("show", broken["id"], charged["id"])
    assert f"unreadable: {broken['unreadable']}" in shown
    assert shown.count("") == 1
    assert json.loads(taskq("show", charged["id"], "--args", "--json")[0]) == [charged | {"args": ["card-0", "2024-01-02"]}]


def test_arguments_that_cannot_be_read_are_told(taskq):
    """The rest of the message is shown all the same."""
    facts = json.loads(taskq("list", "--json")[0])
    odd = next(each for each in facts if "attempt" in each and each["attempt"] == 1)
    plain = taskq("show", odd["id"])
    assert not any(line.startswith("args") for line in plain)
    assert taskq("show", odd["id"], "--args")[:-1] == plain
    assert taskq("show", odd["id"], "--args")[-1].startswith("args_unreadable: ")


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (b"\x92\xa2\xff\x1b\x01", r'args: ["\udcff\u001b", 1]'),
        (b"\x91\x81\x01\xc4\x01x", 'args: [{"1": "eA=="}]'),
        (b"\x91\x81\x91\x01\x02", "args: ({(1,): 2},)"),
        (b"\x91\x81\xd6\xff\x00\x00\x00\x01\x02", 'args: [{"1970-01-01T00:00:01Z": 2}]'),
        (b"\xc0", "args: []"),
    ],
)
def test_whatever_others_wrote_is_shown(tmp_path, monkeypatch, capsys, args, shown):
    """Text that is no UTF-8, keys that are no text, bytes: each has a form that a terminal and JSON can bear."""
    (tmp_path / "jobs.py").write_text(
        f"import taskq\napp = taskq.App()\nmail = app.queue('mail', poison_limit=1, unknown_attempts=1)\n"
        f"mail.enqueue(taskq.Message(task='elsewhere', args_bytes={args!r}))\n"
        "import asyncio\nasyncio.run(app.consumer(mail).process_all())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "jobs", raising=False)
    assert main(["dead", "list", "jobs:app", "mail", "--json"]) == 0
    (letter,) = json.loads(capsys.readouterr().out)
    assert main(["dead", "show", "jobs:app", "mail", letter["id"], "--args"]) == 0
    *_, line = capsys.readouterr().out.splitlines()
    assert line.startswith(shown)
    assert line.isprintable()
    assert main(["dead", "show", "jobs:app", "mail", letter["id"], "--args", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["task"] == "elsewhere"
    sys.modules.pop("jobs", None)


def test_requeue_makes_them_run_again(taskq):
    """Only the chosen ones, with all their attempts; and all others with --all."""
    facts = json.loads(taskq("list", "--json")[0])
    first, second, *_ = (each for each in facts if each.get("attempt") == 2)
    jobs = sys.modules["jobs"]
    assert taskq("requeue", first["id"], second["message"], first["message"]) == ["2 dead letters of queue mail are ready again"]
    assert len(taskq("list")) == 3
    jobs.fine = True
    assert jobs.asyncio.run(jobs.app.consumer("mail").process_all()) == 2
    assert len(taskq("list")) == 3
    assert taskq("requeue", "--limit", "1") == ["1 dead letters of queue mail are ready again"]
    assert taskq("requeue", "--all") == ["2 dead letters of queue mail are ready again"]
    assert taskq("requeue", "--all") == ["0 dead letters of queue mail are ready again"]
    assert taskq("list") == []
    jobs.asyncio.run(jobs.app.consumer("mail").process_all())
    assert len(taskq("list")) == 2  # what cannot be read is as intact, and as hopeless, as before


def test_all_takes_in_steps_and_ends(taskq, monkeypatch):
    """However many there are; what fails again meanwhile is left to the next time."""
    monkeypatch.setattr("taskq.cli.dead._BATCH", 2)
    jobs = sys.modules.get("jobs") or (taskq("list"), sys.modules["jobs"])[1]
    redrive = jobs.mail.redrive

    async def redrive_and_fail(letters):
        count = await redrive(letters)
        await jobs.app.consumer("mail").process_all()
        return count

    jobs.mail.redrive = redrive_and_fail
    assert taskq("requeue", "--all") == ["5 dead letters of queue mail are ready again"]
    assert len(taskq("list")) == 5


@pytest.mark.parametrize(("answer", "dropped"), [("y", True), ("n", False), ("", False)])
def test_drop_asks(taskq, monkeypatch, answer, dropped):
    """It says how many; only a yes drops, and only what was chosen."""
    asked = []
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda question: (asked.append(question), answer)[1])
    before = ids(taskq("list"))
    for chosen, count in ((before[1:3], 2), (["--limit", "1"], 1), (["--all"], 2 if dropped else 5)):
        said = f"{count} dead letters of queue mail were dropped" if dropped else "nothing was dropped"
        assert taskq("drop", *chosen) == [said]
        assert asked.pop() == f"Delete {count} dead letters of queue mail for good? [y/N] "
    assert ids(taskq("list")) == ([] if dropped else before)


def test_drop_with_yes_does_not_ask(taskq, monkeypatch):
    """Scripts give it; without a terminal there is nobody to ask."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    first, *others = ids(taskq("list"))
    taskq("drop", first, status=2)
    assert taskq("drop", first, "--yes") == ["1 dead letters of queue mail were dropped"]
    assert ids(taskq("list")) == others


def test_all_letters_of_a_message_are_meant(taskq):
    """A duplicate that was given up too has the same message id, and goes with it."""
    facts = json.loads(taskq("list", "--json")[0])
    jobs = sys.modules["jobs"]
    charged = next(each for each in facts if each.get("attempt") == 2)
    letter = next(x for x in jobs.asyncio.run(jobs.mail.dead_letters()) if jobs.taskq.message.printable(x.id) == charged["id"])
    jobs.mail.backend.send_blocking([jobs.Outgoing(b"again", letter.body)])
    jobs.asyncio.run(jobs.app.consumer("mail").process_all())
    assert len(taskq("list")) == 6
    assert taskq("drop", charged["message"], "--yes") == ["2 dead letters of queue mail were dropped"]
