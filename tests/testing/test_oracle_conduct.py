"""The oracle on a consumer's conduct: fallbacks, hooks, what it says of itself, how it stops, damaged messages."""

import pytest
from testing.histories import Story

from taskq_testing.history import KINDS

LAST = {"max_attempts": 1, "fallback": True}


def failed(**task):
    """A message of a task with a fallback, that failed in its only attempt."""
    return Story(task=LAST | task).add(0, "m").run(1, "m", "w1", 1, until=2, outcome="error", reason="ValueError")


# -- 25


def test_a_fallback_for_a_failure():
    """A permanent failure calls the fallback once; if that fails too the message is dead."""
    story = failed()(2, "fallback", "m", "w1", run=1)(3, "fallback_end", "m", "w1", run=1, outcome="ok").ack(3, "m", "w1", 1)
    assert story.judged() == []
    story = failed()(2, "fallback", "m", "w1", run=1)(3, "fallback_end", "m", "w1", run=1, outcome="error")
    assert story(3, "dead", "m", "w1", receipt=1).judged() == []


@pytest.mark.parametrize(
    ("story", "why"),
    [
        (Story(task=LAST).add(0, "m").run(1, "m", "w1", 1, until=2), "though the handler had ended well at 2.000 s"),
        (Story(task=LAST).add(0, "m").reserve(1, "m", "w1", 1).start(1, "m", "w1", 1), "while the handler ran"),
        (failed(max_attempts=2), "after attempt 1 of 2"),
        (failed()(2, "fallback", "m", "w1", run=1), "though it had been called for the same failure at 2.000 s"),
    ],
    ids=["success", "running", "not the last", "twice"],
)
def test_a_fallback_that_should_not_be(story, why):
    """A fallback after a success, during the run, before the last attempt or a second time is a breach."""
    story(3, "fallback", "m", "w1", run=1)
    assert story.judged() == [(25, f"the fallback of message m was called on w1 at 3.000 s {why}")]


def test_a_failure_without_its_fallback():
    """A permanent failure of a task with a fallback is not simply put aside; one without, or a damaged message, is."""
    story = failed()(3, "dead", "m", "w1", receipt=1)
    assert story.judged() == [
        (25, "message m was put aside at 3.000 s without its fallback, after it failed for good at 2.000 s")
    ]
    assert failed(fallback=False)(3, "dead", "m", "w1", receipt=1).judged() == []
    assert failed()(2, "corrupted", "m")(3, "dead", "m", "w1", receipt=1).judged() == []
    assert failed(max_attempts=2)(3, "dead", "m", "w1", receipt=1).judged() == []


def test_a_fallback_whose_failure_is_swallowed():
    """A message whose fallback failed is not acknowledged."""
    story = failed()(2, "fallback", "m", "w1", run=1)(3, "fallback_end", "m", "w1", run=1, outcome="error").ack(3, "m", "w1", 1)
    assert story.judged(25) == [(25, "message m was acknowledged at 3.000 s though its fallback had failed at 3.000 s")]
    assert story.numbers() == [6, 25]


def test_a_fallback_again_after_a_crash():
    """A crash during the fallback lets the failure, and its fallback, happen again."""
    story = failed()(2, "fallback", "m", "w1", run=1)(3, "crash", process="w1")(5, "expired", "m", receipt=1)
    story.run(5, "m", "w2", 2, until=6, outcome="error")(6, "fallback", "m", "w2", run=2)
    assert story(7, "fallback_end", "m", "w2", run=2, outcome="ok").ack(7, "m", "w2", 2).judged() == []


# -- 26, 27


def resting(story=None, **data):
    story = story or Story().serve(0, "w1")(5, "consumer", process="w1", outcome="stopping")
    return story(6, "consumer", process="w1", outcome="stopped")(6, "at_rest", process="w1", data=data)


def test_a_consumer_at_rest():
    """A stopped consumer has nothing in flight and keeps nothing; one that is only idle has its tasks."""
    assert resting(owned=0, in_flight=0, tasks=0, threads=0, sockets=0).judged() == []
    assert Story().serve(0, "w1")(6, "at_rest", process="w1", data={"in_flight": 0, "tasks": 3}).judged() == []


@pytest.mark.parametrize("count", [1, -1])
def test_in_flight_at_rest(count):
    """A count that is not 0 at rest is a breach, of an idle consumer too."""
    sentence = f"w1 counted {count} messages of queue q as in flight at 6.000 s, at rest"
    assert resting(in_flight=count).judged() == [(26, sentence)]
    assert Story().serve(0, "w1")(6, "at_rest", process="w1", data={"in_flight": count}).judged() == [(26, sentence)]


