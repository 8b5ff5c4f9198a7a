"""The oracle on flow: what is due is taken, a pause holds and ends, order and fairness where they are promised."""

import pytest
from testing.histories import Story

# -- 18: with poll 1 s, and 5 s that a consumer may sleep between two tries, waits count from 5 s after `heal` on.


def waiting(taken=100.0, *, due=0.0, before=(), **queue):
    """A message beside an idle consumer after all faults, which is taken in the end."""
    story = Story(**queue).add(0, "m", due=due).serve(0, "w1")(10, "heal", delay=1000)
    for what in before:
        t, kind, process, fields = what
        story(t, kind, process=process, **fields)
    return story.perform(taken, "m", "w1", 1, until=taken)


def test_what_is_taken_in_time():
    """A wait within the bound is fine, after the faults, the due time, or the end of the last run."""
    assert waiting(21).judged() == []
    assert waiting(36, due=30).judged() == []
    story = Story().add(0, "a").add(0, "b").serve(0, "w1")(10, "heal", delay=99).reserve(11, "a", "w1", 1).start(11, "a", "w1", 1)
    for t in range(14, 50, 3):
        story(t, "extended", "a", "w1", receipt=1, expires=t + 4)
    assert story.end(50, 1).ack(50, "a", "w1", 1).perform(56, "b", "w1", 2, until=56).judged() == []


def test_what_is_left_beside_an_idle_consumer():
    """A message that an idle consumer does not take is a breach that says for how long."""
    assert waiting(21.001).judged() == [
        (18, "message m could be had from 15.000 s and was not taken for 6.001 s though w1 was idle")
    ]
    assert waiting(36.001, due=30).judged() == [
        (18, "message m could be had from 30.000 s and was not taken for 6.001 s though w1 was idle")
    ]
    never = Story().add(0, "m").serve(0, "w1")(10, "heal", delay=1000)(40, "rest")
    assert never.judged() == [(18, "message m could be had from 15.000 s and was not taken for 25.000 s though w1 was idle")]


def test_before_the_end_of_faults_nothing_is_late():
    """Without `heal` no wait is too long."""
    assert Story().add(0, "m").serve(0, "w1").perform(100, "m", "w1", 1, until=100).judged() == []


@pytest.mark.parametrize(
    "before",
    [
        [(12, "consumer", "w1", {"outcome": "stopping"})],
        [(12, "crash", "w1", {})],
        [(11, "paused", "w1", {"task": "", "delay": -1, "reason": "by hand"})],
        [(11, "paused", "w1", {"task": "t", "delay": -1, "reason": "by hand"})],
        [(float(t), "lock_denied", "w1", {"key": "q:worker:lock:0", "owner": "x:1"}) for t in range(15, 101, 5)],
        [(float(t), "grant", "w1", {"key": "rate:q", "n": 0}) for t in range(15, 101, 5)],
    ],
    ids=lambda before: f"{before[0][1]}-{len(before)}",
)
def test_who_is_not_idle(before):
    """A consumer that stops, is dead, paused, or refused again and again is not idle."""
    story = Story().add(0, "m").serve(0, "w1")(10, "heal", delay=1000)
    for t, kind, process, fields in before:
        story(t, kind, process=process, **fields)
    assert story.perform(100, "m", "w2", 1, until=100).numbers(18) == []


def test_a_process_that_began_again_is_idle():
    """What a process ran when it died keeps it busy no more once it is back."""
    story = Story().add(0, "a").serve(0, "w1").reserve(0, "a", "w1", 1).start(0, "a", "w1", 1)(10, "heal", delay=1000)
    story(12, "crash", process="w1")(12, "spawn", process="w1").serve(12, "w1").add(20, "b")
    assert story.perform(30, "b", "w1", 2, until=30).numbers(18) == [18]
    failing = Story(task={"max_attempts": 1, "fallback": True}).add(0, "a").serve(0, "w1")(10, "heal", delay=1000)
    failing.reserve(15, "a", "w1", 1, until=99).start(15, "a", "w1", 1).end(16, 1, "error")(16, "fallback", "a", "w1", run=1)
    failing.add(17, "b")(40, "fallback_end", "a", "w1", run=1, outcome="ok").ack(40, "a", "w1", 1)
    assert failing.perform(45, "b", "w1", 2, until=45).judged() == []


