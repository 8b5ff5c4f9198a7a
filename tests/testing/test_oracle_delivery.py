"""The oracle on delivery: nothing lost, nothing unasked for, nothing twice without a licence, nothing let go."""

import pytest
from testing.histories import QUEUE, Story, ns

from taskq_testing.history import KINDS


def added(**queue):
    return Story(**queue).add(0, "m")


# -- 1


def test_every_end_is_an_end():
    """Done, dead and purged messages are not lost; what was refused or denied has nothing to lose."""
    story = (
        Story().add(0, "a").perform(0, "a", "w1", 1, until=1).add(0, "b").add(0, "c").add(0, "d", answer="refused", stored=False)
    )
    for attempt in (1, 2, 3):
        story.run(attempt * 5, "b", "w1", 1 + attempt, until=attempt * 5, attempt=attempt, outcome="error")
        if attempt < 3:
            story.release(attempt * 5, "b", "w1", 1 + attempt, attempt=attempt + 1)
    story(15, "dead", "b", "w1", receipt=4)(15, "purged", "c")(20, "heal", delay=1)(30, "rest")
    assert story.judged() == []


def test_an_accepted_message_that_was_never_added():
    """A producer that was told yes for nothing has lost its message."""
    story = Story().add(0.5, "m", stored=False)(9, "rest")
    assert story.judged() == [
        (1, "message m was accepted at 0.500 s and lost: at rest it is neither in the broker nor done, dead or purged")
    ]


def test_what_a_rollback_may_forget():
    """A message added at or after the moment that the broker goes back to may be gone; an older one may not."""
    story = Story().add(5, "m")(6, "rolled_back", due=5)(9, "rest")
    assert story.judged() == []
    story = Story().add(5, "m")(6, "rolled_back", due=5.001)(9, "rest")
    assert story.numbers() == [1]
    story = Story().add(5, "m")(6, "rolled_back", due=5.001)(6, "restored", "m", outcome="ready")(9, "rest")
    assert story.judged() == []


def left(heal=10.0, delay=20.0, rest=40.0, serve=0.0, **how):
    """A message that is still ready at the end."""
    story = Story(poll=100).add(0, "m", due=how.get("due", 0.0)).serve(serve, "w1")
    if "stop" in how:
        story(how["stop"], "consumer", process="w1", outcome="stopped")
    if "pause" in how:
        story(how["pause"], "paused", process="w1", task="t", delay=-1, reason="by hand")
    if heal is not None:
        story(heal, "heal", delay=delay)
    return story(rest, "rest")


def test_what_is_left_though_it_had_time():
    """What is still in the broker after everything should have been finished counts as lost."""
    assert left().judged() == [(1, "message m was accepted at 0.000 s and at rest is still ready")]
    assert left(due=29).numbers() == [1]


def test_a_consumer_of_another_queue_does_not_count():
    """What nobody consumes may be left, whoever consumes something else."""
    story = Story(poll=100).add(0, "m")(0, "consumer", process="w1", queue="other", outcome="running")
    assert story(10, "heal", delay=20)(40, "rest").judged() == []


@pytest.mark.parametrize(
    "how",
    [
        {"heal": None},
        {"delay": 31},
        {"delay": -1},
        {"due": 31},
        {"stop": 29},
        {"pause": 5},
        {"serve": 111},
    ],
    ids=str,
)
def test_what_may_be_left(how):
    """Without the end of faults, enough time, or a consumer that ran unpaused all the while, nothing is said of what is left."""
    assert left(**how).judged() == []


def test_two_ends():
    """A message that is both dead and done came to two ends."""
    story = added().run(1, "m", "w1", 1, until=2).ack(2, "m", "w1", 1)(3, "dead", "m", "w1", receipt=1)(4, "rest")
    assert (1, "message m was accepted at 0.000 s and came to two ends: acked at 2.000 s, dead at 3.000 s") in story.judged()


