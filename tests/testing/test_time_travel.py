"""Time travel in a test with `taskq_sim`: stepping through what happened, asking why, doing it again with one thing otherwise."""

import asyncio

import pytest

import taskq
from taskq_testing import Harness
from taskq_testing.debug import Journey
from taskq_testing.explore.replay import NotReproducible, difference
from taskq_testing.harness.whims import WhatIf


class Jobs:
    """An app with a handler of each kind, and what they did."""

    def __init__(self):
        self.app = taskq.App(hooks=())
        self.mail = self.app.queue("mail", reservation_timeout=300.0)
        self.ran = []

        @self.mail.task(max_attempts=3, min_backoff=10)
        def greet(context: taskq.Context, name: str) -> None:
            self.ran.append(name)
            if name == "fails once" and context.attempt < 2:
                raise ValueError(name)
            if name == "fails":
                raise KeyError(name)

        @self.mail.task
        async def wait(seconds: float) -> None:
            await asyncio.sleep(seconds)

        @self.mail.task
        def chain(count: int) -> None:
            if count:
                chain.enqueue(count - 1)

        @self.mail.task(batch=taskq.Batch(size=3, age=5.0))
        async def gather(batch: taskq.MessageBatch) -> None:
            self.ran.append(len(batch))

        self.greet, self.wait, self.chain, self.gather = greet, wait, chain, gather


@pytest.fixture
def jobs():
    return Jobs()


@pytest.fixture
def sim(jobs):
    with Harness(jobs.app, wall="off") as harness:
        yield harness


def kinds(journey, **fields):
    """Return the kinds of the events with these fields, set-up left out."""
    return [
        event.kind
        for event in journey.whole
        if event.kind not in ("queue", "task") and all(getattr(event, name) == value for name, value in fields.items())
    ]


def test_what_happens_is_written_down(jobs, sim):
    """Each step of a message is an event, by the test or by the worker, at its virtual time."""
    with sim.debug() as debug:
        added = jobs.mail.enqueue(jobs.greet.message("ada").delayed(60))
        sim.advance(hours=1)
    assert isinstance(debug, Journey)
    assert kinds(debug) == [
        "add", "stored", "accepted", "due", "reserved", "hook", "buffered", "start", "end", "hook", "settled", "acked",
    ]  # fmt: skip
    events = {event.kind: event for event in debug.whole.about(added.message_id.decode())}
    assert (events["add"].process, events["start"].process) == ("test", "worker")
    assert [events[kind].t / 1e9 for kind in ("add", "due", "start", "acked")] == [0, 60, 60, 60]


def test_stepping_forwards_and_back(jobs, sim):
    """One goes through what happened in both directions, and what is known is what had happened there."""
    with sim.debug() as debug:
        added = jobs.greet.enqueue("fails once")
        sim.run_until_idle(raise_errors=False)
        started = debug.until(message=added.message_id, kind="start")
        assert (started.attempt, debug.state().running) == (1, [("test:1", "worker", 1)])
        assert debug.state().counts["mail"]["reserved"] == 1
        assert debug.until(message=added.message_id, kind="start").attempt == 2
        assert debug.back(3).kind == "reserved"
        assert debug.state().running == []
        assert debug.step().kind == "hook"
        assert debug.until(message="nobody") is None
    assert debug.goto(0) is None


def test_why_a_message_is_where_it_is(jobs, sim):
    """The chain of causes ends at the place where one stands; afterwards it goes on."""
    with sim.debug() as debug:
        added = jobs.greet.enqueue("fails once")
        sim.run_until_idle(raise_errors=False)
        debug.until(message=added.message_id, kind="released")
        assert debug.why(added.message_id).splitlines()[-1].startswith("At the end of the record, 0.000s, it is delayed")
        assert "began attempt 2" not in debug.why(added.message_id)
        debug.goto(len(debug.whole))
        assert "began attempt 2" in debug.why("test:1")
        with pytest.raises(ValueError, match="test:99"):
            debug.why("test:99")


def test_a_block_sees_what_happens_in_it(jobs, sim):
    """More events come while the test goes on, and none after the block."""
    with sim.debug() as debug:
        jobs.greet.enqueue("ada")
        before = len(debug.whole)
        debug.goto(before)
        sim.drain()
        assert debug.step().kind == "reserved"
        inside = len(debug.whole)
    jobs.greet.enqueue("bob")
    sim.drain()
    assert before < inside == len(debug.whole)
    assert jobs.ran == ["ada", "bob"]