def test_the_idle_time_is_the_waiting_time():
    """A consumer that was idle before the message could be had, or after it was taken, had no time for it."""
    story = Story().add(0, "a").serve(0, "w1")(10, "heal", delay=1000).reserve(25, "a", "w1", 1, until=99).start(25, "a", "w1", 1)
    story.add(26, "b").end(40, 1).ack(40, "a", "w1", 1).perform(41, "b", "w2", 2, until=41)
    assert story(80, "rest").numbers() == [18]  # of a alone, which waited for 10 s
    busy = Story().add(0, "a").serve(0, "w1").reserve(9, "a", "w1", 1, until=99).start(9, "a", "w1", 1)(10, "heal", delay=1000)
    busy.add(20, "b").perform(38, "b", "w2", 2, until=38).end(40, 1).ack(40, "a", "w1", 1)
    assert busy(80, "rest").judged() == []


def test_what_keeps_a_consumer_busy_adds_up():
    """Trouble, a pause after failures and a run, one after the other, leave no idle time."""
    story = Story(pause_threshold=3).add(0, "a").add(0, "b").serve(0, "w1")(10, "heal", delay=1000)
    story(15, "paused", process="w1", task="", delay=10.0)(25, "fault", process="w1", delay=5.0)
    story.reserve(30, "a", "w1", 1, until=99).start(30, "a", "w1", 1).end(80, 1).ack(80, "a", "w1", 1)
    assert story.perform(86, "b", "w1", 2, until=86).numbers(18) == []
    assert Story().add(0, "b").serve(0, "w1")(10, "heal", delay=9)(99, "rest").numbers(18) == [18]


def test_a_pause_that_was_ended_is_no_excuse():
    """After `resumed` a consumer has time again."""
    story = (
        Story()
        .add(0, "m")
        .serve(0, "w1")(10, "heal", delay=1000)(11, "paused", process="w1", task="", delay=-1, reason="by hand")
    )
    story(20, "resumed", process="w1", task="")
    assert story.perform(26, "m", "w1", 1, until=26).judged() == []
    late = (
        Story()
        .add(0, "m")
        .serve(0, "w1")(10, "heal", delay=1000)(11, "paused", process="w1", task="", delay=-1, reason="by hand")
    )
    assert late(20, "resumed", process="w1", task="").perform(27, "m", "w1", 1, until=27).numbers() == [18]


def test_a_restored_delay_is_waited_for():
    """What a restart brings back as delayed can be had when it is due."""
    story = Story().add(0, "m").serve(0, "w1")(1, "rolled_back", due=1)(1, "restored", "m", outcome="delayed", due=50)
    assert story(10, "heal", delay=1000)(50, "due", "m").perform(56, "m", "w1", 1, until=56).judged() == []


def test_a_pause_of_another_task_is_no_excuse():
    """A consumer that pauses one task has time for the others."""
    assert waiting(40, before=[(11, "paused", "w1", {"task": "other", "delay": -1, "reason": "by hand"})]).numbers() == [18]


def test_what_is_owned_and_not_run():
    """A message that its idle owner does not run is a breach too; a batch may wait for its age."""

    def forgotten(until=26.5, **task):
        story = Story(task=task, fifo=True).add(20, "m").serve(0, "w1")(10, "heal", delay=1000).reserve(20, "m", "w1", 1)
        for t in (23, 26):
            story(t, "extended", "m", "w1", receipt=1, expires=t + 4)
        return story.start(until, "m", "w1", 1)

    assert forgotten(26.0).judged() == []
    unheard = Story(fifo=True).add(0, "m").serve(0, "w1").reserve(9, "m", "w1", 1, until=40)(10, "heal", delay=1000)
    assert unheard(40, "expired", "m", receipt=1).perform(40, "m", "w1", 2, until=40).numbers(18) == []
    assert forgotten().judged() == [(18, "w1 owned message m from 20.000 s and did not run it for 6.500 s though it was idle")]
    assert forgotten(batch=True).judged() == []


