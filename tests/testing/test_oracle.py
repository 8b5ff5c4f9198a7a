"""The oracle as a whole: what it judges by, in which order it reports, what silence means, two runs of one seed, its speed."""

import re
import time
from pathlib import Path

import pytest
from testing.histories import Story

from taskq.core.lifecycle import MESSAGE
from taskq_testing.history import KINDS, QUEUE_FIELDS, TASK_FIELDS, Event, History
from taskq_testing.oracle import INVARIANTS, judge, judged, same, table
from taskq_testing.oracle.model import Queue, Task
from taskq_testing.oracle.reading import READERS, read
from taskq_testing.oracle.spans import Spans
from taskq_testing.tape import Quiet, Tape

ROOT = Path(__file__).parents[2]
EVERYTHING = set(range(1, 33))


def test_there_are_thirty_two():
    """Each invariant has its number, a promise in one sentence, and kinds of events that exist."""
    assert set(INVARIANTS) == EVERYTHING
    for number, invariant in INVARIANTS.items():
        assert invariant.number == number
        assert invariant.promise.endswith(".")
        assert invariant.licence.endswith(".")
        assert invariant.when <= invariant.needs <= KINDS
        assert invariant.when or number == 32


def test_every_kind_of_event_is_read():
    """The oracle reads all kinds of the schema, and every field of a policy."""
    assert set(READERS) == KINDS
    read_queue, read_task = set(), set()

    class Seen(dict):
        def __init__(self, names):
            super().__init__(max_attempts=1, min_backoff=0.0, max_backoff=0.0)
            self.names = names

        def get(self, name, default=None):
            self.names.add(name)
            return super().get(name, default)

        def __getitem__(self, name):
            self.names.add(name)
            return super().__getitem__(name)

    Queue("q", Seen(read_queue))
    Task(Seen(read_task))
    assert read_queue == set(QUEUE_FIELDS) - {"dedup_window", "records"}  # each claim has its own window
    assert read_task == set(TASK_FIELDS)


def test_the_table_of_the_documentation_is_this_one():
    """docs/oracle.md shows every invariant as it is."""
    page = (ROOT / "docs" / "oracle.md").read_text()
    assert table() in page
    assert table().count("\n") == 34


def test_the_example_of_the_documentation_runs(capsys):
    """The block of docs/oracle.md prints what the page says."""
    page = (ROOT / "docs" / "oracle.md").read_text()
    exec(compile(re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1), "docs/oracle.md", "exec"), {})
    printed = capsys.readouterr().out.strip()
    assert printed.startswith("6 message m was acknowledged")
    assert f"prints `{printed}`" in page


def test_breaches_come_in_the_order_in_which_they_show():
    """What becomes evident first is reported first, whichever invariant it breaks."""
    story = Story().add(0, "a").add(0, "b", due=5).ack(1, "a", "w1", 9)(2, "due", "b")(2, "due", "b").reserve(3, "a", "w1", 1)
    violations = judge(story.history)
    assert [violation.invariant for violation in violations] == [6, 8, 19, 9]
    assert [violation.events[-1] for violation in violations] == sorted(violation.events[-1] for violation in violations)
    assert [violation.message for violation in violations] == ["a", "a", "b", "a"]


def test_a_breach_names_its_events():
    """The events of a breach are those that show it, in order."""
    story = Story().add(0, "m").reserve(1, "m", "w1", 1).start(1, "m", "w1", 1).reserve(2, "m", "w2", 2).start(2, "m", "w2", 2)
    single_runner = next(violation for violation in judge(story.history) if violation.invariant == 10)
    assert [story.history.events[seq].kind for seq in single_runner.events] == ["reserved", "start", "start"]


def test_only_some():
    """Who asks for some invariants is told of no other."""
    story = Story().add(0, "m").reserve(1, "m", "w1", 1).start(1, "m", "w1", 1).reserve(2, "m", "w2", 2).start(2, "m", "w2", 2)
    assert story.numbers() == [2, 7, 10]
    assert story.numbers(7) == [7]
    assert [violation.invariant for violation in judge(story.history, only=[])] == []


def test_silence_without_events_means_nothing():
    """An invariant is judged only where there is an occasion and everything that it needs is recorded."""
    assert judged(Story().history) == set()
    quiet = Story().add(0, "m").perform(1, "m", "w1", 1, until=2)
    assert {2, 3, 4, 5, 6, 7, 9, 10, 12, 15, 17} <= judged(quiet.history)
    assert not {1, 13, 18, 20, 22, 25, 26, 27, 28, 29, 30, 31, 32} & judged(quiet.history)
    assert {1, 18} <= judged(quiet(3, "heal", delay=1)(9, "rest").history)