def test_clients_may_not_know_of_an_acknowledgement():
    """Where only clients were recorded, a message whose run ended well may have been acknowledged."""
    records = sorted(KINDS - {"stored", "due", "expired", "size"})

    def heard(ok, delay=1.0):
        story = Story(records=records).serve(0, "w1")(0, "add", "m", "api", op=1, delay=0.0)(0, "accepted", "m", "api", op=1)
        story.run(1, "m", "w1", 1, until=2, outcome="ok" if ok else "error")
        return story(5, "heal", delay=delay)(9, "rest")

    assert heard(ok=True).judged() == []
    assert heard(ok=False).judged() == [(1, "message m was accepted at 0.000 s and at rest nobody has finished it")]
    assert heard(ok=False, delay=5.0).judged() == []
    later = Story(records=records).serve(0, "w1")(3, "add", "m", "api", op=1, delay=4.0)(3, "accepted", "m", "api", op=1)
    assert later(5, "heal", delay=1.0)(9, "rest").judged() == []
    unseen = Story(records=records)(0, "accepted", "m", "api", op=1)(5, "heal", delay=1.0)(9, "rest")
    assert unseen.judged() == []


# -- 5


@pytest.mark.parametrize("answer", ["accepted", "unknown"])
def test_a_run_with_an_add(answer):
    """A message may run if its add was accepted or its answer lost, and before the answer is there."""
    story = Story()(0, "add", "m", "api", op=1)(0, "stored", "m", "api", op=1).perform(0, "m", "w1", 1, until=1)
    assert story.judged() == []
    assert story(1, answer, "m", "api", op=1).judged() == []


def test_a_run_of_a_refused_message():
    """A message whose add was refused, or denied as a duplicate, does not run."""
    story = Story().add(0, "m", answer="refused").perform(1, "m", "w1", 1, until=2)
    assert story.judged() == [(5, "message m ran on w1 at 1.000 s, but its add was answered with refused at 0.000 s")]
    story = Story().add(0, "m", answer="duplicate").perform(1, "m", "w1", 1, until=2)
    assert story.judged() == [(5, "message m ran on w1 at 1.000 s, but its add was answered with duplicate at 0.000 s")]
    assert story.add(3, "m", answer="unknown", stored=False).judged() == []


def test_a_run_of_what_nobody_added():
    """A message that nobody added does not run."""
    story = Story()(0, "stored", "m").perform(1, "m", "w1", 1, until=2)
    assert story.judged() == [(5, "message m ran on w1 at 1.000 s, but nobody added it")]


def test_an_add_that_is_made_twice():
    """One add makes one message, however often it is tried; a rollback lets it be made again."""
    story = added()(1, "stored", "m", "api", op=1)
    assert story.judged() == [(5, "add 1 of message m was carried out at 0.000 s and again at 1.000 s")]
    story = added()(1, "stored", "n", "api", op=1)
    assert story.numbers() == [5]
    story = Story().add(2, "m")(3, "rolled_back", due=2)(4, "stored", "m", "api", op=1)
    assert story.judged() == []


# -- 6


def test_an_acknowledgement_after_a_good_end():
    """A good end of the handler, or of the fallback, allows the acknowledgement, at the same moment too."""
    assert added().perform(1, "m", "w1", 1, until=1).judged() == []
    story = Story(task={"max_attempts": 1, "fallback": True}).add(0, "m").run(1, "m", "w1", 1, until=2, outcome="error")
    story(2, "fallback", "m", "w1", run=1)(3, "fallback_end", "m", "w1", run=1, outcome="ok").ack(3, "m", "w1", 1)
    assert story.judged() == []


def test_an_acknowledgement_without_a_run():
    """What never ran, or only failed, or still runs is not acknowledged."""
    sentence = "message m was acknowledged by w1 at 2.000 s though no run of it had ended well"
    assert added().reserve(1, "m", "w1", 1).ack(2, "m", "w1", 1).judged() == [(6, sentence)]
    assert added().run(1, "m", "w1", 1, until=2, outcome="error").ack(2, "m", "w1", 1).judged() == [(6, sentence)]
    died = added().reserve(1, "m", "w1", 1).start(1, "m", "w1", 1)(1, "crash", process="w1").end(2, 1).ack(2, "m", "w1", 1)
    assert died.judged() == [(6, sentence)]
    running = added().reserve(1, "m", "w1", 1).start(1, "m", "w1", 1).ack(2, "m", "w1", 1).end(3, 1)
    assert running.judged() == [(6, sentence)]


# -- 7, 10


