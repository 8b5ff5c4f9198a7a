"""Histories of real fleets: complete, in a possible order, and proof of what went wrong."""

import asyncio
import contextlib
import re
import time
from pathlib import Path

import msgspec
import pytest

import taskq
from taskq.message import Message
from taskq.wire import envelope
from taskq_testing.history import NANOSECONDS, Event
from taskq_testing.oracle import judge, judged
from taskq_testing.recording import Journal, Journals, Recorder, gather, gathering, recorder
from taskq_testing.recording.appendonly import commands, transactions
from taskq_testing.recording.ledger import Fact, Ledger
from taskq_testing.recording.receipts import name_of, number_of
from taskq_testing.recording.stalls import Stalls
from taskq_testing.services import Proxy
from tests.chaos.fleet import Fleet, Serving, recorded_server
from tests.testing.planted_server import BUGS, planted

pytestmark = pytest.mark.slow


@pytest.fixture
def fleet(tmp_path):
    """A fleet without processes round a server of its own."""
    with recorded_server() as server:
        fleet = Fleet(tmp_path, server, None, reservation_timeout=0.3, reserve_wait=0.2)
        yield fleet
        fleet.close()


def play(fleet, *, patience=20.0, delay=0.3):
    """Let a small fleet do all that fleets do, among ghosts: one comes too late with everything, one leaves too early."""
    _, ghost = fleet.build("ghost")
    _, leaver = fleet.build("leaver")
    with Proxy(fleet.server.url) as proxy:
        _, sender = fleet.build("sender", proxy.url)
        find = sender.tasks.find
        sender.enqueue_many(find("work").message(n, 0.0) for n in range(2))
        held = asyncio.run(hold(ghost.backend))
        asyncio.run(hold(leaver.backend, leave=True))
        cut = proxy.cut_after(0, to="client")
        sender.enqueue_many(find("work").message(2 + n, 0.0) for n in range(4))
        cut.wait()
        with Serving(fleet.build("one")[0]), Serving(fleet.build("two")[0]):
            sender.enqueue_many(
                [find("work").message(10 + n, 0.7) for n in range(2)]
                + [find("work").message(20, 0.0).delayed(delay)]
                + [find("work").message(30 + n, 0.0).named("once") for n in range(2)]
                + [find("flaky").message("", 2), find("later").message(delay), find("doomed").message(__file__)]
            )
            with contextlib.suppress(TimeoutError):
                fleet.drain(patience)
            asyncio.run(haunt(ghost.backend, held))
            with contextlib.suppress(TimeoutError):
                fleet.journals.wait(lambda: fleet.left == 0, timeout=patience / 2)


async def hold(backend, *, leave=False):
    """Reserve a message and do nothing with it."""
    (held,) = await backend.reserve(1, 0.0)
    if leave:
        await backend.aclose()
    return held


async def haunt(backend, held):
    """Come back with a message when all is over."""
    await backend.ack([held])
    for late in (backend.release(held, 0.0), backend.dead_letter(held, "late"), backend.extend(held, 1.0)):
        with contextlib.suppress(taskq.errors.ReservationLost):
            await late


def broken(history):
    return {violation.invariant for violation in judge(history)}


def test_a_sound_fleet_is_not_accused(fleet):
    """With the server's word a history is judged by all but what it gives no occasion for, and nothing is found."""
    play(fleet)
    history = fleet.history()
    assert judge(history) == []
    assert set(range(1, 32)) - judged(history) == {20, 28, 29}


def test_without_the_servers_word_less_is_judged(fleet, tmp_path):
    """What clients were told alone is enough for what concerns them, and accuses nobody either."""
    play(fleet)
    fleet.journal.write("rest")
    history = gather(tmp_path)
    assert judge(history) == []
    assert judged(history) >= {1, 5, 6, 7, 9, 10, 12, 13, 16, 17, 22, 25, 26, 27, 30, 31}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_shows(fleet, bug, monkeypatch):
    """A script that does a little too much or too little is found out, by one of the promises that it breaks."""
    monkeypatch.setattr(recorder, "Stalls", lambda *_: None)  # a busy machine is no excuse here
    expected = BUGS[bug][-1]
    with planted(bug):
        play(fleet, patience=2.0, delay=30.0 if expected & {16, 17} else 0.3)
        history = fleet.history()
    assert broken(history) & expected