def test_what_a_stopped_consumer_keeps():
    """Tasks, threads and sockets that outlive a stop are a breach."""
    assert resting(tasks=2, threads=1, sockets=1).judged() == [
        (27, "w1 had stopped on queue q and still had 2 tasks and 1 threads and 1 sockets at 6.000 s")
    ]
    assert resting(workers=1).numbers() == [27]


def owning(*trouble, reserved=1.0, until=99.0):
    story = Story().add(0, "m").serve(0, "w1").reserve(reserved, "m", "w1", 1, until=until)
    for what in trouble:
        story(*what)
    return resting(story(5, "consumer", process="w1", outcome="stopping"), owned=1)


def test_a_reservation_that_is_not_given_back():
    """What a stopped consumer still owns is a breach."""
    assert owning().judged() == [(27, "w1 had stopped on queue q and still had 1 reservations at 6.000 s")]


@pytest.mark.parametrize(
    "trouble",
    [
        [(1, "fault", "", "w1")],
        [(4, "cut", "", "w1")],
        [(2, "crash", "", "w1"), (2, "spawn", "", "w1")],
    ],
    ids=lambda trouble: trouble[0][1],
)
def test_who_could_not_give_back(trouble):
    """A reservation that its owner never heard of, could not reach, or died over runs out by itself."""
    assert owning(*trouble).judged() == []


def test_a_rollback_after_the_rest_changes_nothing():
    """What a stopped consumer could not give back stays excused when a later rollback restores its reservation."""
    story = owning((1, "fault", "", "w1"))(7, "rolled_back", due=6.5)
    story(7, "restored", "m", outcome="reserved", receipt=1, expires=9)
    assert story.judged() == []


def test_what_a_client_keeps():
    """Where only clients are recorded, a stopped consumer's own word counts."""
    clients = Story(records=sorted(KINDS - {"stored", "due", "expired", "size"})).serve(0, "w1")
    clients(5, "consumer", process="w1", outcome="stopping")
    assert resting(clients, owned=0).judged() == []
    assert resting(clients, owned=2).numbers() == [27]


def test_a_run_after_the_stop():
    """Nothing starts after a stop, until the consumer runs again; while it stops, what it has may start."""
    story = Story().add(0, "m").add(0, "n").serve(0, "w1").reserve(1, "m", "w1", 1).reserve(1, "n", "w1", 2)
    story(2, "consumer", process="w1", outcome="stopping").start(2, "m", "w1", 1).end(2, 1).ack(2, "m", "w1", 1)
    story(3, "consumer", process="w1", outcome="stopped")
    assert story.judged() == []
    story.start(3, "n", "w1", 2)
    assert story.judged() == [(27, "message n ran on w1 at 3.000 s though its consumer had stopped at 3.000 s")]
    again = Story().add(0, "m").serve(0, "w1")(1, "consumer", process="w1", outcome="stopped").serve(2, "w1")
    assert again.perform(2, "m", "w1", 1, until=3).judged() == []
    crashed = Story().add(0, "m").serve(0, "w1")(1, "consumer", process="w1", outcome="stopped")(1, "crash", process="w1")
    assert crashed.perform(2, "m", "w1", 1, until=3).judged() == []


# -- 29


def damaged(*, other="n", **dead):
    story = Story().add(0, "m").add(0, "n")(1, "corrupted", "m").reserve(1, "m", "w1", 1).reserve(1, "n", "w1", 2)
    return story(2, "dead", other, "w1", receipt={"m": 1, "n": 2}[other], **{"reason": "the body cannot be read"} | dead)


def test_a_damaged_message_is_put_aside():
    """The damaged message itself may be put aside, and another one for a reason of its own."""
    assert damaged(other="m").judged() == []
    assert damaged(reason="no consumer knew its task in 3 attempts").judged() == []
    assert damaged(reason="its arguments cannot be read").judged() == []
    story = Story(task={"max_attempts": 1}).add(0, "m").add(0, "n")(1, "corrupted", "m")
    story.run(1, "n", "w1", 1, until=2, outcome="error")(2, "dead", "n", "w1", receipt=1, reason="failed 1 times")
    assert story.judged() == []


def test_another_message_goes_with_it():
    """A message that is put aside only because another is damaged is a breach."""
    sentence = "message n was put aside at 2.000 s without having run or been damaged, after message m was damaged at 1.000 s"
    assert damaged().judged() == [(29, sentence)]
    assert damaged(reason="batch failed").judged() == [(29, sentence)]


def test_delivered_too_often_is_a_reason_of_its_own():
    """A message may be put aside after poison_limit deliveries; not before."""

    def delivered(times, **queue):
        story = Story(**queue).add(0, "m").add(0, "n")(0, "corrupted", "m")
        for number in range(times):
            story.reserve(number * 4, "n", "w1", number + 1)(number * 4, "crash", process="w1")
        return story(times * 4 - 3, "dead", "n", "w1", receipt=times, reason="delivered too often")

    assert delivered(4).judged(29) == []
    assert delivered(3).numbers(29) == [29]
    assert delivered(4, poison_limit=None).judged(29) == []


