"""The oracle on shared limits: rate, worker limit, locks, buffers."""

import pytest
from testing.histories import Story

RATE = {"rate": 10.0, "per": 1.0, "burst": 5}


def limited(*grants, **queue):
    """Grants (moment, how many) of one rate limit, none of which is used."""
    story = Story(rate=RATE, **queue)
    for t, n, *process in grants:
        story(t, "grant", process=process[0] if process else "w1", key="rate:q", n=n)
    return story


# -- 20


def test_a_rate_that_is_kept():
    """In any window there may be the burst and what its length earns, rounded up."""
    assert limited((0, 5), (0.1, 1), (0.2, 1), (0.5, 3), (9, 5)).judged() == []
    assert limited((0, 5), (0.01, 1)).judged() == []
    assert limited((0, 5, "w1"), (0.5, 5, "w2"), (0.6, 1, "w3"), (0.6, 0, "w1")).judged() == []


@pytest.mark.parametrize(
    ("grants", "said"),
    [
        ([(0, 6)], "6 starts from 0.000 s to 0.000 s"),
        ([(0, 5), (0.1, 2)], "7 starts from 0.000 s to 0.100 s"),
        ([(0, 5, "w1"), (1, 4, "w2"), (1, 7, "w3")], "11 starts from 1.000 s to 1.000 s"),
        ([(3, 1), (50, 5), (50.2, 2), (50.3, 2)], "9 starts from 50.000 s to 50.300 s"),
    ],
    ids=str,
)
def test_a_rate_that_is_exceeded(grants, said):
    """One start more than a window allows is a breach, over all processes, wherever the window lies."""
    assert limited(*grants).judged() == [(20, f"queue q was granted {said}, more than its burst of 5 and 10 a second")]


def test_the_resolution_counts():
    """A window may be longer by the queue's resolution than it looks."""
    assert limited((0, 5), (0.1, 2), resolution=0.001).judged() == []
    assert limited((0, 5), (0.1, 3), resolution=0.001).numbers() == [20]


def started(story, *moments):
    for number, t in enumerate(moments, start=1):
        story.add(t, f"m{number}").reserve(t, f"m{number}", "w1", number).start(t, f"m{number}", "w1", number)
    return story


def test_starts_need_grants():
    """A start without a grant is a breach; late starts of what was granted are none, nor are two runs of one delivery."""
    assert started(limited((0, 5), (1, 5)), *[2.0] * 10).judged() == []
    assert started(limited((0, 2)), 1, 1, 1).judged() == [
        (20, "message m3 started at 1.000 s as the 3th of queue q though 2 starts were granted")
    ]
    story = started(limited((0, 1)), 1).end(1, 1, "error").start(1, "m1", "w1", 1)
    assert story.judged() == []


def test_a_refund_makes_room():
    """What is given back at once may be granted again; later it is worth less, for time has made room as well."""
    assert (
        limited((0, 5))(0, "refund", process="w1", key="rate:q", n=5)(0, "grant", process="w2", key="rate:q", n=5).judged() == []
    )
    assert (
        limited((1, 5))(1, "refund", process="w1", key="rate:q", n=5)(1, "grant", process="w2", key="rate:q", n=5).judged() == []
    )
    story = limited((0, 5, "w1"), (0.2, 2, "w2"))(0.3, "refund", process="w1", key="rate:q", n=5)
    story(0.3, "grant", process="w2", key="rate:q", n=3)
    assert story.judged() == []
    story(0.3, "grant", process="w2", key="rate:q", n=1)
    assert story.numbers() == [20]


@pytest.mark.parametrize("refund", [{"n": 6}, {"n": 1, "process": "w2"}, {"n": 5, "due": 0.5}], ids=str)
def test_a_refund_of_what_was_not_granted(refund):
    """Nobody gives back more than one grant of its own."""
    story = limited((0, 5))(1, "refund", key="rate:q", **{"process": "w1"} | refund)
    who = refund.get("process", "w1")
    assert story.judged() == [(20, f"{who} gave back {refund['n']} starts of queue q at 1.000 s, more than it had unused")]


