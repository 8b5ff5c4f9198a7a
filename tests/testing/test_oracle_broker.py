"""The oracle on the broker's own conduct: where a message is, who may move it, and what is final."""

import pytest
from testing.histories import Story


def added(**queue):
    return Story(**queue).add(0, "m")


# -- 2


def test_a_whole_life_is_no_breach():
    """Delayed, due, reserved, extended, released, expired, put aside, redriven, done: each step is possible after the last."""
    story = Story(poison_limit=None).add(0, "m", due=1)(1, "due", "m").reserve(1, "m", "w1", 1)
    story(2, "extended", "m", "w1", receipt=1, expires=6).start(2, "m", "w1", 1).end(3, 1, "error")
    story.release(3, "m", "w1", 1, attempt=2, due=4)(4, "due", "m").reserve(4, "m", "w1", 2)
    story(8, "expired", "m", receipt=2).run(8, "m", "w2", 3, until=9, attempt=2, outcome="error")
    story(9, "dead", "m", "w2", receipt=3, reason="failed")(10, "redriven", "m").run(10, "m", "w2", 4, until=11, attempt=2)
    story.ack(11, "m", "w2", 4)(11, "size", data={"ready": 0, "delayed": 0, "reserved": 0, "dead": 0})(12, "rest")
    assert story.judged() == []


def test_a_broker_need_not_say_what_time_says():
    """What is past its due time or its reservation may be reserved without a word, to the queue's resolution."""
    story = Story(resolution=0.001).add(0, "m", due=1).reserve(0.9995, "m", "w1", 1).reserve(4.999, "m", "w2", 2)
    story(5, "size", data={"ready": 0, "delayed": 0, "reserved": 1})
    assert story.judged() == []


def test_two_owners_at_once():
    """A second reservation while the first lasts is a breach, with both owners and times."""
    story = added().reserve(1, "m", "w1", 1).reserve(4.999, "m", "w2", 2)
    assert story.judged() == [(2, "message m was reserved by w2 at 4.999 s while w1 owned it until 5.000 s")]


def test_an_early_expiry():
    """A reservation that ends before its time while its owner lives is a breach; a dead owner's may."""
    story = added().reserve(1, "m", "w1", 1)(4.9, "expired", "m", receipt=1)
    assert story.judged() == [(2, "message m expired at 4.900 s while w1 owned it until 5.000 s")]
    assert added().reserve(1, "m", "w1", 1)(2, "crash", process="w1")(3, "expired", "m", receipt=1).judged() == []
    crashed_before = added()(0, "crash", process="w1").reserve(1, "m", "w1", 1)(3, "expired", "m", receipt=1)
    assert crashed_before.numbers() == [2]


@pytest.mark.parametrize(
    ("story", "sentence"),
    [
        (Story().add(0, "m", due=3).reserve(2.9, "m", "w1", 1), "message m was reserved by w1 at 2.900 s though it was delayed"),
        (added()(1, "due", "m"), "message m came due at 1.000 s though it was ready"),
        (added()(1, "redriven", "m"), "message m was redriven at 1.000 s though it was ready"),
        (added()(0, "stored", "m", "api", op=9), "message m was added by api at 0.000 s though it was ready"),
        (
            added().run(1, "m", "w1", 1, until=2)(2, "dead", "m", "w1", receipt=1)(3, "purged", "m"),
            "message m was purged at 3.000 s though it was dead",
        ),
        (
            added().reserve(1, "m", "w1", 1)(2, "stale", "m", "w1", receipt=1, outcome="ack"),
            "message m was refused to its owner by w1 at 2.000 s while w1 owned it until 5.000 s",
        ),
    ],
)
def test_impossible_steps(story, sentence):
    """A step that the message's state does not know is a breach that names step, time and state."""
    assert (2, sentence) in story.judged()


def test_counting():
    """What the broker counts has to be what it did; entries past their time may be counted either way."""
    story = Story().add(0, "a").add(0, "b", due=5).add(0, "c").reserve(0, "c", "w1", 1)
    assert story(1, "size", data={"ready": 1, "delayed": 1, "reserved": 1, "dead": 0}).judged() == []
    assert story(6, "size", data={"ready": 3, "delayed": 0, "reserved": 0, "dead": 0}).judged() == []
    assert story(6, "size", data={"ready": 2, "delayed": 1, "reserved": 0}).judged() == []
    story(7, "size", data={"ready": 2, "delayed": 0, "reserved": 0, "dead": 0})
    assert story.judged() == [(2, "queue q counted 2 as ready at 7.000 s, and 3 were")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"ready": 2, "delayed": 0, "reserved": 1}, "0 as delayed at 1.000 s, and 1 were"),
        ({"ready": 2, "delayed": 1, "reserved": 0}, "0 as reserved at 1.000 s, and 1 were"),
        ({"ready": 1, "delayed": 1, "reserved": 1, "dead": 1}, "1 as dead at 1.000 s, and 0 were"),
    ],
)
def test_counting_too_early(data, said):
    """Before their time delayed and reserved entries are counted as what they are."""
    story = Story().add(0, "a").add(0, "b", due=5).add(0, "c").reserve(0, "c", "w1", 1)
    assert story(1, "size", data=data).judged() == [(2, f"queue q counted {said}")]