def test_what_is_not_recorded_is_not_judged():
    """A recorder that does not see the broker is not taken for one that saw nothing wrong."""
    clients = sorted(KINDS - {"due", "expired", "size"})
    story = Story(records=clients).add(0, "m", due=5).reserve(1, "m", "w1", 1).start(1, "m", "w1", 1)
    assert story.numbers() == [17]
    assert not {2, 3, 11, 19} & judged(story.history)
    assert {5, 7, 10, 17} <= judged(story.history)
    assert (
        Story(records=[kind for kind in KINDS if kind != "end"])
        .add(0, "m")
        .reserve(0, "m", "w1", 1)
        .ack(1, "m", "w1", 1)
        .judged()
        == []
    )


def test_a_task_is_known_by_whoever_names_it_first():
    """Where the broker is not recorded, the add or the start says whose policy holds."""
    for known in ("add", "stored", "start"):
        story = Story(records=sorted(KINDS - {"due", "expired", "size"}))
        if known != "start":
            story(0, known, "m", "api", op=1, task="t", delay=0.0)
        story.reserve(0, "m", "w1", 1).start(0, "m", "w1", 1, task="t" if known == "start" else "").end(1, 1, "error")
        story.release(1, "m", "w1", 1, attempt=2).reserve(1, "m", "w1", 2).start(1, "m", "w1", 2, attempt=2)
        assert 16 in story.numbers()


def test_without_a_set_up_only_what_is_there_counts():
    """A history that does not say what it records is judged by the kinds of events that are in it."""
    history = History()
    history.record(0, "stored", queue="q", message="m")
    history.record(1, "acked", queue="q", message="m", receipt=3, process="w1")
    assert judge(history) == []
    assert judged(history) == set()
    assert judge(History()) == []


def test_two_queues_are_two():
    """What happens on one queue counts for it alone."""
    story = Story(worker_limit=1)
    story(0, "queue", queue="other", data={"records": sorted(KINDS)})
    for name, queue in (("m", "q"), ("n", "other")):
        story(0, "add", name, "api", queue=queue, op=len(name) + ord(name))(0, "stored", name, "api", queue=queue)
        story(0, "accepted", name, "api", op=len(name) + ord(name))
        story.reserve(0, name, "w1", ord(name), queue=queue)
    story(0, "locked", process="w1", key="q:worker:lock:0", owner="x:1", expires=9)
    story.start(0, "m", "w1", ord("m")).start(0, "n", "w1", ord("n"), queue="other", worker=2)
    assert story.judged() == []


# -- 32


class Traced:
    def __init__(self, history, trace="t"):
        self.history, self.trace = history, trace


def story():
    return Story().add(0, "m").perform(1, "m", "w1", 1, until=2)


def test_the_same_run_twice():
    """Equal histories with equal traces are the same run."""
    assert same(Traced(story().history), Traced(story().history)) is None


def test_where_two_runs_part():
    """The first event that differs is named, with both of its forms; an end that comes too soon is a difference."""
    other = Story().add(0, "m").perform(1, "m", "w2", 1, until=2)
    violation = same(Traced(story().history), Traced(other.history))
    assert violation.invariant == 32
    assert violation.sentence == (
        "two runs of one seed part at event 5: first reserved at 1.000 s process=w1 queue=q message=m receipt=1 "
        "expires=5000000000, then reserved at 1.000 s process=w2 queue=q message=m receipt=1 expires=5000000000"
    )
    assert (violation.message, violation.events) == ("m", (5,))
    longer = story()(9, "rest")
    for first, second in ((story(), longer), (longer, story())):
        assert same(Traced(first.history), Traced(second.history)).sentence.startswith("two runs of one seed part at event 9:")


def test_equal_events_and_different_traces():
    """A trace that sees more than the history does may differ alone."""
    violation = same(Traced(story().history, "a"), Traced(story().history, "b"))
    assert (violation.invariant, violation.events) == (32, ())
    assert violation.sentence == "two runs of one seed have equal histories and different traces: a, b"


# -- the model