def test_a_refund_names_its_grant():
    """A refund that says when it was granted is of that grant, and no other one is used up by it."""
    story = limited((0, 3), (1, 1), (1, 2), (2, 2))(3, "refund", process="w1", key="rate:q", n=2, due=1)
    story(3, "refund", process="w1", key="rate:q", n=3)
    assert story(3, "refund", process="w1", key="rate:q", n=2, due=2).judged() == []
    assert story(3, "refund", process="w1", key="rate:q", n=2, due=1).numbers() == [20]


@pytest.mark.parametrize("given_back", [(1, 3), (3, 1)])
def test_grants_of_one_moment_are_told_apart_by_their_size(given_back):
    """Two fetchers of one process may give back what both were granted at one moment, the smaller one first too, and no more."""
    story = limited((1, 3), (1, 1))
    for count in given_back:
        story(1, "refund", process="w1", key="rate:q", n=count, due=1)
    assert story(1, "grant", process="w2", key="rate:q", n=5).judged() == []
    assert story(1, "refund", process="w1", key="rate:q", n=1, due=1).numbers() == [20]


def test_a_refund_of_what_was_used():
    """A grant that something started with cannot be given back, and not twice."""
    assert started(limited((0, 5)), 1)(1, "refund", process="w1", key="rate:q", n=5).numbers() == [20]
    story = limited((0, 5))(1, "refund", process="w1", key="rate:q", n=1)(1, "refund", process="w1", key="rate:q", n=1)
    assert story.numbers() == [20]


def test_a_rollback_of_the_limiter():
    """A limiter that forgot its grants may grant them again."""
    assert limited((0, 5))(0.1, "rolled_back", due=0)(0.1, "grant", process="w2", key="rate:q", n=5).judged() == []


# -- 21, 28


def lock(story, t, number, process, worker, *, until=None, owner=None):
    owner = owner or f"{process}:{worker}"
    expires = t + 14 if until is None else until
    return story(t, "locked", process=process, key=f"q:worker:lock:{number}", owner=owner, expires=expires)


def working(*workers, **queue):
    """Workers (process, number) with a lock each, that run a message each."""
    story = Story(worker_limit=2, **queue)
    for index, (process, worker) in enumerate(workers):
        lock(story, 0, index, process, worker)
        name = f"m{index}"
        story.add(0, name).reserve(0, name, process, index + 1, until=99).start(0, name, process, index + 1, worker=worker)
    return story


def test_workers_within_their_limit():
    """As many workers as the limit run side by side, and another when one has ended, also with the freed lock."""
    story = working(("w1", 1), ("w2", 1)).end(1, 1)(1, "unlocked", process="w1", key="q:worker:lock:0", owner="w1:1")
    lock(story, 1, 0, "w3", 7).add(1, "n").reserve(1, "n", "w3", 9).start(1, "n", "w3", 9, worker=7)
    assert story.judged() == []


def test_a_batch_is_one_worker():
    """Several messages that one worker runs at once count once."""
    story = working(("w1", 1), ("w2", 1)).add(1, "n").reserve(1, "n", "w1", 9).start(1, "n", "w1", 9, worker=1)
    assert story.judged() == []
    story.end(2, 1)
    for number, process in enumerate(("w3", "w4"), start=2):
        lock(story, 2, number, process, 1).add(2, process).reserve(2, process, process, 20 + number)
        story.start(2, process, process, 20 + number)
    assert story.numbers() == [21, 21]  # w1 goes on with what is left of its batch