# -- 22


def decided(story, t, *outcomes, process="w1", begin=1, task="t"):
    """Runs that begin and end at one moment, each of a message of its own, and what is decided about them."""
    for number, outcome in enumerate(outcomes, start=begin):
        name = f"m{number}"
        story.add(t, name, task=task).reserve(t, name, process, number).start(t, name, process, number, task=task)
        story.end(t, story.runs, "ok" if outcome == "ack" else "error")
        story(t, "settled", name, process, run=story.runs, outcome=outcome, delay=1.0 if outcome == "release" else -1.0)
    return story


def pausing(*outcomes, **queue):
    return decided(Story(pause_threshold=3, **queue), 1, *outcomes)


PAUSE = {"process": "w1", "task": "t", "delay": 10.0}


def test_a_pause_that_holds_and_ends():
    """The third failure in a row begins a pause; within poll of it and after its end runs begin."""
    story = pausing("release", "release")(1, "paused", **PAUSE)
    decided(story, 1, "release", begin=3)
    decided(story, 2, "ack", begin=4)
    assert decided(story, 11, "ack", "release", "release", begin=5).judged() == []


def test_a_run_in_a_pause():
    """A run later than `poll` after the pause began and before it ends is a breach, of that task and process alone."""
    story = pausing("release", "release")(1, "paused", **PAUSE)
    decided(story, 2.001, "ack", process="w2", begin=3)
    assert story.judged() == []
    decided(story, 2.001, "ack", begin=4)
    assert story.judged() == [(22, "w1 ran message m4 at 2.001 s though it paused task t at 1.000 s")]
    unnamed = pausing("release", "release", pause_scope="queue")(1, "paused", process="w1", delay=10.0)
    assert decided(unnamed, 10.999, "ack", begin=3).numbers() == [22]
    whole = pausing("release", "release", pause_scope="queue")(1, "paused", **PAUSE | {"task": ""})
    assert decided(whole, 10.999, "ack", begin=3).judged() == [
        (22, "w1 ran message m3 at 10.999 s though it paused queue q at 1.000 s")
    ]


def test_no_pause_though_all_failed():
    """Running on after enough failures in a row without a pause is a breach; a success in between starts a new count."""
    story = pausing("release", "dead", "fallback")
    assert decided(story, 2, "ack", begin=90).judged() == []
    story = pausing("release", "dead", "fallback")
    assert decided(story, 3, "ack", begin=4).judged(22) == [
        (22, "w1 ran message m4 at 3.000 s and did not pause after 3 failures in a row, the last at 1.000 s")
    ]
    story = pausing("release", "release", "ack", "release", "release")
    assert decided(story, 3, "ack", begin=6).judged() == []


def test_a_pause_after_too_few_failures():
    """A pause without its failures is a breach, also one that a success should have prevented; one by hand is none."""
    sentence = "w1 paused task t at 1.000 s after {} failures in a row though pause_threshold is 3"
    assert pausing("release")(1, "paused", **PAUSE).judged() == [(22, sentence.format(2))]
    assert pausing("release", "release", "ack")(1, "paused", **PAUSE).judged() == [(22, sentence.format(1))]
    assert pausing("release")(1, "paused", **PAUSE, reason="by hand").judged() == []


def test_a_pause_of_the_catch_all():
    """What tasks that nobody registered fail at counts for the catch-all, which is paused, and only it."""

    def unknown(*outcomes):
        return decided(Story(tasks={"*": {}}, pause_threshold=3), 1, *outcomes, task="nobody")

    catch_all = PAUSE | {"task": "*"}
    assert unknown("release")(1, "paused", **catch_all).numbers() == [22]
    paused = unknown("release", "release")(1, "paused", **catch_all)
    assert decided(paused, 5, "ack", begin=3).judged() == []
    assert decided(paused, 6, "ack", begin=4, task="somebody").numbers() == [22]


