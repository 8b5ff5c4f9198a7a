"""The oracle on a message's policy: deduplication, attempts, backoff, delay."""

import pytest
from testing.histories import Story

KEY = {"key": "k", "ttl": 10.0}


# -- 12


def test_a_key_is_free_when_its_window_is_over():
    """The next add with a key is accepted when the first one's time is over, to the queue's resolution; another key any time."""
    story = Story().add(0, "a", **KEY).add(10, "b", **KEY).add(10, "c", key="other", ttl=10.0)
    assert story.judged() == []
    assert Story(resolution=0.1).add(0, "a", **KEY).add(9.9, "b", **KEY).judged() == []


def test_two_adds_with_one_key():
    """A second message with a key inside the window is a breach, however near to its end."""
    story = Story().add(0, "a", **KEY).add(9.999, "b", **KEY)
    assert story.judged() == [
        (12, "message b was added at 9.999 s though message a had taken its key k at 0.000 s until 10.000 s")
    ]


def test_the_longest_window_counts():
    """A short claim inside a long one does not shorten it."""
    story = Story().add(0, "a", key="k", ttl=10.0).add(1, "b", key="k", ttl=1.0).add(5, "c", key="k", ttl=1.0)
    assert [number for number, _ in story.judged()] == [12, 12]
    assert story.judged()[1][1].startswith("message c was added at 5.000 s though message a")


def test_a_claim_goes_with_a_rollback():
    """A claim at or after the moment that the broker goes back to is free again; an older one is not."""
    assert Story().add(5, "a", **KEY)(6, "rolled_back", due=5).add(7, "b", **KEY).judged(12) == []
    assert Story().add(5, "a", **KEY)(6, "rolled_back", due=5.1).add(7, "b", **KEY).numbers(12) == [12]


def test_two_steps_cannot_be_sure():
    """Where claim and add are two steps, an add with a lost answer does not count; where they are one, it does."""
    lost = {"answer": "unknown", **KEY}
    assert Story(atomic=False).add(0, "a", **lost).add(1, "b", **KEY).judged() == []
    assert Story().add(0, "a", **lost).add(1, "b", **KEY).numbers() == [12]


# -- 13


def denied(t, story, message="b", **how):
    """An add that finds the key taken."""
    story(t, "add", message, "api", op=9, **KEY)(t, "denied", message, "api", key="k")
    return story(t, "duplicate", message, "api", op=9, **how)


def test_a_denial_with_a_reason():
    """A key may be taken for as long as the message with it took it."""
    assert denied(9.9, Story().add(0, "a", **KEY)).judged() == []
    assert denied(10, Story().add(0, "a", **KEY)).judged() == []
    assert denied(10.0005, Story(resolution=0.001).add(0, "a", **KEY)).judged() == []


def test_a_denial_for_nothing():
    """A denial without a message that holds the key is a breach: never added, refused, over, or rolled back."""
    sentence = "message b was denied at {} though no message held its key k"
    assert denied(1, Story()).judged() == [(13, sentence.format("1.000 s"))]
    refused = Story().add(0, "a", answer="refused", stored=False, **KEY)
    assert denied(1, refused).judged() == [(13, sentence.format("1.000 s"))]
    assert denied(10.001, Story().add(0, "a", **KEY)).judged() == [(13, sentence.format("10.001 s"))]
    rolled_back = Story().add(5, "a", **KEY)(6, "rolled_back", due=4)
    assert denied(7, rolled_back).judged() == [(13, sentence.format("7.000 s"))]


def test_a_duplicate_as_its_producer_hears_it():
    """Where the broker's own word is missing, the producer's counts, from its add on."""
    story = Story()(20, "add", "b", "api", op=9, **KEY)(21, "duplicate", "b", "api", op=9)
    assert story.judged() == [(13, "message b was told that it is a duplicate at 21.000 s though no message held its key k")]
    story = Story().add(0, "a", **KEY)(9, "add", "b", "api", op=9, **KEY)(12, "duplicate", "b", "api", op=9)
    assert story.judged() == []
    story = Story().add(0, "a", **KEY)(10, "add", "b", "api", op=9, **KEY)(12, "duplicate", "b", "api", op=9)
    assert story.judged() == []
    story = Story().add(0, "a", **KEY)(11, "add", "b", "api", op=9, **KEY)(12, "duplicate", "b", "api", op=9, key="k")
    assert story.numbers() == [13]