def test_a_run_without_a_lock():
    """A run of a worker that never had a lock, or has it no more, is a breach."""
    story = working(("w1", 1)).add(0, "n").reserve(0, "n", "w1", 9).start(1, "n", "w1", 9, worker=2)
    assert story.judged() == [(21, "message n ran at 1.000 s on worker 2 of w1, which never had one")]
    story = working(("w1", 1)).end(1, 1)(1, "unlocked", process="w1", key="q:worker:lock:0", owner="w1:1")
    story.add(2, "n").reserve(2, "n", "w1", 9).start(2, "n", "w1", 9, worker=1)
    assert story.judged() == [
        (21, "message n ran at 2.000 s on worker 1 of w1, whose lock q:worker:lock:0 was gone since 1.000 s")
    ]
    story = working(("w1", 1)).end(1, 1).add(14, "n").reserve(14, "n", "w1", 9).start(14, "n", "w1", 9, worker=1)
    assert story.judged() == [
        (21, "message n ran at 14.000 s on worker 1 of w1, whose lock q:worker:lock:0 was gone since 14.000 s")
    ]


def test_a_lock_that_is_renewed():
    """A renewal keeps a lock; a crash ends it with its process."""
    story = lock(working(("w1", 1)), 10, 0, "w1", 1).end(11, 1).add(23, "n").reserve(23, "n", "w1", 9)
    assert story.start(23, "n", "w1", 9).judged() == []
    story = working(("w1", 1))(1, "crash", process="w1")(1, "spawn", process="w1").add(2, "n").reserve(2, "n", "w1", 9)
    assert story.start(2, "n", "w1", 9).numbers() == [21]


def test_more_workers_than_allowed():
    """A third worker beside two is a breach."""
    assert working(("w1", 1), ("w1", 2), ("w2", 1)).judged() == [
        (21, "3 workers of queue q ran something at 0.000 s though its worker_limit is 2")
    ]


def test_a_lock_that_ran_out_in_trouble():
    """A process that stood still may have lost its lock: others run beside what it began, and it may begin another."""
    story = working(("w1", 1), ("w1", 2))(1, "suspend", process="w1")
    lock(story, 14, 0, "w2", 1).add(14, "n").reserve(14, "n", "w2", 9).start(14, "n", "w2", 9)
    assert story.judged(21) == []
    story(15, "wake", process="w1").end(15, 1).add(15, "o").reserve(15, "o", "w1", 10).start(15, "o", "w1", 10)
    assert story.judged(21) == []
    lazy = working(("w1", 1), ("w1", 2))
    lock(lazy, 14, 0, "w2", 1).add(14, "n").reserve(14, "n", "w2", 9).start(14, "n", "w2", 9)
    assert lazy.numbers(21) == [21]


def test_trouble_of_the_broker_excuses_everybody():
    """When the broker itself was hit, a lock may have run out; who it was that had it does not matter."""
    story = working(("w1", 1), ("w1", 2))(5, "fault", outcome="broker_restart", delay=1.0)
    lock(story, 14, 0, "w2", 1).add(14, "n").reserve(14, "n", "w2", 9).start(14, "n", "w2", 9)
    assert story.judged(21) == []


def test_an_excuse_is_not_lost_by_a_later_renewal():
    """A worker that began something without its lock keeps its excuse when it gets the lock back."""
    story = (
        working(("w1", 1))(1, "suspend", process="w1")(20, "wake", process="w1").end(20, 1).add(20, "n").reserve(20, "n", "w1", 9)
    )
    lock(story.start(20, "n", "w1", 9), 21, 0, "w1", 1)
    assert story.judged(21) == []


def test_who_has_no_excuse_is_counted():
    """Of the workers beyond the limit those with an excuse are left out, and the others are still too many."""
    story = working(("w1", 1), ("w2", 1))(1, "suspend", process="w1")
    for number, process in enumerate(("w3", "w4"), start=2):
        lock(story, 14, number, process, 1).add(14, process).reserve(14, process, process, 8 + number, until=99)
        story.start(14, process, process, 8 + number)
    said = "3 workers of queue q ran something at 14.000 s though its worker_limit is 2"
    assert (21, said) in story.judged(21)