# -- 3


def test_an_orphan_expires():
    """An expiry of what was not reserved shows an entry outside of the reserved set."""
    story = added().perform(1, "m", "w1", 1, until=2)(5, "expired", "m", receipt=1)
    assert story.judged() == [(3, "message m expired at 5.000 s though it was done")]


def test_an_orphan_of_an_older_receipt():
    """An expiry under another receipt than the owner's is an orphan too; one under the owner's is none."""
    story = added().reserve(0, "m", "w1", 1)(4, "expired", "m", receipt=1).reserve(4, "m", "w2", 2)
    assert story.judged() == []
    story(5, "expired", "m", receipt=1)
    assert story.judged() == [(3, "message m expired with receipt 1 at 5.000 s while w2 owned it until 8.000 s")]


def test_a_run_without_a_receipt():
    """A run under a receipt that nobody was given is an orphan; a recorder that knows no receipt says 0."""
    story = added().reserve(1, "m", "w1", 1).start(1, "m", "w1", 7)
    assert story.judged() == [(3, "message m was run by w1 with receipt 7 at 1.000 s, which nobody was given")]
    assert added().reserve(1, "m", "w1", 1).start(1, "m", "w1", 0).judged() == []


def test_more_reserved_than_given_out():
    """A broker that counts more reserved messages than it gave out has orphans."""
    story = added().reserve(1, "m", "w1", 1)(2, "size", data={"ready": 0, "reserved": 2})
    assert story.judged() == [(3, "queue q counted 2 as reserved at 2.000 s, and 1 were")]


# -- 4


def test_a_ghost():
    """Reserving what was never added, or is purged, is a reservation without a body."""
    assert Story().reserve(1, "m", "w1", 1).judged() == [
        (4, "message m was reserved by w1 at 1.000 s though the broker did not have it")
    ]
    assert added()(1, "purged", "m").reserve(2, "m", "w1", 1).judged() == [
        (4, "message m was reserved by w1 at 2.000 s though it was done")
    ]


def test_a_purge_takes_the_body_of_a_reservation():
    """A purge of what is reserved leaves a ghost; one of what is ready or delayed leaves nothing."""
    assert added().add(0, "n", due=9)(1, "purged", "m")(1, "purged", "n")(2, "rest").judged() == []
    assert added().reserve(1, "m", "w1", 1)(2, "purged", "m").judged() == [
        (4, "message m was purged at 2.000 s while w1 owned it until 5.000 s")
    ]


def test_a_purged_reservation_is_over():
    """The owner of what was purged is refused, and who runs it all the same is told what ended the reservation."""
    story = added().reserve(1, "m", "w1", 1).start(1, "m", "w1", 1)(2, "purged", "m")
    assert story(3, "stale", "m", "w1", receipt=1, outcome="ack").numbers() == [4]
    story(3, "redriven", "m").reserve(3, "m", "w2", 2).start(3, "m", "w2", 2)
    assert "w1's reservation of it ended at 2.000 s (purged)" in story.judged(10)[0][1]


def test_a_ghost_of_a_forgotten_message():
    """What a rollback forgot cannot be reserved, unless it is added again."""
    story = Story().add(5, "m")(6, "rolled_back", due=4)
    assert story(7, "stored", "m", "api", op=1).reserve(8, "m", "w1", 1).judged() == []
    assert Story().add(5, "m")(6, "rolled_back", due=4).reserve(8, "m", "w1", 1).numbers() == [4]


# -- 8


@pytest.mark.parametrize(
    ("kind", "said"), [("acked", "acknowledged"), ("released", "released"), ("dead", "put aside"), ("extended", "extended")]
)
def test_a_stale_receipt_changes_something(kind, said):
    """Whatever is done with a receipt that was lost breaks the fence."""
    story = added().reserve(0, "m", "w1", 1)(4, "expired", "m", receipt=1).reserve(4, "m", "w2", 2)
    story(5, kind, "m", "w1", receipt=1, expires=9, attempt=1)
    assert (8, f"message m was {said} by w1 with receipt 1 at 5.000 s while w2 owned it until 8.000 s") in story.judged(8)


def test_an_acknowledgement_of_before_a_rollback():
    """Where a rollback undid a reservation its owner may still acknowledge; it may not release, nor does a mere expiry do."""

    def story(over):
        story = added().reserve(0, "m", "w1", 1).start(0, "m", "w1", 1).end(2, 1)
        over(story).reserve(5, "m", "w2", 2)
        return story

    undone = lambda story: story(3, "rolled_back", due=3)(3, "restored", "m", outcome="ready")  # noqa: E731
    lapsed = lambda story: story(4, "expired", "m", receipt=1)  # noqa: E731
    assert story(undone).ack(6, "m", "w1", 1)(9, "rest").judged() == []
    assert story(undone).ack(6, "m", "w1", 1).reserve(9, "m", "w2", 3).numbers() == [9]
    assert story(undone).release(6, "m", "w1", 1, attempt=1).numbers(8) == [8]
    assert story(lapsed).ack(6, "m", "w1", 1).numbers(8) == [8]


