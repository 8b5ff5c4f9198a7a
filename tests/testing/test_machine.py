"""The state machine passes on a sound queue, and finds each bug that is planted into one."""

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

import taskq
from taskq.backends.memory import MemoryBackend
from taskq.core import retry
from taskq.core.dedup import Claim
from taskq.message import Enqueued
from taskq.queue import Queue
from taskq_testing.harness.crew import GatedBackend
from taskq_testing.harness.machine import QueueMachine

pytestmark = pytest.mark.slow

app = taskq.App(hooks=())
mail = app.queue("mail", dedup_window=3600.0)
slow = app.queue("slow")
balance = {"paid": 0}


@mail.task(max_attempts=3, min_backoff=5, max_backoff=8, jitter=0.5)
def greet(name: str) -> None:
    if name == "follow":
        nap.enqueue(1.0)


@slow.task(max_attempts=4)
async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)


@mail.task(max_attempts=2)
def pay(amount: int) -> None:
    balance["paid"] += amount


@pay.fallback
def refund(message: taskq.Message) -> None:
    pass


class Sound(QueueMachine):
    app = app
    calls = st.builds(greet.message, st.sampled_from(("ada", "follow"))) | st.builds(
        nap.message, st.sampled_from((0.0, 10.0, 4000.0))
    )


def explore(machine, *, examples=40, steps=25):
    """Run a machine; the same examples each time, and no shrinking where a failure is expected."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_sound_queue_passes():
    """Delays, names, retries, fallbacks, purges and slow handlers all keep to the model."""
    explore(Sound)
    assert greet.handler.__name__ == "greet"
    assert not hasattr(greet.handler, "__wrapped__"), "the handlers are put back"


def test_an_app_of_ones_own_with_rules_of_its_own():
    """Own rules use the harness, own invariants are checked after every step, and errors that are allowed are none."""

    class Payments(QueueMachine):
        app = app
        calls = st.builds(pay.message, st.integers(1, 9))
        allowed = (ValueError,)

        def __init__(self):
            super().__init__()
            balance["paid"] = self.started = 0

        @rule()
        def pay_at_once(self):
            if self.sim.perform(pay, 5, raise_errors=False).outcome == "ok":
                self.started += 5

        @invariant()
        def paid_is_what_was_performed(self):
            done = sum(run.args[0] for run in self.sim.performances(pay) if run.outcome == "ok")
            assert balance["paid"] == done + self.started

    explore(Payments, examples=15)


def test_the_users_invariant_can_fail():
    """A handler with a bug is found by an invariant of one's own."""

    class Payments(QueueMachine):
        app = app
        calls = st.builds(pay.message, st.integers(1, 9))

        def __init__(self):
            super().__init__()
            balance["paid"] = 0

        @invariant()
        def nobody_pays_much(self):
            assert balance["paid"] < 12, "too much was paid"

    with pytest.raises(AssertionError, match="too much was paid"):
        explore(Payments)


def test_an_error_that_is_not_allowed_fails():
    """A handler's own error fails the test unless its type is allowed."""

    def fail(name):
        raise LookupError(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(greet, "handler", fail)
        with pytest.raises(LookupError, match="ada|follow"):
            explore(Sound)
        patch.setattr(Sound, "allowed", (LookupError,))
        explore(Sound, examples=10)


# -- planted bugs


def loses_delayed(self, entry, delay, put=GatedBackend._put):
    if delay < 3600:
        put(self, entry, delay)


def early(self, entry, delay, put=GatedBackend._put):
    put(self, entry, delay - 2 if delay > 10 else delay)


async def acks_nothing(self, reservations):
    for reservation in reservations:
        await self.release(reservation, 0.0)
    return [True] * len(reservations)


async def releases_late(self, reservation, delay, release=GatedBackend.release):
    await release(self, reservation, delay + 60)


async def purges_dead(self, purge=GatedBackend.purge):
    self._dead.clear()
    return await purge(self)


async def purges_one_less(self, purge=GatedBackend.purge):
    return max(0, await purge(self) - 1)


def never_ready(self):
    self._promote(self._monotonic())
    return len(self._ready) > 1


def takes_all(self, n, now):
    return MemoryBackend._take(self, n, now)


def forgets_names(queue, message, delay, now, options):
    return None


def long_names(queue, message, delay, now, options):
    return Claim(f"{queue}:{message.task}:{message.dedup.name}".encode(), 2 * options.dedup_window)


def silent_duplicates(self, message, outgoing, answer):
    return Enqueued(message_id=outgoing.id)


def flat_backoff(attempt, min_backoff, max_backoff):
    return min_backoff


def one_more_attempt(error, attempt, options, *, has_fallback, draw=0.0, decide=retry.decide):
    return decide(error, max(1, attempt - 1), options, has_fallback=has_fallback, draw=draw)


def gives_up_early(error, attempt, options, *, has_fallback, draw=0.0):
    return retry.ACK


BUGS = [
    ("a delayed message is lost", GatedBackend, "_put", loses_delayed, "is lost"),
    ("a message runs early", GatedBackend, "_put", early, "is to wait|ran early"),
    ("a finished message runs again", GatedBackend, "ack", acks_nothing, "does a task enqueue itself|is done and"),
    ("a retry comes late", GatedBackend, "release", releases_late, "is to wait"),
    ("a purge drops dead letters", GatedBackend, "purge", purges_dead, "was put aside and is gone"),
    ("a purge counts wrongly", GatedBackend, "purge", purges_one_less, "."),
    ("a limit is exceeded", GatedBackend, "_take", takes_all, "one message was to be processed"),
    ("the last message is forgotten", GatedBackend, "has_work", never_ready, "was not run though no worker was busy"),
    ("names are forgotten", "taskq.queue.dedup", "claim", forgets_names, "is taken, but"),
    ("names are kept too long", "taskq.queue.dedup", "claim", long_names, "is free, but"),
    ("a duplicate is told to be accepted", Queue, "_result", silent_duplicates, "is taken, but"),
    ("the backoff does not grow", "taskq.core.retry", "backoff", flat_backoff, "waits"),
    ("one attempt too many", "taskq.core.retry", "decide", one_more_attempt, "waits|was tried too often"),
    ("a failure is taken for success", "taskq.core.retry", "decide", gives_up_early, "is taken for done"),
]


@pytest.mark.parametrize(("owner", "name", "bug", "text"), [bug[1:] for bug in BUGS], ids=[bug[0] for bug in BUGS])
def test_planted_bugs_are_found(owner, name, bug, text):
    """Each bug in the queue fails the machine, with words that fit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            owner if isinstance(owner, type) else f"{owner}.{name}", *([name, bug] if isinstance(owner, type) else [bug])
        )
        patch.setattr("taskq_testing.harness.stage.MOST_MESSAGES", 300)
        with pytest.raises(AssertionError, match=text):
            explore(Sound, examples=60)