def test_licences_to_run_again():
    """A failure, a lost reservation and a crash each allow another run."""
    story = Story(task={"min_backoff": 0.0}).add(0, "m").run(0, "m", "w1", 1, until=1, outcome="error")
    story.release(1, "m", "w1", 1, attempt=2).reserve(1, "m", "w2", 2).start(1, "m", "w2", 2, attempt=2)
    assert story(5, "expired", "m", receipt=2).run(5, "m", "w1", 3, until=6, attempt=2).judged() == []
    crashed = added().reserve(0, "m", "w1", 1).start(0, "m", "w1", 1)(1, "crash", process="w1")(1, "expired", "m", receipt=1)
    assert crashed.perform(2, "m", "w2", 2, until=3).judged() == []
    redriven = Story(task={"max_attempts": 1}).add(0, "m").run(0, "m", "w1", 1, until=1, outcome="error")
    redriven(1, "dead", "m", "w1", receipt=1)(2, "redriven", "m").perform(3, "m", "w1", 2, until=4)
    assert redriven.judged() == []
    assert redriven.run(5, "m", "w1", 2, until=6).numbers(7) == [7]


def test_a_run_after_a_good_one():
    """A message that ran well and kept its reservation does not run again."""
    story = added().run(1, "m", "w1", 1, until=2).release(2, "m", "w1", 1, attempt=1).run(2, "m", "w2", 2, until=3)
    ended = "its run on w1 ended with ok at 2.000 s and w1's reservation of it ended at 2.000 s (released)"
    assert story.judged(7) == [(7, f"message m ran on w2 at 2.000 s though {ended}")]
    twice = added().run(1, "m", "w1", 1, until=2).start(3, "m", "w1", 1).end(3, 2).ack(3, "m", "w1", 1)
    assert twice.numbers() == [7]


def test_a_run_while_another_lasts():
    """A run that begins while another's reservation lasts breaks both the licence and the single runner."""
    story = added().reserve(1.2, "m", "w1", 1).start(1.2, "m", "w1", 1)(1.2, "expired", "m", receipt=1)
    story.reserve(5.199, "m", "w2", 2).start(5.199, "m", "w2", 2)
    over = "w1's reservation of it ended at 1.200 s (expired)"
    assert story.judged(7, 10) == [
        (7, f"message m ran on w2 at 5.199 s though its run on w1 began at 1.200 s and {over}"),
        (10, f"message m ran on w2 from 5.199 s while it ran on w1 since 1.200 s and {over}"),
    ]


def test_a_run_when_the_reservation_is_over():
    """At the very moment of the expiry another run may begin, though the first goes on."""
    story = added().reserve(1.2, "m", "w1", 1).start(1.2, "m", "w1", 1)(5.2, "expired", "m", receipt=1)
    assert story.reserve(5.2, "m", "w2", 2).start(5.2, "m", "w2", 2).judged() == []


def test_an_extended_reservation_has_not_run_out():
    """What counts is the reservation's last extension."""
    story = added().reserve(1, "m", "w1", 1).start(1, "m", "w1", 1)(3, "extended", "m", "w1", receipt=1, expires=7)
    story(6, "reserved", "m", "w2", receipt=2, expires=10).start(6, "m", "w2", 2)
    assert story.numbers() == [2, 7, 10]
    over = "w1's reservation of it ended at 6.000 s (reserved)"
    assert (10, f"message m ran on w2 from 6.000 s while it ran on w1 since 1.000 s and {over}") in story.judged()


def test_a_late_run_under_a_lost_reservation():
    """A process that stood still may start what it lost while the new owner runs it; the new owner may not be early."""
    story = added().reserve(0, "m", "w1", 1)(4, "expired", "m", receipt=1).reserve(4, "m", "w2", 2).start(4, "m", "w2", 2)
    assert story.start(5, "m", "w1", 1).end(6, 2).end(6, 1).ack(6, "m", "w2", 2).judged() == []


def test_the_same_reservation_runs_once_at_a_time():
    """Two runs at once under one reservation are a breach."""
    story = added().reserve(0, "m", "w1", 1).start(0, "m", "w1", 1).start(1, "m", "w1", 1, worker=2)
    assert story.numbers() == [7, 10]


def test_a_stopping_consumer_gives_back():
    """A consumer that stops may give back what still runs, which may then run elsewhere; one that goes on may not."""
    story = added().serve(0, "w1").reserve(0, "m", "w1", 1).start(0, "m", "w1", 1)
    stopping = (1, "consumer", "", "w1")
    story(*stopping, outcome="stopping").release(2, "m", "w1", 1, attempt=1).perform(2, "m", "w2", 2, until=3)
    assert story.end(3, 1).judged() == []
    story = added().serve(0, "w1").reserve(0, "m", "w1", 1).start(0, "m", "w1", 1)
    assert story.release(2, "m", "w1", 1, attempt=1).perform(2, "m", "w2", 2, until=3).numbers() == [7, 10]