def test_a_rollback_undoes_locks():
    """A lock that a rollback undid may be given to another while its worker runs on."""
    story = working(("w1", 1), ("w1", 2))(1, "rolled_back", due=0)
    for name in ("m0", "m1"):
        story(1, "restored", name, outcome="ready")
    lock(story, 1, 0, "w2", 1).add(1, "n").reserve(1, "n", "w2", 9).start(1, "n", "w2", 9)
    assert story.judged(21) == []


def test_a_lock_for_two():
    """A lock that somebody holds is given to nobody else before it ends."""
    assert lock(working(("w1", 1)), 13.9, 0, "w2", 1).judged() == [
        (21, "lock q:worker:lock:0 was given to w2:1 at 13.900 s though w1:1 held it until 14.000 s")
    ]
    assert lock(working(("w1", 1)), 14, 0, "w2", 1).judged() == []


def test_a_stopping_consumer_drops_its_locks():
    """A handler in a thread may outlast its worker, whose consumer stopped and dropped the lock; others may run beside it."""
    story = working(("w1", 1), ("w1", 2))(1, "consumer", process="w1", outcome="stopping")
    story(2, "unlocked", process="w1", key="q:worker:lock:0", owner="w1:1")
    lock(story, 2, 0, "w2", 1).add(2, "n").reserve(2, "n", "w2", 9).start(2, "n", "w2", 9)
    assert story.judged() == []
    story(3, "consumer", process="w1", outcome="running")(9, "consumer", process="w1", outcome="stopping")
    assert story.judged() == []
    running = working(("w1", 1), ("w1", 2))(2, "unlocked", process="w1", key="q:worker:lock:0", owner="w1:1")
    lock(running, 2, 0, "w2", 1).add(2, "n").reserve(2, "n", "w2", 9).start(2, "n", "w2", 9)
    assert running.numbers() == [21]
    assert running(3, "consumer", process="w1", outcome="stopping").numbers() == [21]


def test_a_lock_without_an_end():
    """A lock without an end may be held by the living; when its owner dies it is a breach."""
    story = Story()(0, "locked", process="w1", key="scheduler", owner="w1:x")
    assert story.judged() == []
    story(5, "crash", process="w1")
    assert story.judged() == [(28, "lock scheduler has no end, and its owner w1:x died with w1 at 5.000 s")]


def test_locks_that_end():
    """With an end, freed in time, or of another process, a crash leaves nothing behind."""
    story = Story()(0, "locked", process="w1", key="scheduler", owner="w1:x", expires=9)(5, "crash", process="w1")
    assert story.judged() == []
    story = Story()(0, "locked", process="w1", key="a", owner="w1:x")(1, "unlocked", process="w1", key="a", owner="w1:x")
    assert story(5, "crash", process="w1").judged() == []
    story = Story()(0, "locked", process="w1", key="a", owner="w1:x")(1, "unlocked", process="w1", key="a", owner="w2:x")
    assert story(4, "crash", process="w2").judged() == []
    assert story(5, "crash", process="w1").numbers() == [28]


# -- 30


def test_buffers():
    """A buffer holds as much as it may, and not one more; decoded bytes have a cap of their own."""
    assert Story()(1, "buffered", process="w1", n=2).judged() == []
    assert Story()(1, "buffered", process="w1", n=3).judged() == [(30, "w1 buffered 3 messages of queue q at 1.000 s, and may 2")]
    assert Story(buffer=None)(1, "buffered", process="w1", n=9).judged() == []
    assert Story()(1, "buffered", process="w1", n=1, data={"bytes": 9, "cap": 9}).judged() == []
    assert Story()(1, "buffered", process="w1", n=2, data={"bytes": 10, "cap": 9}).judged() == [
        (30, "w1 decoded 10 bytes at 1.000 s, and may 9")
    ]
