"""Why a message is where it is: each cause told where it belongs, and what a message waits for at the end."""

import pytest
from testing.sample_history import MESSAGE, Script, fleet, incident

from taskq_testing.timeline import why

IT = {"message": "m", "queue": "q"}


@pytest.fixture
def say():
    """A script to which a test adds; the message `m` is stored at once at 0.000s."""
    script = Script()
    script(0.0, "add", "api", task="t", op=1, **IT)
    script(0.0, "stored", "api", task="t", op=1, **IT)
    return script


def told(script, message="m"):
    """Return the sentences after the first three, which say how it was stored."""
    return why(script.history, message).splitlines()[3:]


def taken(script, t=1.0, *, process="a", receipt=1, expires=5.0, run=1, attempt=1):
    """Let a process reserve the message and begin to run it."""
    script(t, "reserved", process, receipt=receipt, n=receipt, expires=expires, **IT)
    script(t, "start", process, receipt=receipt, run=run, attempt=attempt, task="t", **IT)


def test_the_chain_of_a_late_ack():
    """From enqueue over suspension, expiry and redelivery to an ack that should have been refused."""
    assert why(incident()[0], MESSAGE).splitlines() == [
        "mail/api-1:1: task mail.greet, queue mail.",
        "At 0.100s api-1 enqueued it.",
        "At 0.102s the broker stored it, ready at once.",
        "At 0.110s worker-1 reserved it until 4.110s (delivery 1).",
        "At 0.112s worker-1 began attempt 1.",
        (
            "At 4.110s the reservation of worker-1 ran out, because worker-1 was suspended from 1.000s to 5.000s, past that "
            "moment; it was ready again."
        ),
        "At 4.111s worker-2 reserved it until 8.111s (delivery 2).",
        "At 4.112s worker-2 began attempt 1.",
        "At 5.200s attempt 1 on worker-1, begun at 0.112s, ended well.",
        "At 5.202s worker-1 acknowledged it: it is done, although the reservation belonged to worker-2.",
        "At 5.900s attempt 1 on worker-2, begun at 4.112s, failed with ValueError: no such mailbox <b>ada@example.org</b>.",
        "At 5.901s a late release from worker-2 changed nothing, because worker-1 had acknowledged it at 5.202s.",
    ]


def test_a_good_end_is_short(say):
    """A message that was run and acknowledged has nothing to explain."""
    taken(say, 0.1)
    say(0.4, "end", "a", run=1, outcome="ok")
    say(0.4, "acked", "a", receipt=1, **IT)
    assert why(say.history, "m").splitlines() == [
        "m: task t, queue q.",
        "At 0.000s api enqueued it.",
        "At 0.000s the broker stored it, ready at once.",
        "At 0.100s a reserved it until 5.000s (delivery 1).",
        "At 0.100s a began attempt 1, which ended well after 300 ms.",
        "At 0.400s a acknowledged it: it is done.",
    ]


def test_delays_and_keys_are_told():
    """A message that was enqueued with a delay and a key says both, and when its delay was over."""
    script = Script()
    script(0.0, "add", "api", task="t", op=1, delay=3.0, key="welcome", ttl=3600.0, **IT)
    script(0.1, "stored", "api", task="t", op=1, due=3.1, key="welcome", ttl=3600.0, **IT)
    script(3.1, "due", "a", **IT)
    assert why(script.history, "m").splitlines()[1:] == [
        "At 0.000s api enqueued it with a delay of 3 s, once per key welcome for 1 h.",
        "At 0.100s the broker stored it, delayed until 3.100s.",
        "At 3.100s its delay was over and it became ready.",
        "At the end of the record, 3.100s, it is ready since 3.100s and waits for a worker.",
    ]


@pytest.mark.parametrize(
    ("asked", "words"),
    [(-1.0, "after a backoff of 2 s"), (2.0, "after the retry asked for of 2 s")],
)
def test_a_retry_names_its_error_and_its_backoff(say, asked, words):
    """A failed run that is tried again says why, when, and who chose the time; meanwhile it is delayed."""
    taken(say)
    say(1.5, "end", "a", run=1, outcome="error", reason="ValueError: no such mailbox", delay=asked)
    say(1.5, "released", "a", receipt=1, due=3.5, attempt=2, **IT)
    assert told(say)[1:] == [
        "At 1.000s a began attempt 1, which failed after 500 ms with ValueError: no such mailbox.",
        "At 1.500s a gave it back, because attempt 1 failed (ValueError: no such mailbox); attempt 2 may begin at 3.500s, "
        + words
        + ".",
        "At the end of the record, 1.500s, it is delayed until 3.500s.",
    ]