def test_what_a_backend_asks_of_itself_is_not_told_twice(tmp_path):
    """One whose `send` is its `send_blocking` adds what it is given once, and so its history says."""
    app = taskq.App("memory://")
    queue = app.queue("mail")

    @queue.task
    async def greet(name): ...

    writer = Recorder(tmp_path, process="one")
    writer.attach(app)
    asyncio.run(greet.enqueue_async("async"))
    greet.enqueue("blocking")
    asyncio.run(app.consumer(queue).process_all())
    writer.journal.write("rest")
    writer.close()
    app.close()
    history = gather(tmp_path)
    assert [event.kind for event in history.events].count("add") == 2
    assert judge(history) == []


def test_what_a_server_did_comes_before_its_consequences():
    """Whoever is told that a message was settled already is told so afterwards, however far the server's clock is ahead."""
    second = NANOSECONDS
    events = [
        Event(0, 10 * second, "acked", receipt=7, message="m"),
        Event(1, 11 * second, "stale", receipt=7, message="m", outcome="ack"),
    ]
    now = time.monotonic_ns()
    events = [msgspec.structs.replace(event, t=now + event.t) for event in events]
    ahead = Fact("acked", time.time_ns() + 15 * second, "one", {"receipt": 7, "message": "m", "queue": "q"})
    (acked,) = gathering._placed([ahead], events, {})
    assert events[0].t <= acked.t < events[1].t


# -- journals


def test_journals_are_read_while_they_are_written(tmp_path):
    """What is whole is read once, in any number of files; a line that is half written waits for its other half."""
    first, second, journals = Journal(tmp_path, "a"), Journal(tmp_path, "b"), Journals(tmp_path)
    first.write("spawn", t=1)
    second.write("crash", process="a", t=2)
    assert {(event.kind, event.process) for event in journals.read()} == {("spawn", "a"), ("crash", "a")}
    with (tmp_path / "c.jsonl").open("wb") as half:
        half.write(b'{"seq":0,"t":3,"ki')
        half.flush()
        assert len(journals.read()) == 2
        half.write(b'nd":"wake"}\n{"seq"')
        half.flush()
    assert [event.kind for event in journals.wait_for("wake", since=2)] == ["wake"]
    assert journals.counts == {"spawn": 1, "crash": 1, "wake": 1}
    assert [event.kind for event in journals.of("spawn", "crash", process="a", t=2)] == ["crash"]
    first.close()
    second.close()


def test_what_does_not_come_about_is_told(tmp_path):
    """A wait ends with the last events that were written."""
    Journal(tmp_path, "a").write("spawn", queue="mail")
    with pytest.raises(TimeoutError, match=r'not come about in 0 s(.|\n)*"spawn"(.|\n)*"mail"'):
        Journals(tmp_path).wait_for("crash", timeout=0.0)


def test_a_process_that_stands_still_says_so(tmp_path):
    """A thread that could not look for too long is a stall, from its last look on."""
    journal, journals = Journal(tmp_path, "a"), Journals(tmp_path)
    stalls = Stalls(journal, 0.005)
    journals.wait(lambda: sum(range(2_000_000)) and journals.read())  # which keeps all threads from running
    stalls.close()
    event = journals.events[0]
    assert (event.kind, event.outcome) == ("fault", "stall")
    assert event.delay > 0.005


def test_numbers_for_receipts():
    """Ids of stream entries become numbers in their order, numbers stay, anything else is hashed, always alike."""
    assert number_of(b"1700000000000-2") - number_of(b"1700000000000-1") == 1
    assert number_of(b"1700000000001-0") > number_of(b"1700000000000-9")
    assert number_of(7) == 7
    assert number_of(b"1-x") == number_of("1-x") != number_of(b"1-y")


def test_bodies_that_cannot_be_read_have_names():
    """A message that cannot be read, or has no id, goes by what the server calls it."""
    assert name_of(b"\xff\x00", b"5-1") == ("5-1", "", 1)
    assert name_of(body("", attempt=3), b"5-1") == ("5-1", "work", 3)
    assert name_of(body("a"), b"5-1") == ("a", "work", 1)


# -- what the server wrote