def test_a_pause_of_the_wrong_length():
    """A pause lasts for the queue's period; one by hand for as long as somebody says."""
    story = pausing("release", "release")(1, "paused", process="w1", task="t", delay=9.0)
    assert story.judged() == [(22, "w1 paused task t at 1.000 s for 9.000 s though pause_period is 10.000 s")]
    assert pausing()(1, "paused", process="w1", task="t", delay=9.0, reason="by hand").judged() == []
    endless = pausing("release", "release")(1, "paused", process="w1", task="t", delay=-1.0)
    assert endless.numbers() == [22]


def test_a_pause_ends_by_hand_and_with_its_process():
    """After `resumed`, and in a process that begins anew, runs begin at once and counts are 0."""
    story = pausing("release", "release")(1, "paused", **PAUSE)(3, "resumed", process="w1", task="")
    assert decided(story, 3, "release", "release", begin=3).judged() == []
    story = pausing("release", "release")(1, "paused", **PAUSE)(3, "resumed", process="w1", task="other")
    assert decided(story, 3, "release", begin=3).numbers(22) == [22]
    story = pausing("release", "release")(1, "paused", **PAUSE)(3, "crash", process="w1")(3, "spawn", process="w1")
    assert decided(story, 3, "release", "release", begin=3).judged() == []
    story = pausing("release", "release", "release")(2, "resumed", process="w1", task="t")
    assert decided(story, 4, "ack", begin=4).judged() == []


def test_batches_collected_before_a_pause_run():
    """A batch that was collected before the pause may run in it."""
    story = Story(pause_threshold=3, task={"batch": True})
    decided(story, 1, "release", "release")(1, "paused", **PAUSE)
    assert decided(story, 4, "ack", begin=3).judged() == []


# -- 23


def ordered(*order, starts=None, processes=("w1", "w1", "w1"), workers=(1, 1, 1), gap=0.0, **queue):
    """Three messages, reserved and started in some order."""
    story = Story(fifo=True, **queue)
    for name in "abc":
        story.add(0, name)
    for index, name in enumerate(order):
        story.reserve(1, name, processes[index], index + 1)
    for index, name in enumerate(starts or order):
        receipt = order.index(name) + 1
        story.start(1 + gap * index, name, processes[receipt - 1], receipt, worker=workers[index])
    return story


def test_order_kept():
    """Messages that are reserved and started as they were added are in order."""
    assert ordered("a", "b", "c").judged() == []
    assert ordered("a", "b", "c", gap=9.0, processes=("w1", "w2", "w1")).judged() == []


def test_order_broken_by_the_broker():
    """A later message that is reserved before an earlier one is a breach."""
    assert ordered("a", "c", "b", processes=("w1", "w2", "w1")).judged() == [
        (23, "message c was reserved at 1.000 s, before message b, which was added before it, at 1.000 s")
    ]


def test_order_broken_long_ago():
    """What is done, or was put aside, has its place in the order too."""
    story = Story(fifo=True).add(0, "a").add(0, "b").perform(1, "b", "w1", 1, until=1).reserve(2, "a", "w1", 2)
    assert story(2, "dead", "a", "w1", receipt=2).numbers() == [23]


def test_order_broken_by_the_consumer():
    """One consumer that starts a later message first is a breach; different workers may cross within `poll`."""
    assert ordered("a", "b", "c", starts="bac").judged() == [
        (23, "message b ran at 1.000 s, before message a, which was added before it, at 1.000 s")
    ]
    assert ordered("a", "b", "c", starts="bac", workers=(2, 1, 1), gap=1.0).judged() == []
    assert ordered("a", "b", "c", starts="bac", workers=(2, 1, 1), gap=1.001).numbers() == [23]
    assert ordered("a", "b", "c", starts="bac", workers=(2, 1, 1), gap=1.001, resolution=0.001).judged() == []


def test_where_order_is_not_promised():
    """Elsewhere than on a queue in order, between processes, and under faults nothing is asserted of starts."""
    assert ordered("a", "b", "c", starts="bac", processes=("w1", "w2", "w1")).judged() == []
    story = Story(fifo=False).add(0, "a").add(0, "b").reserve(1, "b", "w1", 1).reserve(1, "a", "w1", 2)
    assert story.judged() == []
    story = Story(fifo=True).add(0, "a").add(0, "b").reserve(1, "a", "w1", 1).reserve(1, "b", "w1", 2)(1, "fault", process="w1")
    assert story.start(1, "b", "w1", 2).start(1, "a", "w1", 1).judged() == []