def test_blocks_within_one_another_are_one(jobs, sim):
    """An inner block shows the same history, and its end does not end the outer one."""
    with sim.debug() as outer:
        with sim.debug() as inner:
            jobs.greet.enqueue("ada")
        sim.drain()
    assert inner.whole is outer.whole
    assert kinds(outer)[-1] == "acked"


def test_a_second_block_needs_a_beginning(jobs, sim):
    """Messages that were enqueued before are not known, which is said; so it is where the harness sees nothing."""
    jobs.greet.enqueue("ada")
    with pytest.raises(RuntimeError, match="messages were enqueued before; begin `with sim.debug"), sim.debug():
        pass
    with sim.off(), pytest.raises(RuntimeError, match="the harness is off"), sim.debug():
        pass


# -- what if


def choice(debug, place, name):
    """Return the first draw of a place that is about a message."""
    return next(each for each in debug.choices if each.draw[0] == place and each.draw[1].startswith(name))


@pytest.mark.parametrize(
    ("place", "value", "outcomes", "reason"),
    [
        ("handler", "handler_error", ["retried", "ok", "ok"], "WhatIf"),
        ("handler", "slow_handler", ["ok", "ok"], ""),
        ("delivery", "duplicate", ["ok", "ok", "ok"], ""),
        ("delivery", "reorder", ["ok", "ok"], ""),
        ("delivery", "corrupt", ["ok"], ""),
    ],
)
def test_what_if_one_thing_had_gone_otherwise(jobs, sim, place, value, outcomes, reason):
    """The same deeds are done again with one thing otherwise; the test's own queues and runs stay as they are."""
    with sim.debug() as debug:
        jobs.greet.enqueue("first")
        jobs.greet.enqueue("second")
        sim.run_until_idle()
        which = choice(debug, place, "test:1")
        other = debug.what_if(which.number, value)
        assert (sim.performed(jobs.greet), sim.all_enqueued(), len(debug.whole)) == (2, [], which_length(debug))
    ends = list(other.history.of("end"))
    assert [{"ok": "ok", "error": "retried"}[event.outcome] for event in ends] == outcomes
    assert [event.reason for event in ends if event.reason] == ([reason] if reason else [])
    assert (other.fired, other.entries) == ({value: 1}, {which.draw: which.names.index(value)})
    assert (other.error is not None) == (value == "handler_error")


def which_length(debug):
    """Return how many events the test itself had: those up to its last acknowledgement."""
    return max(event.seq for event in debug.whole.of("acked")) + 1


def test_what_each_whim_does(jobs, sim):
    """A late handler ends a minute later, a later message comes first, a damaged one is put aside, a clone is another copy."""
    with sim.debug() as debug:
        jobs.greet.enqueue("first")
        jobs.greet.enqueue("second")
        sim.run_until_idle()
        handler, delivery = choice(debug, "handler", "test:1").draw, choice(debug, "delivery", "test:1").draw
        late = debug.what_if(handler, "slow_handler").history
        assert [event.t / 1e9 for event in late.of("end")] == [60, 60]
        assert [event.message for event in debug.what_if(delivery, "reorder").history.of("start")] == ["test:2", "test:1"]
        assert [event.message for event in debug.what_if(delivery, "corrupt").history.of("dead")] == ["test:1"]
        assert [event.copy for event in debug.what_if(delivery, "duplicate").history.of("start")] == [0, 0, 1]
        failed = debug.what_if(handler, "handler_error")
        assert isinstance(failed.error, WhatIf)
        with pytest.raises(ValueError, match="cannot be lightning; give nothing, handler_error, slow_handler"):
            debug.what_if(handler, "lightning")


def coroutine(jobs, sim):
    async def sign_up():
        await jobs.greet.enqueue_async("ada")
        await asyncio.sleep(30)
        await jobs.mail.enqueue_async(jobs.greet.message("bob").delayed(10))

    sim.run(sign_up())
    sim.run_until_idle()


def inline(jobs, sim):
    with sim.inline():
        jobs.greet.enqueue("ada")
        jobs.chain.enqueue(2)