TROUBLES = [
    ([(2.0, "crash")], "because a crashed at 2.000s"),
    ([(2.0, "suspend"), (7.0, "wake")], "because a was suspended from 2.000s to 7.000s, past that moment"),
    ([(2.0, "suspend")], "because a was suspended from 2.000s on, past that moment"),
    (
        [(2.0, "cut", "requests"), (6.0, "mended")],
        "because a was cut off from 2.000s to 6.000s (requests lost), past that moment",
    ),
    ([(2.0, "cut", "both")], "because a was cut off from 2.000s on (requests and replies lost), past that moment"),
    ([(2.0, "suspend"), (4.9, "wake")], "after a had been suspended from 2.000s to 4.900s, and no extension came in time"),
    ([], "although a was alive and could reach the broker: it was neither settled nor extended in time"),
]


@pytest.mark.parametrize(("troubles", "cause"), TROUBLES)
def test_an_expiry_names_its_cause(say, troubles, cause):
    """A reservation that ran out says what kept its owner from settling it in time."""
    taken(say)
    say(0.0, "reserved", "b", message="other", queue="q", receipt=9, expires=99.0)
    after = [trouble for trouble in troubles if trouble[0] > 5.0]
    for t, kind, *outcome in troubles[: len(troubles) - len(after)]:
        say(t, kind, "a", outcome=(outcome or [""])[0])
    say(3.0, "suspend", "b")
    say(5.0, "expired", "b", receipt=1, **IT)
    for t, kind in after:
        say(t, kind, "a")
    assert f"At 5.000s the reservation of a ran out, {cause}; it was ready again." in told(say)


def test_a_late_notice_is_told_apart_from_the_expiry(say):
    """Where the broker saw an expiry only later, both moments are told."""
    taken(say)
    say(9.0, "expired", "b", receipt=1, **IT)
    assert "At 5.000s the reservation of a ran out (the broker saw it at 9.000s), although a was alive" in told(say)[-2]


def test_a_run_that_a_crash_cut_off(say):
    """A crash in the middle of a run is told with the run."""
    taken(say)
    say(2.0, "crash", "a")
    assert told(say)[1:] == [
        "At 1.000s a began attempt 1, and crashed at 2.000s in the middle of it: nothing of it was settled.",
        "At the end of the record, 2.000s, it is still owned by a until 5.000s, which is down from 2.000s on.",
    ]


def test_extensions_are_counted(say):
    """Extensions are told once, with how far they went."""
    taken(say)
    say(4.0, "extended", "a", receipt=1, message="m", expires=8.0)
    say(7.0, "extended", "a", receipt=1, message="m", expires=11.0)
    assert told(say) == [
        (
            "At 1.000s a reserved it until 5.000s, and extended that 2 times, at last until 11.000s (delivery 1), after it had "
            "been ready for 1 s."
        ),
        "At 1.000s a began attempt 1, which still runs at the end of the record.",
        "At the end of the record, 7.000s, it is still owned by a until 11.000s, whose run goes on.",
    ]


def test_waiting_names_who_was_stuck(say):
    """A message that nobody took says what kept all workers of its queue, and not only one of them."""
    say(0.0, "reserved", "a", message="other", queue="q", receipt=8, expires=99.0)
    say(0.1, "suspend", "a")
    taken(say, 6.0, process="b", expires=9.0)
    assert "after it had been ready for 6 s." in told(say)[0]
    script = Script()
    for process, receipt in (("a", 8), ("b", 9)):
        script(0.0, "reserved", process, message=process, queue="q", receipt=receipt, expires=99.0)
    script(0.1, "suspend", "a")
    script(0.1, "crash", "b")
    script(0.2, "stored", "api", task="t", **IT)
    script(6.0, "spawn", "b")
    taken(script, 6.2, process="b", expires=9.0)
    assert (
        "At 6.200s b reserved it until 9.000s (delivery 1), after it had been ready for 6 s, because a was suspended from 0.100s "
        "on and b was down from 0.100s to 6.000s." in why(script.history, "m")
    )