def test_adds_without_numbers():
    """A recorder that does not number its adds names them by their message."""
    story = Story()(20, "add", "b", "api", **KEY)(21, "duplicate", "b", "api")
    assert story.numbers() == [13]
    lost = Story(atomic=False)(0, "add", "a", "api", **KEY)(0, "stored", "a", "api", **KEY)(0, "unknown", "a", "api")
    assert lost.add(1, "b", **KEY).judged() == []
    held = Story(atomic=False)(0, "add", "a", "api", **KEY)(1, "add", "b", "api", **KEY)(2, "duplicate", "b", "api")
    assert held.judged() == []


def test_a_claim_under_way():
    """Where claim and add are two steps, an unfinished add may hold the key; its own may not, nor one that was answered."""
    under_way = Story(atomic=False)(0, "add", "a", "api", op=1, **KEY)
    assert denied(1, under_way).judged() == []
    lost = Story(atomic=False).add(0, "a", answer="unknown", stored=False, **KEY)
    assert denied(1, lost).judged() == []
    refused = Story(atomic=False).add(0, "a", answer="refused", stored=False, **KEY)
    assert denied(1, refused).numbers() == [13]
    assert denied(1, Story(atomic=False)).numbers() == [13]
    assert denied(1, Story()(0, "add", "a", "api", op=1, **KEY)).numbers() == [13]


# -- 14


def failing(times, *, attempts=range(1, 99), gap=10, **how):
    """A message that fails again and again, and is given back after each but the last."""
    story = Story(**how).add(0, "m")
    for index in range(times):
        t, attempt = gap * index, attempts[index]
        story.run(t, "m", "w1", index + 1, until=t + 1, attempt=attempt, outcome="error")
        if index < times - 1:
            story.release(t + 1, "m", "w1", index + 1, attempt=attempts[index + 1])
        else:
            story(t + 1, "dead", "m", "w1", receipt=index + 1, reason="failed")
    return story


def test_as_many_attempts_as_allowed():
    """A message may fail max_attempts times."""
    assert failing(3).judged() == []


def test_one_attempt_too_many():
    """The next failure is a breach."""
    assert failing(4).judged() == [(14, "message m failed at 31.000 s for the 4th time though max_attempts is 3")]


def test_attempts_that_do_not_count_up():
    """A failure counts though the release does not count it; unless the consumer stops and gives back what it interrupted."""
    assert failing(4, attempts=[1, 1, 1, 1]).numbers() == [14]
    story = Story().add(0, "m")
    for index in range(5):
        story.serve(index * 10, "w1").run(index * 10, "m", "w1", index + 1, until=index * 10 + 1, outcome="error")
        story(index * 10 + 1, "consumer", process="w1", outcome="stopping").release(
            index * 10 + 1, "m", "w1", index + 1, attempt=1
        )
    assert story.judged() == []


def test_a_decision_counts_though_the_consumer_stops():
    """What was decided before the stop counts, even if the message is given back as it was."""
    story = Story().add(0, "m")
    for index in range(4):
        t = index * 10
        story.serve(t, "w1").run(t, "m", "w1", index + 1, until=t + 1, outcome="error")
        story(t + 1, "settled", "m", "w1", run=index + 1, outcome="release", delay=1.0)
        story(t + 1, "consumer", process="w1", outcome="stopping").release(t + 1, "m", "w1", index + 1, attempt=1)
    assert story.numbers() == [14]


def test_a_redriven_message_starts_anew():
    """A redrive begins a new count."""
    story = failing(3)(40, "redriven", "m").run(50, "m", "w1", 9, until=51, attempt=3, outcome="error")
    assert story(51, "dead", "m", "w1", receipt=9).judged() == []


def expiring(times, **queue):
    """A message whose workers die with it, again and again."""
    story = Story(**queue).add(0, "m")
    for index in range(times):
        t = index * 10
        story.reserve(t, "m", "w1", index + 1).start(t, "m", "w1", index + 1)
        story(t + 1, "crash", process="w1")(t + 4, "expired", "m", receipt=index + 1)
    return story


def test_as_many_deliveries_as_allowed():
    """A message may be run poison_limit times without an outcome, and delivered once more to be put aside."""
    story = expiring(3).reserve(50, "m", "w1", 9, n=4)(50, "dead", "m", "w1", receipt=9, reason="delivered 3 times")
    assert story.judged() == []