def test_a_consumer_in_trouble_may_give_back():
    """A consumer that could not know better, for it stood still meanwhile, may give back what ran or had ended well."""
    story = added().serve(0, "w1").reserve(0, "m", "w1", 1).start(0, "m", "w1", 1)(1, "suspend", process="w1")
    story(2, "wake", process="w1").release(2, "m", "w1", 1, attempt=1).perform(2, "m", "w2", 2, until=3)
    assert story.judged() == []


def test_a_dead_owner_keeps_its_reservation():
    """A crash alone is no licence: the reservation has to end as well."""
    story = added().reserve(0, "m", "w1", 1).start(0, "m", "w1", 1)(1, "crash", process="w1").start(2, "m", "w2", 1)
    assert story.numbers() == [7]


def test_a_rollback_is_a_licence():
    """What a rollback undid may run again, whether it was reserved or done."""
    story = added().reserve(2, "m", "w1", 1).start(2, "m", "w1", 1)(3, "rolled_back", due=1)(3, "restored", "m", outcome="ready")
    assert story.perform(3, "m", "w2", 2, until=4).judged() == []


def test_a_restored_reservation_lasts():
    """A reservation that survives a rollback licenses nothing before it ends."""
    story = added().reserve(0, "m", "w1", 1).start(0, "m", "w1", 1)(2, "rolled_back", due=1)
    story(2, "restored", "m", outcome="reserved", receipt=1, expires=4).reserve(3, "m", "w2", 2).start(3, "m", "w2", 2)
    assert story.numbers() == [2, 7, 10]
    story = added().reserve(0, "m", "w1", 1).start(0, "m", "w1", 1)(2, "rolled_back", due=1)
    story(2, "restored", "m", outcome="reserved", receipt=1, expires=3)
    assert story(3, "expired", "m", receipt=1).reserve(3, "m", "w2", 2).start(3, "m", "w2", 2).judged() == []


# -- 11


def kept(*, trouble=(), **queue):
    """A reservation that runs out at 4 s under a consumer that is there."""
    story = added(**queue).serve(0, "w1").reserve(0, "m", "w1", 1).start(0, "m", "w1", 1)
    for what in trouble:
        story(*what)
    return story(4, "expired", "m", receipt=1)


def test_a_reservation_that_is_let_go():
    """A living process that reaches the broker lets nothing expire."""
    sentence = (
        "w1 owned message m from 0.000 s and let its reservation run out at 4.000 s though it was alive and reached the broker"
    )
    assert kept().judged() == [(11, sentence)]
    taken_over = added().serve(0, "w1").reserve(0, "m", "w1", 1).reserve(4, "m", "w2", 2)
    assert taken_over.judged() == [(11, sentence)]


def test_an_expiry_within_the_resolution():
    """An expiry a little before its time, as far as the queue can tell, is one; one that is too early is the broker's fault."""
    early = added(resolution=0.001).serve(0, "w1").reserve(0, "m", "w1", 1)(3.9995, "expired", "m", receipt=1)
    assert early.numbers() == [11]
    assert added(resolution=0.001).serve(0, "w1").reserve(0, "m", "w1", 1)(3.9, "expired", "m", receipt=1).numbers() == [2]


def test_a_reservation_that_is_extended():
    """A reservation may end in any other way, at any time."""
    story = (
        added().serve(0, "w1").reserve(0, "m", "w1", 1).start(0, "m", "w1", 1)(3.9, "extended", "m", "w1", receipt=1, expires=8)
    )
    assert story.end(7.9, 1).ack(7.9, "m", "w1", 1).judged() == []


@pytest.mark.parametrize(
    "trouble",
    [
        [(0, "suspend", "", "w1")],
        [(1, "suspend", "", "w1"), (2, "wake", "", "w1")],
        [(3, "cut", "", "w1"), (3.5, "mended", "", "w1")],
        [(2, "crash", "", "w1"), (2.5, "spawn", "", "w1")],
        [(4, "fault", "", "w1")],
        [(1, "fault", "", "broker")],
    ],
    ids=lambda trouble: trouble[0][1],
)
def test_trouble_excuses(trouble):
    """A process that stood still, was cut off, died or was hit may lose what it owned at the time."""
    assert kept(trouble=trouble).judged() == []