@pytest.mark.parametrize(("task", "words"), [("t", "because a had paused t"), ("", "because a had paused the queue")])
def test_a_pause_is_a_reason_to_wait(say, task, words):
    """A message of a paused task, or queue, waited for that; a pause of another task explains nothing."""
    say(0.5, "paused", "a", queue="q", task=task, delay=3.0)
    taken(say, 4.0)
    assert f"after it had been ready for 4 s, {words}." in told(say)[0]
    other = Script()
    other(0.0, "stored", "api", task="t", **IT)
    other(0.5, "paused", "a", queue="q", task="u", delay=3.0)
    taken(other, 4.0)
    assert "paused" not in why(other.history, "m")


@pytest.mark.parametrize(
    ("kind", "fields", "cause"),
    [
        ("consumer", {"outcome": "stopping"}, ", because its consumer was stopping"),
        ("paused", {"task": "t", "delay": 9.0}, ", because it had paused t"),
        ("consumer", {"outcome": "running"}, ""),
    ],
)
def test_a_release_without_a_run_names_its_cause(say, kind, fields, cause):
    """What a worker gives back without running it was given back because it stopped or paused."""
    say(0.1, "reserved", "a", receipt=1, n=1, expires=5.0, **IT)
    say(0.2, kind, "a", queue="q", **fields)
    say(0.3, "released", "a", receipt=1, attempt=1, **IT)
    assert f"At 0.300s a gave it back without running it{cause}; attempt 1 may begin at once." in told(say)


def test_a_dead_letter_lies_where_it_is(say):
    """A dead letter has its reason, and stays."""
    taken(say)
    say(1.1, "end", "a", run=1, outcome="error", reason="KeyError: 1")
    say(1.1, "dead", "a", receipt=1, reason="failed 3 times: KeyError: 1", **IT)
    assert told(say)[2:] == [
        "At 1.100s a put it aside as a dead letter: failed 3 times: KeyError: 1.",
        "At the end of the record, 1.100s, it lies with the dead letters, until it is redriven or looked at.",
    ]


def test_a_fallback_is_a_run_of_its_own(say):
    """After the last attempt the fallback runs, and then the message is done."""
    taken(say)
    say(1.1, "end", "a", run=1, outcome="error", reason="KeyError: 1")
    say(1.1, "fallback", "a", run=1, task="t", **IT)
    say(1.3, "fallback_end", "a", run=1, outcome="ok")
    say(1.3, "acked", "a", receipt=1, **IT)
    assert told(say)[1:] == [
        "At 1.000s a began attempt 1, which failed after 100 ms with KeyError: 1.",
        "At 1.100s a began its fallback, which ended well after 200 ms.",
        "At 1.300s a acknowledged it: it is done.",
    ]


def test_a_duplicate_names_who_holds_its_key():
    """A message that was denied names the one that was first, not one that came later."""
    script = Script()
    for t, message in ((0.0, "first"), (2.0, "later")):
        script(t, "stored", "api", queue="q", message=message, task="t", key="k", ttl=60.0)
        if t == 0.0:
            script(1.0, "add", "api", task="t", op=2, key="k", **IT)
            script(1.0, "denied", "api", key="k", **IT)
            script(1.0, "duplicate", "api", op=2, key="k", message="m")
    assert why(script.history, "m").splitlines()[1:] == [
        "At 1.000s api enqueued it, once per key k.",
        "At 1.000s the broker denied it as a duplicate, because its key k was taken by first since 0.000s.",
    ]


@pytest.mark.parametrize(("stored", "truth"), [(True, "the broker had stored it"), (False, "the broker never stored it")])
def test_an_unknown_enqueue_is_told_with_the_truth(stored, truth):
    """A producer that got no answer does not know; the story does."""
    script = Script()
    script(0.0, "add", "api", task="t", op=1, **IT)
    if stored:
        script(0.1, "stored", "api", task="t", op=1, **IT)
    script(0.5, "unknown", "api", op=1, message="m", reason="no answer to send")
    lines = why(script.history, "m").splitlines()
    assert f"At 0.500s api got no answer (no answer to send) and cannot know whether it was added; {truth}." in lines
    assert (lines[-1] == "The broker never had it.") is not stored