def test_one_delivery_too_many():
    """Running it once more is a breach; a release in between starts a new count, a rollback too."""
    assert expiring(4).judged() == [
        (14, "message m ran on w1 at 30.000 s in its 4th delivery without an outcome though poison_limit is 3")
    ]
    story = expiring(3).reserve(50, "m", "w1", 9).release(50, "m", "w1", 9, attempt=1).reserve(51, "m", "w1", 10)
    assert story.start(51, "m", "w1", 10).judged() == []
    story = expiring(3)(40, "rolled_back", due=30)(40, "restored", "m", outcome="ready").reserve(51, "m", "w1", 10)
    assert story.start(51, "m", "w1", 10).judged() == []


# -- 15


def attempts(first, second, *between):
    """Two runs, with their attempts, and what happens between them."""
    story = Story().add(0, "m").reserve(0, "m", "w1", 1).start(0, "m", "w1", 1, attempt=first)
    for what in between or [(4, "expired")]:
        story(*what, "m", receipt=1)
    return story.reserve(5, "m", "w2", 2).start(5, "m", "w2", 2, attempt=second)


def test_an_attempt_that_stays_or_grows():
    """A redelivery has the same attempt, a retry the next one."""
    assert attempts(2, 2).judged() == []
    assert attempts(2, 3).judged() == []


def test_an_attempt_that_goes_back():
    """A lower attempt is a breach, after a run as after a release that promised more."""
    assert attempts(2, 1).judged() == [
        (15, "message m began attempt 1 on w2 at 5.000 s though it was at attempt 2 at 0.000 s already")
    ]
    story = Story().add(0, "m").run(0, "m", "w1", 1, until=1, outcome="error").release(1, "m", "w1", 1, attempt=2)
    story.reserve(5, "m", "w2", 2).start(5, "m", "w2", 2, attempt=1)
    assert story.judged() == [(15, "message m began attempt 1 on w2 at 5.000 s though it was at attempt 2 at 1.000 s already")]


def test_licences_to_go_back():
    """A damaged body, a rollback, and a late run of an old reservation may have a lower attempt."""
    assert attempts(2, 1, (1, "corrupted"), (4, "expired")).judged() == []
    story = Story().add(0, "m").reserve(0, "m", "w1", 1).start(0, "m", "w1", 1, attempt=2)(4, "rolled_back", due=0)
    story(4, "restored", "m", outcome="ready").reserve(5, "m", "w2", 2).start(5, "m", "w2", 2, attempt=1)
    assert story.judged() == []
    late = Story(task={"min_backoff": 0}).add(0, "m").reserve(0, "m", "w1", 1)(4, "expired", "m", receipt=1)
    late.run(4, "m", "w2", 2, until=5, outcome="error").release(5, "m", "w2", 2, attempt=2)
    assert late.start(6, "m", "w1", 1, attempt=1).judged() == []


# -- 16


def retried(at, *, attempt=1, decided=None, task=None, **end):
    """A failure at 1 s, given back at 2 s, and the next run at some moment."""
    story = Story(task=task).add(0, "m").run(0, "m", "w1", 1, until=1, attempt=attempt, outcome="error", **end)
    if decided is not None:
        story(1, "settled", "m", "w1", run=1, outcome="release", delay=decided)
    story.release(2, "m", "w1", 1, attempt=attempt + 1, due=at)
    return story.reserve(at, "m", "w2", 2).start(at, "m", "w2", 2, attempt=attempt + 1)


def test_a_retry_after_its_backoff():
    """The backoff doubles up to its cap, counts from the release, and jitter adds to it."""
    assert retried(3.0, decided=1.0).judged() == []
    assert retried(4.0, attempt=2, decided=2.0).judged() == []
    assert retried(5.0, attempt=3, decided=3.0).judged() == []
    assert retried(5.0, attempt=2000).judged() == []
    assert retried(4.0, decided=1.5, task={"jitter": 0.5}).judged() == []


@pytest.mark.parametrize(("attempt", "early", "until"), [(1, 2.999, 3), (2, 3.999, 4), (3, 4.999, 5)])
def test_a_retry_before_its_backoff(attempt, early, until):
    """A retry a millisecond too early is a breach."""
    why = f"it had failed at 1.000 s in attempt {attempt} and could not run again before {until:.3f} s"
    assert retried(early, attempt=attempt).judged() == [(16, f"message m ran on w2 at {early:.3f} s though {why}")]