def packed(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def test_half_a_command_is_no_command():
    """What a crash left of the last command is passed over, wherever it broke off; remarks are, too."""
    whole = packed(b"SET", b"a", b"x\r\ny")
    data = b"#TS:1700000000\r\n" + whole + whole
    assert list(commands(data)) == [[b"SET", b"a", b"x\r\ny"]] * 2
    for length in range(len(whole), len(data) - 16):
        assert len(list(commands(data[: 16 + length]))) == 1


def test_transactions_are_whole(tmp_path):
    """What was written between MULTI and EXEC belongs together; without its EXEC it was not done."""
    with pytest.raises(FileNotFoundError, match="appendonly"):
        list(transactions(tmp_path))
    (tmp_path / "appendonlydir").mkdir()
    for number, words in ((10, ("MULTI", "C", "D")), (9, ("A", "MULTI", "SELECT", "B", "EXEC"))):
        data = b"".join(packed(word.encode()) for word in words)
        (tmp_path / "appendonlydir" / f"appendonly.aof.{number}.incr.aof").write_bytes(data)
    assert list(transactions(tmp_path)) == [[[b"A"]], [[b"B"]]]


def body(name, attempt=0):
    return envelope.encode(Message(task="work", id=name.encode(), attempt=attempt))


class Book:
    """A ledger, fed by hand."""

    STREAM, DELAYED, DEAD = (f"taskq:{{q}}:{suffix}".encode() for suffix in ("stream", "zset", "dead"))

    def __init__(self):
        self.ledger = Ledger({"q": NANOSECONDS})

    def add(self, identifier, name):
        return self.did([b"XADD", self.STREAM, identifier, b"body", body(name)])

    def reserve(self, identifier, owner=b"me"):
        return self.did(
            [b"XCLAIM", self.STREAM, b"taskq", owner, b"0", identifier, b"TIME", b"5000", b"RETRYCOUNT", b"1", b"FORCE"]
        )

    def did(self, *transaction):
        """Return what one transaction came to."""
        before = len(self.ledger.facts)
        self.ledger.read([transaction])
        return [(fact.kind, fact.fields.get("message")) for fact in self.ledger.facts[before:]]


def test_what_else_can_happen_to_messages():
    """Purges, redrives, what is discarded, a lost group and a server that forgets everything are told for what they are."""
    book = Book()
    assert book.add(b"1-0", "a") + book.add(b"1-1", "b") + book.reserve(b"1-1") == [
        ("stored", "a"), ("stored", "b"), ("reserved", "b")
    ]  # fmt: skip
    assert book.did([b"ZADD", book.DELAYED, b"9000", body("c")]) == [("stored", "c")]
    assert book.did([b"DEL", book.DELAYED], [b"XDEL", book.STREAM, b"1-0"]) == [("purged", "c"), ("purged", "a")]
    dead = [b"XADD", book.DEAD, b"2-0", b"reason", b"why", b"body", body("b")]
    assert book.did([b"XACK", book.STREAM, b"taskq", b"1-1"], [b"XDEL", book.STREAM, b"1-1"], dead) == [("dead", "b")]
    assert book.did([b"XDEL", book.DEAD, b"2-0"], [b"XADD", book.STREAM, b"3-0", b"body", body("b")]) == [("redriven", "b")]
    book.reserve(b"3-0")
    assert book.did([b"XGROUP", b"DESTROY", book.STREAM, b"taskq"]) == [("rolled_back", None), ("restored", "b")]
    assert book.reserve(b"3-0", b"you") == [("reserved", "b")]
    assert book.did([b"FLUSHALL"]) == [("rolled_back", None)]
    assert book.did([b"XACK", book.STREAM, b"taskq", b"3-0"]) == []
    assert book.did([b"XADD", b"taskq:{other}:stream", b"9-0", b"body", body("x")], [b"SET", b"{q}", b"x"]) == []


def test_a_dead_letter_that_is_discarded_is_gone():
    """A dead letter that is deleted and not added again was dropped on request."""
    book = Book()
    book.did([b"XADD", book.DEAD, b"2-0", b"reason", b"why", b"body", body("b")])
    assert book.did([b"XDEL", book.DEAD, b"2-0"]) == [("purged", "b")]


def test_an_entry_that_comes_back_before_its_time_was_given_back():
    """Only what is past its reservation is recovered; who makes it ready earlier has given it back."""
    book = Book()
    for identifier, name, again, kind in ((b"1-0", "a", b"5999-0", "released"), (b"1-1", "b", b"6000-0", "expired")):
        book.add(identifier, name)
        book.reserve(identifier)
        taken = [[b"XACK", book.STREAM, b"taskq", identifier], [b"XDEL", book.STREAM, identifier]]
        assert book.did(*taken, [b"XADD", book.STREAM, again, b"deliveries", b"1", b"body", body(name)]) == [(kind, name)]


def test_the_page_on_reliability_works():
    """The program in docs/reliability.md runs as it stands."""
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(compile(program, "docs/reliability.md", "exec"), names)
    assert len(names["history"]) > 10