def test_the_model_follows_the_message_table():
    """After any history that the table allows, the model's state is the table's."""
    story = Story().add(0, "m", due=1)
    copy = read(story.history).copies["m", 0]
    assert copy.state == "delayed"
    for (t, kind, fields), state in {
        (1, "due", ()): "ready",
        (2, "reserved", (("receipt", 1), ("expires", 9))): "reserved",
        (3, "released", (("receipt", 1),)): "ready",
        (4, "reserved", (("receipt", 2), ("expires", 9))): "reserved",
        (5, "dead", (("receipt", 2),)): "dead",
        (6, "redriven", ()): "ready",
        (7, "purged", ()): "done",
    }.items():
        story(t, kind, "m", "w1", **dict(fields))
        assert read(story.history).copies["m", 0].state == state
        assert state in MESSAGE.moves
    assert read(story.history).noticed.impossible == []


def test_spans():
    """A stretch touches what has a moment in common with it, both ends included, also before it is closed."""
    spans = Spans()
    spans.add("a", 1, 9)
    spans.add("a", 3, 4)
    assert [spans.touches("a", begin, end) for begin, end in ((0, 1), (9, 10), (5, 6), (10, 11), (0, 0))] == [True] * 3 + [
        False
    ] * 2
    assert not spans.touches("b", 0, 99)
    spans.open("a", "x", 20)
    spans.open("a", "x", 25)
    assert spans.touches("a", 90, 91)
    spans.close("a", "x", 30)
    spans.close("a", "x", 40)
    assert not spans.touches("a", 31, 32)
    assert spans.covers("a", 20, 30)
    assert not spans.covers("a", 1, 20)
    spans.open("b", "y", 5)
    spans.close_all("y", 6)
    assert list(spans.of("b")) == [(5, 6)]
    assert list(spans.owners()) == ["a", "b"]


# -- speed


def long_history(messages, at_once=50):
    """Messages that go through an ordinary life, many at a time, with extensions, failures and crashes among them."""
    events = [Event(0, 0, "queue", queue="q", data={"reservation_timeout": 4.0, "poll": 1.0, "poison_limit": 9})]
    policy = {"max_attempts": 9, "min_backoff": 0.0, "max_backoff": 0.0}
    events.append(Event(1, 0, "task", queue="q", task="t", data=policy))
    t = receipt = 0

    def tell(kind, message, **fields):
        events.append(Event(len(events), t, kind, queue="q", message=message, **fields))

    for first in range(0, messages, at_once):
        names = [f"m{number}" for number in range(first, first + at_once)]
        for name in names:
            t += 1000
            tell("add", name, op=t, process="api", task="t", delay=0.0)
            tell("stored", name, op=t, process="api", task="t", key=name, ttl=60.0)
            tell("accepted", name, op=t, process="api")
        for attempt in (1, 2):
            for name in names:
                t += 1000
                receipt += 1
                worker = f"w{receipt % 7}"
                tell("reserved", name, process=worker, receipt=receipt, expires=t + 4_000_000_000)
                tell("start", name, process=worker, receipt=receipt, run=receipt, attempt=attempt, task="t", worker=1)
                tell("end", name, process=worker, run=receipt, outcome="ok" if attempt == 2 else "error")
                if attempt == 2:
                    tell("acked", name, process=worker, receipt=receipt)
                else:
                    tell("released", name, process=worker, receipt=receipt, attempt=2)
        events.append(Event(len(events), t, "fault", process="w1", outcome="lost_reply", delay=0.1))
        events.append(Event(len(events), t, "size", queue="q", data={"ready": 0, "reserved": 0}))
    events.append(Event(len(events), t, "heal", delay=1.0))
    events.append(Event(len(events), t + 9_000_000_000, "rest"))
    return History(events)


@pytest.mark.slow
def test_the_time_is_linear():
    """Ten times the events, which are 100,000, take about ten times the time."""
    small, large = long_history(1_000), long_history(10_000)
    assert len(large) > 100_000
    seconds = []
    for history in (small, large):
        best = float("inf")
        for _ in range(3):
            begin = time.process_time()
            assert judge(history) == []
            best = min(best, time.process_time() - begin)
        seconds.append(best)
    assert seconds[1] < seconds[0] * 30


# -- on the simulator


@pytest.mark.slow
def test_an_honest_simulated_run_is_never_accused():
    """A fleet with everything in use and no faults breaks nothing, and gives occasion to judge most invariants."""
    from testing.fleets import mixed, mixed_app

    from taskq_testing.simulator import scenario

    outcome = scenario(mixed, app=mixed_app(), faults="none")(Tape(0, Quiet()))
    assert outcome.violations == []
    assert len(judged(outcome.history)) >= 20