def test_a_retry_as_the_handler_asked():
    """`Retry(after)` stands in for the backoff, in both directions."""
    assert retried(2.0, delay=0.0, decided=0.0).judged() == []
    assert retried(9.0, delay=7.0, decided=7.0).judged() == []
    assert retried(8.9, delay=7.0).numbers() == [16]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"decided": 0.5}, "0.500 s after attempt 1, and its policy says 1.000 s to 1.000 s"),
        ({"decided": 1.6, "task": {"jitter": 0.5}}, "1.600 s after attempt 1, and its policy says 1.000 s to 1.500 s"),
        ({"decided": 6.0, "attempt": 9}, "6.000 s after attempt 9, and its policy says 3.000 s to 3.000 s"),
        ({"decided": 1.0, "delay": 7.0}, "1.000 s after attempt 1, and its policy says 7.000 s to 7.000 s"),
    ],
    ids=str,
)
def test_a_decision_outside_of_the_policy(how, said):
    """What the consumer decided has to be what the policy, or the handler, says; neither less nor more."""
    assert retried(20.0, **how).judged() == [(16, f"message m was to wait {said}")]


def test_only_a_retry_waits():
    """What is given up has no wait to be judged."""
    story = Story(task={"max_attempts": 1}).add(0, "m").run(0, "m", "w1", 1, until=1, outcome="error")
    assert story(1, "settled", "m", "w1", run=1, outcome="dead").judged() == []
    unended = Story().add(0, "m").reserve(0, "m", "w1", 1).start(0, "m", "w1", 1)
    assert unended(1, "settled", "m", "w1", run=1, outcome="release", delay=99.0).judged() == []


def test_a_task_without_a_policy():
    """Nothing is known of the backoff of a task that was not declared, but what its handler asked for is."""
    story = Story().add(0, "m", task="u").reserve(0, "m", "w1", 1).start(0, "m", "w1", 1, task="u").end(1, 1, "error")
    story(1, "settled", "m", "w1", run=1, outcome="release", delay=99.0).release(1, "m", "w1", 1, attempt=2)
    assert story.reserve(1, "m", "w1", 2).start(1, "m", "w1", 2, attempt=2, task="u").judged() == []
    story.end(2, 2, "error", delay=5.0).release(2, "m", "w1", 2, attempt=3).reserve(6, "m", "w1", 3)
    assert story.start(6, "m", "w1", 3, attempt=3, task="u").numbers() == [16]


def test_who_need_not_wait():
    """What was interrupted and given back as it was may run at once; so may a late run, and one after a rollback."""
    story = Story().add(0, "m").serve(0, "w1").run(0, "m", "w1", 1, until=1, outcome="error")
    story(1, "consumer", process="w1", outcome="stopping").release(1, "m", "w1", 1, attempt=1)
    assert story.perform(1, "m", "w2", 2, until=2).judged() == []
    late = Story().add(0, "m").reserve(0, "m", "w1", 1)(4, "expired", "m", receipt=1)
    late.run(4, "m", "w2", 2, until=5, outcome="error").release(5, "m", "w2", 2, attempt=2, due=6)
    assert late.start(5.5, "m", "w1", 1).judged() == []
    back = Story().add(0, "m").run(0, "m", "w1", 1, until=1, outcome="error").release(1, "m", "w1", 1, attempt=2, due=2)
    back(1.5, "rolled_back", due=1)(1.5, "restored", "m", outcome="ready")
    assert back.perform(1.5, "m", "w2", 2, until=2).judged() == []


# -- 17


def test_a_delay_that_is_kept():
    """A message may run when its delay is over, to the queue's resolution."""
    assert Story().add(0, "m", due=2)(2, "due", "m").perform(2, "m", "w1", 1, until=2).judged() == []
    story = Story(resolution=0.001).add(0, "m", due=2)(1.999, "due", "m").perform(1.999, "m", "w1", 1, until=2)
    assert story.judged() == []


def test_a_delay_that_is_cut_short():
    """A message that runs before its due time is a breach, as is one that the broker took for due too early."""
    story = Story().add(0, "m", due=2)(1.999, "due", "m").perform(1.999, "m", "w1", 1, until=2)
    assert story.judged() == [(17, "message m ran on w1 at 1.999 s, 0.001 s before it was due at 2.000 s")]
    story = Story()(0, "add", "m", "api", op=1, delay=2.0)(0.5, "stored", "m", "api", op=1, due=1)(1, "due", "m")
    assert story.perform(1, "m", "w1", 1, until=2).judged() == [
        (17, "message m ran on w1 at 1.000 s, 1.500 s before it was due at 2.500 s")
    ]


def test_a_cloned_copy_is_ready_at_once():
    """A copy that a fault made has no delay of its own."""
    story = Story().add(0, "m", due=9)(1, "cloned", "m", copy=1).reserve(1, "m", "w1", 1, copy=1)
    assert story.start(1, "m", "w1", 1, copy=1).judged() == []