@pytest.mark.parametrize(
    "trouble",
    [
        [(1, "suspend", "", "w2")],
        [(1, "extended", "m", "w1")],
    ],
    ids=lambda trouble: trouble[0][1],
)
def test_the_trouble_of_others_does_not(trouble):
    """Another process's trouble is no excuse, nor is an extension that came to an end in its turn."""
    story = added().serve(0, "w1").reserve(0, "m", "w1", 1).start(0, "m", "w1", 1)
    for t, kind, message, process in trouble:
        story(t, kind, message, process, **({"receipt": 1, "expires": 5} if kind == "extended" else {}))
    assert story(5, "expired", "m", receipt=1).numbers() == [11]


def test_trouble_before_and_after_does_not_excuse():
    """Only what touches the time since the last extension excuses."""
    story = added().serve(0, "w1")(0, "suspend", "", "w1")(0.5, "wake", "", "w1").reserve(1, "m", "w1", 1)
    assert story(5, "expired", "m", receipt=1)(5.1, "fault", "", "w1").numbers() == [11]


@pytest.mark.parametrize("name", ["slow_handler", "clock_jump", "reorder"])
def test_some_faults_hinder_nobody(name):
    """A slow handler or a wrong clock is what extension is made for."""
    assert kept(trouble=[(1, "fault", "m", "w1")]).numbers() == []
    story = added().serve(0, "w1").reserve(0, "m", "w1", 1)(1, "fault", "m", "w1", outcome=name, delay=9.0)
    assert story(4, "expired", "m", receipt=1).numbers() == [11]


def test_who_need_not_extend():
    """A queue without extension, a handler that asked for less, and a consumer that is stopping may let go."""
    assert kept(extend=False).judged() == []
    story = added().serve(0, "w1").reserve(0, "m", "w1", 1)(1, "extended", "m", "w1", receipt=1, expires=2)
    assert story(2, "expired", "m", receipt=1).judged() == []
    story = Story().add(0, "m").serve(0, "w1").reserve(50, "m", "w1", 1)(51, "extended", "m", "w1", receipt=1, expires=52)
    assert story(52, "expired", "m", receipt=1).judged() == []
    story = added().serve(0, "w1").reserve(0, "m", "w1", 1)(3, "consumer", process="w1", outcome="stopping")
    assert story(4, "expired", "m", receipt=1).judged() == []
    assert added().reserve(0, "m", "w1", 1)(4, "expired", "m", receipt=1).judged() == []


def test_a_call_of_a_dead_process_is_carried_out_for_nobody():
    """What a process had asked for when it died may be handed out for as long as a call waits; no later."""
    for given, numbers in ((1.9, []), (2.1, [11])):
        story = added().serve(0, "w1")(1, "crash", process="w1")(1.1, "spawn", process="w1").serve(1.1, "w1")
        story.reserve(given, "m", "w1", 1)(given + 4, "expired", "m", receipt=1)
        assert story.numbers() == numbers


def test_a_broker_that_gives_less_time():
    """A reservation that the broker made shorter has to be extended in time all the same."""
    story = added().serve(0, "w1").reserve(0, "m", "w1", 1, until=2)
    assert story(2, "expired", "m", receipt=1).numbers() == [11]


def test_a_call_that_waits_at_the_broker_meets_its_fault_later():
    """A reserve that waits may be hit long after it was sent; whatever it brings then is lost."""
    story = added(poll=10.0).serve(0, "w1")(0, "fault", "", "w1", reason="reserve").reserve(9, "m", "w1", 1)
    assert story(13, "expired", "m", receipt=1).judged() == []
    story = added(poll=10.0).serve(0, "w1")(0, "fault", "", "w1", reason="ack").reserve(9, "m", "w1", 1)
    assert story(13, "expired", "m", receipt=1).numbers() == [11]


def test_the_builder_speaks_seconds():
    """The stories of these tests hold what they say: seconds become nanoseconds, and every policy field is set."""
    story = Story().add(1.5, "m", due=2.5)
    assert [event.t for event in story.history][-3:] == [ns(1.5)] * 3
    assert next(story.history.of("stored")).due == 2_500_000_000
    assert next(story.history.of("add")).delay == 1.0
    assert next(story.history.of("queue")).data == QUEUE