# -- 31


def hooked(*told, end="ok", kind="acked", task=None, **settled):
    """A run of which hooks are told, and what becomes of it."""
    story = Story(task=task).add(0, "m").reserve(1, "m", "w1", 1).start(1, "m", "w1", 1).end(2, 1, end)
    for outcome in told:
        story(2, "hook", "m", "w1", run=1, outcome=outcome)
    if settled:
        story(2, "settled", "m", "w1", run=1, **settled)
    return story(2, kind, "m", "w1", receipt=1, attempt=2)


def test_hooks_in_pairs():
    """A start and a settling belong to each run that is finished."""
    assert hooked("start", "settle", outcome="ack").judged() == []


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["settle"], "settle"),
        (["settle", "start"], "settle, start"),
        (["start", "start", "settle"], "start, start, settle"),
        (["start", "settle", "settle"], "start, settle, settle"),
        (["start"], "start alone"),
    ],
    ids=str,
)
def test_hooks_out_of_step(told, said):
    """Anything else is a breach."""
    assert hooked(*told).judged() == [(31, f"of message m the hooks of w1 were told: {said}")]


def test_hooks_of_nobody_knows_which_run():
    """What hooks were told without a run's number cannot be paired; with the number of a run that never began it can."""
    assert Story()(1, "hook", "m", "w1", run=5, outcome="settle").numbers() == [31]
    assert Story()(1, "hook", "m", "w1", outcome="settle")(1, "hook", "n", "w1", outcome="settle").judged() == []


def test_a_run_that_was_interrupted_has_no_settling():
    """A run that was given back, or whose process died, may have a start alone."""
    story = Story().add(0, "m").reserve(1, "m", "w1", 1).start(1, "m", "w1", 1)(1, "hook", "m", "w1", run=1, outcome="start")
    assert story.end(2, 1, "cancelled").release(2, "m", "w1", 1, attempt=1).judged() == []


def test_a_run_that_its_first_owner_acknowledged_has_no_settling():
    """After a rollback the owner of before may finish what another one runs, whose run is interrupted and told of no settling."""
    story = Story().add(0, "m").run(0, "m", "w1", 1, until=1)(1, "rolled_back", due=1)(1, "restored", "m", outcome="ready")
    story.reserve(2, "m", "w2", 2).start(2, "m", "w2", 2)(2, "hook", "m", "w2", run=2, outcome="start")
    assert story.ack(3, "m", "w1", 1).end(4, 2, "cancelled").judged() == []


def test_a_success_that_is_altered():
    """A run that ended well is acknowledged: another decision, a release or a dead letter is a breach."""
    sentence = "a run of message m ended well at 2.000 s on w1, and the message was {} at 2.000 s"
    assert hooked(outcome="release", delay=1.0).judged() == [(31, sentence.format("decided on release"))]
    assert hooked(kind="released").judged() == [(31, sentence.format("released"))]
    assert hooked(kind="dead").judged() == [(31, sentence.format("put aside"))]


def test_a_success_that_may_be_given_back():
    """A consumer that stops, or was hit by a fault meanwhile, may give back what ended well; so may a batch decide otherwise."""
    story = Story().add(0, "m").serve(0, "w1").run(1, "m", "w1", 1, until=2)(2, "consumer", process="w1", outcome="stopping")
    assert story.release(2, "m", "w1", 1, attempt=1).judged() == []
    story = Story().add(0, "m").reserve(1, "m", "w1", 1).start(1, "m", "w1", 1)(2, "fault", process="w1").end(2, 1)
    assert story.release(2, "m", "w1", 1, attempt=1).judged() == []
    assert hooked(task={"batch": True}, outcome="release", delay=1.0).judged() == []


def test_copies_in_one_batch_are_not_told_apart():
    """Hooks name messages, so that two copies of one in a batch may both be told of under one run."""
    story = Story(task={"batch": True}).add(0, "m")(0, "cloned", "m", copy=1).reserve(1, "m", "w1", 1).start(1, "m", "w1", 1)
    story(1, "hook", "m", "w1", run=1, outcome="start")(1, "hook", "m", "w1", run=2, outcome="start").end(2, 1)
    story(2, "hook", "m", "w1", run=1, outcome="settle")(2, "hook", "m", "w1", run=1, outcome="settle")
    assert story.ack(2, "m", "w1", 1).judged() == []
    assert hooked("settle", task={"batch": True}).numbers() == [31]
    assert hooked("settle")(3, "cloned", "m", copy=1).numbers() == [31]