def test_what_was_accepted_and_never_stored_stands_out():
    """An acceptance without a stored message is told as the lie it is."""
    script = Script()
    script(0.0, "accepted", "api", op=1, message="m")
    assert why(script.history, "m").splitlines()[1:] == [
        "At 0.000s api was told that it is accepted, but the broker never stored it.",
        "The broker never had it.",
    ]


def test_a_refusal_has_its_reason():
    """A message that could not be enqueued says why, and was never with the broker."""
    script = Script()
    script(0.0, "add", "api", task="t", op=1, **IT)
    script(0.1, "refused", "api", op=1, message="m", reason="it is too large")
    assert why(script.history, "m").splitlines()[2:] == ["At 0.100s the enqueue failed and nothing was added: it is too large."]


@pytest.mark.parametrize("restored", [True, False])
def test_a_broker_that_forgot(say, restored):
    """A restart that lost writes says what came back, or that nothing is left."""
    taken(say)
    say(2.0, "rolled_back", "a", due=1.5)
    if restored:
        say(2.0, "restored", "a", outcome="reserved", receipt=1, expires=5.0, **IT)
        assert told(say)[2:] == [
            "At 2.000s the broker restarted without its writes after 1.500s.",
            "The restarted broker had it as reserved until 5.000s.",
            "At the end of the record, 2.000s, it is still owned by a until 5.000s, whose run goes on.",
        ]
    else:
        assert told(say)[2:] == [
            "At 2.000s the broker restarted without its writes after 1.500s, and knew nothing of it afterwards.",
            "At the end of the record, 2.000s, nothing is left of it: it is lost.",
        ]


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (("expired", "", {}), "its reservation had run out at 5.000s"),
        (("acked", "b", {}), "b had acknowledged it at 6.000s"),
        (("released", "a", {}), "a had given it back at 6.000s"),
        (("dead", "a", {"reason": "x"}), "a had put it aside at 6.000s"),
        (("rolled_back", "", {"due": 1.0}), "the broker had restarted at 6.000s"),
        (None, "it owned nothing"),
    ],
)
def test_a_late_settle_says_what_came_first(say, end, cause):
    """A settle that changed nothing says what had ended the reservation before."""
    if end is not None:
        taken(say)
        kind, process, fields = end
        say(6.0, kind, process, receipt=1, **IT, **fields)
    say(7.0, "stale", "a", receipt=1, message="m", outcome="dead_letter")
    assert f"At 7.000s a late dead letter from a changed nothing, because {cause}." in told(say)


def test_faults_that_hit_it_are_told(say):
    """A fault on a message is told with the call that it hit; what is told by events of its own is not told twice."""
    say(0.1, "fault", "a", outcome="lost_reply", message="m#1", delay=0.2, reason="ack")
    say(0.2, "fault", "", outcome="corrupt", **IT)
    say(0.2, "corrupted", "", **IT)
    say(0.3, "cloned", "", copy=1, **IT)
    lines = told(say)
    assert lines[:3] == [
        "At 0.100s a fault hit it: lost reply on the ack of a, 200 ms long.",
        "At 0.200s a fault damaged the body of m.",
        "At 0.300s a fault made another copy: m (copy 1).",
    ]
    assert "copy 1 of it is ready since 0.300s" in lines[-1]


def test_an_unknown_message_lists_near_names():
    """A name that is nearly right is helped; one that is far off is told how many there are."""
    history = fleet(100, 1)
    known = next(history.of("stored")).message
    with pytest.raises(ValueError, match=f"has no message '{known}x'; near names are: {known}, "):
        why(history, f"{known}x")
    count = len({event.message for event in history} - {""})
    with pytest.raises(ValueError, match=f"it has {count} messages, none with a near name"):
        why(history, "???")


def test_reasons_stay_on_their_lines(say):
    """A reason of several lines does not break the story's."""
    taken(say)
    say(1.5, "end", "a", run=1, outcome="error", reason="ValueError: a\nb\x1b[1m")
    assert told(say)[1] == "At 1.000s a began attempt 1, which failed after 500 ms with ValueError: a b\ufffd[1m."