def signal(jobs, sim):
    reached = sim.signal()

    @jobs.mail.task(name="upload")
    async def upload() -> None:
        await asyncio.sleep(30)
        reached.reached("half")
        await asyncio.sleep(30)
        jobs.greet.enqueue("done")

    upload.enqueue()
    reached.wait("half", timeout=60)
    sim.drain()


def limited(jobs, sim):
    for name in ("ada", "bob", "eve"):
        jobs.greet.enqueue(name)
    sim.drain(limit=1)
    sim.drain(recursive=False)
    jobs.chain.enqueue(3)
    sim.drain(recursive=False)
    sim.drain()


def times(jobs, sim):
    sim.travel(hours=1)
    jobs.mail.enqueue(jobs.greet.message("fails once").delayed(90))
    sim.travel(minutes=1)
    sim.jump_to_next(raise_errors=False)
    sim.advance(5)
    jobs.wait.enqueue(3600)
    sim.advance(minutes=5)
    sim.drain(until=100)


def names(jobs, sim):
    for _ in range(2):
        jobs.mail.enqueue(jobs.greet.message("ada").named("once"))
        jobs.mail.enqueue(jobs.greet.message("eve").once(3600))
    assert sim.clear() == 2
    jobs.greet.enqueue("bob")
    sim.drain()


def alone(jobs, sim):
    sim.perform(jobs.chain, 1)
    sim.perform(jobs.greet, "alone")
    jobs.chain.enqueue(1)
    sim.drain()


def dead(jobs, sim):
    jobs.greet.enqueue("fails")
    sim.run_until_idle(raise_errors=False)
    backend = jobs.mail.backend
    letters = sim.run(backend.dead_letters(10))
    assert sim.run(backend.redrive(letters)) == 1
    sim.run_until_idle(raise_errors=False)
    assert sim.run(backend.discard(sim.run(backend.dead_letters(10)))) == 1


def batches(jobs, sim):
    jobs.mail.enqueue_many(jobs.gather.message() for _ in range(4))
    sim.run_until_idle()


@pytest.mark.parametrize("threads", ["inline", "turns"])
@pytest.mark.parametrize("story", [coroutine, inline, signal, limited, times, names, alone, dead, batches])
def test_whatever_a_test_does_can_be_done_again(story, threads):
    """Every way to enqueue, to process and to let time pass comes out the same, event by event, when it is done again."""
    jobs = Jobs()
    with Harness(jobs.app, wall="off", threads=threads) as sim, sim.debug() as debug:
        story(jobs, sim)
        again = debug.what_if(0, "nothing")
        assert difference(debug.whole, again.history) == ""
        sim.run_until_idle(raise_errors=False)
    assert len([*again.history.of("stored", "redriven")]) >= 2


def test_a_block_may_begin_late(jobs, sim):
    """Time that passed before the block has passed in the repetition too, so that every moment is the same."""
    sim.travel(hours=1)
    with sim.debug() as debug:
        jobs.greet.enqueue("ada")
        sim.drain()
        assert debug.whole.events[-1].t == 3_600_000_000_000
        assert difference(debug.whole, debug.what_if(0, 0).history) == ""


def test_a_world_that_changed_is_not_the_same(jobs, sim):
    """Where a handler finds something else than before, a what-if would say nothing: that is told, with the first difference."""
    found = iter(["once", "twice"])

    @jobs.mail.task(name="looks")
    def looks() -> None:
        if next(found) == "twice":
            raise LookupError("the file is there already")

    with sim.debug() as debug:
        looks.enqueue()
        sim.drain()
        with pytest.raises(
            NotReproducible, match=r"comes out otherwise when it is done again: event \d+ was .*outcome=ok.*error"
        ):
            debug.what_if(0, "duplicate")


def test_a_test_that_never_ends_ends_the_repetition_too(jobs, sim, monkeypatch):
    """What cannot be waited for is the outcome, and the test goes on on its own stage."""
    monkeypatch.setattr("taskq_testing.harness.stage.PATIENCE", 30.0)
    with sim.debug() as debug:
        jobs.wait.enqueue(10)
        sim.drain()
        other = debug.what_if(choice(debug, "handler", "test:1").draw, "slow_handler")
        assert type(other.error).__name__ == "Stuck"
        jobs.greet.enqueue("ada")
        assert sim.drain().processed == 1