@pytest.mark.parametrize("what", ["delayed", "released", "cloned", "fault", "batch", "expired", "restored"])
def test_what_has_no_place_in_the_order(what):
    """A message that was delayed, released, cloned or moved by a fault, and batches, keep no order."""
    story = Story(fifo=True, task={"batch": what == "batch"}, tasks={"other": {}}).add(
        0, "a", due=1.0 if what == "delayed" else 0
    )
    story.add(0, "b")
    if what == "released":
        story.reserve(0, "a", "w1", 1).release(0, "a", "w1", 1, attempt=1)
    elif what == "cloned":
        story(0, "cloned", "a", copy=1)
    elif what == "fault":
        story(0, "fault", "a", "w2", outcome="reorder")
    elif what == "expired":
        story.reserve(0, "b", "w2", 2, until=1)(1, "expired", "b", receipt=2)
        assert story.reserve(1, "a", "w1", 3).judged() == []
        return
    elif what == "restored":
        story(0, "rolled_back", due=0)(0, "restored", "b", outcome="ready")(0, "restored", "a", outcome="ready")
    if what == "batch":
        story.reserve(1, "a", "w1", 3).reserve(1, "b", "w1", 2).start(1, "b", "w1", 2).start(1, "a", "w1", 3)
    else:
        story.reserve(1, "b", "w1", 2).reserve(1, "a", "w1", 3)
    assert story.judged() == []


# -- 24


def overtaken(younger, *, fault="", taken=True, **queue):
    """A message that is ready at 0 s, and one that is ready later and taken first."""
    story = Story(**queue).add(0, "a").add(younger, "b")
    if fault:
        story(younger, "fault", fault, "w1", outcome="reorder")
    story.reserve(younger, "b", "w1", 1)
    return story.reserve(younger + 1, "a", "w1", 2) if taken else story


def test_who_may_be_a_little_younger():
    """Without a promise of order a message may overtake one that is older by a reservation and a poll, with one by a poll."""
    assert overtaken(5).judged() == []
    assert overtaken(1, fifo=True).numbers(24) == []


def test_a_starving_message():
    """A ready message that a much younger one overtakes starves, whether or not its turn comes."""
    assert overtaken(5.001).judged() == [
        (24, "message a was ready at 0.000 s and passed over for message b, which was ready at 5.001 s and reserved at 5.001 s")
    ]
    assert overtaken(5.001, taken=False).numbers() == [24]
    assert overtaken(1.001, fifo=True).numbers(24) == [24]


def test_a_message_that_a_fault_moved():
    """A fault may send a message to the end, or another to the front."""
    assert overtaken(9, fault="a").judged() == []
    assert overtaken(9, fault="b").judged() == []
    assert overtaken(9, fault="a", taken=False).judged() == []
    assert overtaken(9, fault="b", taken=False).judged() == []


def test_what_ran_out_without_a_word_does_not_starve():
    """A message whose reservation ended without a word was ready at an unknown moment."""
    story = Story().add(0, "a").reserve(0, "a", "w1", 1).add(20, "b").reserve(20, "b", "w1", 2).reserve(21, "a", "w1", 3)
    assert story.judged() == []


def test_a_delay_does_not_starve():
    """Only what the broker calls ready can be passed over."""
    story = Story().add(0, "a", due=3).add(20, "b").reserve(20, "b", "w1", 1).reserve(21, "a", "w1", 2)
    assert story.judged() == []


def test_a_failing_task_stops_the_others():
    """With a scope of one task a pause of the whole queue is a breach; with the scope of the queue it is what is asked for."""
    story = pausing("release", "release")(1, "paused", process="w1", task="", delay=10.0)
    assert (24, "w1 paused all of queue q at 1.000 s though its pause_scope is a task") in story.judged()
    assert pausing("release", "release", pause_scope="queue")(1, "paused", process="w1", task="", delay=10.0).judged() == []