def test_a_done_message_is_released():
    """A release after the acknowledgement brings a message back to life: the fence, and then its finality, are broken."""
    story = added().perform(1, "m", "w1", 1, until=2).release(3, "m", "w1", 1, attempt=1).reserve(4, "m", "w2", 2)
    assert story.judged() == [
        (8, "message m was released by w1 at 3.000 s though it was done"),
        (9, "message m was reserved by w2 at 4.000 s though it was done"),
    ]


def test_a_lapsed_receipt_is_good_until_somebody_says_otherwise():
    """An acknowledgement after its time is fine while nobody else was given the message; a refused one changes nothing."""
    story = added().run(0, "m", "w1", 1, until=3).ack(4.5, "m", "w1", 1)
    assert story.judged() == []
    late = added(resolution=0.001).run(0, "m", "w1", 1, until=3)(3.9995, "stale", "m", "w1", receipt=1, outcome="ack")
    assert late.judged() == []
    refused = added().run(0, "m", "w1", 1, until=3)(4, "stale", "m", "w1", receipt=1, outcome="ack")
    assert refused(4, "expired", "m", receipt=1).judged() == []


# -- 9


def test_a_done_message_is_reserved():
    """A reservation after the acknowledgement is a breach, however the message came back."""
    story = added().perform(1, "m", "w1", 1, until=2).reserve(3, "m", "w2", 2)
    assert story.judged() == [(9, "message m was reserved by w2 at 3.000 s though it was done")]


def test_a_rollback_takes_an_acknowledgement_back():
    """What was acknowledged at or after the moment that the broker goes back to may run again; what was before may not."""
    story = added().perform(1, "m", "w1", 1, until=2)(3, "rolled_back", due=2)(3, "restored", "m", outcome="ready")
    assert story.perform(4, "m", "w2", 2, until=5).judged() == []
    story = added().perform(1, "m", "w1", 1, until=2)(3, "rolled_back", due=2.5)(3, "restored", "m", outcome="ready")
    story.reserve(4, "m", "w2", 2)
    assert story.judged() == [(9, "message m was reserved by w2 at 4.000 s though it was done")]


def test_what_is_added_again_after_a_rollback_forgot_it():
    """A producer without an answer adds again what a rollback forgot, done or not: no finality is broken, nothing is lost."""
    story = Story().add(0, "m").perform(1, "m", "w1", 1, until=2)(3, "rolled_back", due=0)(4, "stored", "m", "api", op=1)
    assert story.perform(5, "m", "w1", 2, until=6)(9, "rest").judged() == []
    assert Story().add(0, "m").perform(1, "m", "w1", 1, until=2)(3, "rolled_back", due=0)(9, "rest").judged() == []


def test_a_copy_is_on_the_queue_of_its_message():
    """A clone that does not name its queue is counted where its message is."""
    story = added()(1, "cloned", "m", copy=1, queue="")
    assert story(2, "size", data={"ready": 2}).judged() == []


def test_another_copy_has_an_end_of_its_own():
    """A copy made by a fault may be reserved after the first one is done."""
    story = added()(1, "cloned", "m", copy=1).perform(1, "m", "w1", 1, until=2)
    story.reserve(3, "m", "w2", 2, copy=1).start(3, "m", "w2", 2, copy=1).end(4, 2).ack(4, "m", "w2", 2, copy=1)
    assert story.judged() == []
    story.reserve(5, "m", "w2", 3, copy=1)
    assert story.judged() == [(9, "message m (its copy 1) was reserved by w2 at 5.000 s though it was done")]


# -- 19


def test_each_delay_is_promoted_once():
    """A delayed message comes due once, and once more after each release with a delay."""
    story = Story().add(0, "m", due=1)(1, "due", "m").reserve(1, "m", "w1", 1).release(2, "m", "w1", 1, attempt=1, due=3)
    assert story(3, "due", "m").judged() == []


def test_a_restored_delay_is_promoted_once_too():
    """What a restart brings back as delayed comes due once."""
    story = added()(1, "rolled_back", due=1)(1, "restored", "m", outcome="delayed", due=2)(2, "due", "m")
    assert story.judged() == []
    assert story(3, "due", "m").numbers() == [19]


def test_promoted_twice():
    """A second promotion is a breach, whether the message is ready or somebody has it by then."""
    story = Story().add(0, "m", due=1)(1, "due", "m")(2, "due", "m")
    assert story.judged() == [(19, "message m came due at 2.000 s though it was ready")]
    story = Story().add(0, "m", due=1)(1, "due", "m").reserve(1, "m", "w1", 1)(2, "due", "m")
    assert story.judged() == [(19, "message m came due at 2.000 s while w1 owned it until 5.000 s")]
