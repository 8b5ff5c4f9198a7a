"""Going through a run in both directions, asking how things stand and what would have been."""

import msgspec
import pytest
from toys import BUG, ToyQueue, failing, scenario

import taskq
import taskq_testing
from taskq_testing.debug import Debugger
from taskq_testing.explore.replay import NotReproducible, RunBroken, replay
from taskq_testing.explore.strategies import Uniform
from taskq_testing.explore.tapes import sentence
from taskq_testing.history import NANOSECONDS
from taskq_testing.tape import Quiet, Tape


@pytest.fixture
def debugger():
    """At the beginning of the toy queue's failure."""
    return Debugger(ToyQueue(), replay(ToyQueue(), 70, BUG))


def kinds(debugger):
    return [event.kind for event in debugger.outcome.history]


def test_the_run_is_repeated_exactly(debugger):
    """With every draw, also of a run that a strategy decided."""
    assert debugger.outcome.violations
    found = ToyQueue()(Tape(3, Uniform()))
    assert Debugger(ToyQueue(), found).outcome.trace == found.trace
    assert len(debugger.choices) == debugger.outcome.draws


def test_steps_lead_through_all_events_and_back(debugger):
    """Each event once, in order; at the ends one stays."""
    events = debugger.outcome.history.events
    assert debugger.event is None
    assert [debugger.step() for _ in events] == events
    assert debugger.step() == events[-1]
    assert debugger.position == len(events)
    assert [debugger.back() for _ in events] == [*reversed(events[:-1]), None]
    assert debugger.back() is None
    assert debugger.step(4) == events[3]
    assert debugger.back(2) == events[1]
    assert debugger.step(10_000) == events[-1]


def test_any_place_can_be_gone_to(debugger):
    """From the beginning to the end, and nowhere else."""
    end = len(debugger.outcome.history)
    assert debugger.goto(end) == debugger.outcome.history.events[-1]
    assert debugger.goto(0) is None
    assert debugger.goto(7).seq == 6
    for place in (-1, end + 1):
        with pytest.raises(ValueError, match=f"there is no place {place} in a run of {end} events; give 0 to {end}"):
            debugger.goto(place)
    assert debugger.position == 7


def test_until_goes_to_the_next_event_of_a_message_or_kind(debugger):
    """Then to the one after; where there is none, nothing moves."""
    first = debugger.until(message="api-1:2")
    assert (first.kind, debugger.event) == ("add", first)
    assert debugger.until(kind="reserved").message == "api-1:1"
    assert debugger.until(message="api-1:2", kind="reserved").message == "api-1:2"
    assert debugger.until(kind="crash").process == "worker-1"
    here = debugger.position
    assert debugger.until(kind="crash") is None
    assert debugger.until(message="nobody") is None
    assert debugger.position == here


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "say until what: message=..., kind=..., or both"),
        ({"kind": "exploded"}, "no event is of kind 'exploded'; kinds are: a"),
    ],
)
def test_until_wants_something_that_can_happen(debugger, arguments, text):
    """A word that is no kind is told with those that are."""
    with pytest.raises(ValueError) as caught:
        debugger.until(**arguments)
    assert str(caught.value).startswith(text)


def test_why_is_answered_by_what_happened_so_far(debugger):
    """The chain of causes ends here, not at the end of the run."""
    debugger.until(message="api-1:2", kind="start")
    before = debugger.why("api-1:2")
    assert "reserved it" in before
    assert "crashed" not in before
    debugger.step(1000)
    assert "crashed" in debugger.why("api-1:2")
    debugger.goto(1)
    with pytest.raises(ValueError, match="api-1:2"):
        debugger.why("api-1:2")


def test_the_state_is_that_of_this_place(debugger):
    """Counts, who runs what, and who is in trouble: before, at and after the crash."""
    assert debugger.state() == type(debugger.state())(t=0, counts={}, running=[], trouble={})
    debugger.until(message="api-1:2", kind="start")
    state = debugger.state()
    assert state.t == debugger.event.t
    assert state.counts == {"mail": {"ready": 1, "delayed": 0, "reserved": 1, "dead": 0}}
    assert state.running == [("api-1:2", "worker-1", 1)]
    assert state.trouble == {}
    debugger.until(kind="crash")
    state = debugger.state()
    assert state.running == []
    assert state.trouble == {"worker-1": "down"}
    assert state.counts["mail"]["reserved"] == 1
    debugger.step()
    assert debugger.state().counts["mail"] == {"ready": 2, "delayed": 0, "reserved": 0, "dead": 0}
    debugger.step(1000)
    assert debugger.state().counts == {"mail": {"ready": 1, "delayed": 0, "reserved": 0, "dead": 0}}


# -- choices


def test_choices_have_their_place_in_time(debugger):
    """What is drawn between two events is found at the place between them, boring draws too."""
    debugger.until(message="api-1:2", kind="stored")
    (choice,) = debugger.choices_here()
    assert (choice.draw, choice.value, choice.n) == (("lost_reply", "api-1:2", 0), 1, 2)
    assert debugger.choices[choice.number] is choice
    debugger.until(message="api-1:1", kind="start")
    assert [choice.draw[0] for choice in debugger.choices_here()] == ["slow", "noise", "crash", "crash"]
    assert [choice.value for choice in debugger.choices_here()] == [0, 0, 0, 0]
    assert [choice.number for choice in debugger.choices] == list(range(debugger.outcome.draws))
    assert sorted(choice.position for choice in debugger.choices) == [choice.position for choice in debugger.choices]


def test_what_if_the_bug_had_not_been_met(debugger):
    """Another value of one draw is another run; all else is repeated, and the debugger stays where it is."""
    debugger.goto(5)
    choices = {choice.draw: choice.number for choice in debugger.choices}
    for draw in BUG:
        other = debugger.what_if(choices[draw], 0)
        assert not other.failed
        assert other.entries == {one: value for one, value in BUG.items() if one != draw}
    assert debugger.what_if(("slow", "api-1:2", 0), 6).violations == []
    assert sentence(debugger.what_if(("slow", "api-1:2", 0), 99)) == sentence(debugger.outcome)
    assert debugger.position == 5
    assert debugger.outcome.entries == BUG


def test_what_if_something_else_had_gone_wrong(debugger):
    """A boring draw can be made to happen."""
    other = debugger.what_if(("lost_reply", "api-1:3", 0), 1)
    assert other.entries == {**BUG, ("lost_reply", "api-1:3", 0): 1}
    assert other.fired["lost_reply"] == 2


@pytest.mark.parametrize(
    ("which", "value", "text"),
    [
        (10_000, 1, "the run has no draw 10000; it has 14, numbered from 0"),
        (-1, 1, "the run has no draw -1"),
        (("crash", "nobody", 0), 1, r"the run has no draw \('crash', 'nobody', 0\)"),
        (("lost_reply", "api-1:1", 0), 2, "draw 0 cannot be 2; give 0 to 1"),
        (0, -1, "draw 0 cannot be -1; give 0 to 1"),
    ],
)
def test_what_if_wants_a_draw_and_a_value_that_it_can_have(debugger, which, value, text):
    """Nothing is run for a question that has no answer."""
    with pytest.raises(ValueError, match=text):
        debugger.what_if(which, value)


# -- runs that cannot be repeated


def test_another_run_is_not_debugged():
    """One that does not come again the same would be explained wrongly: the first event that differs is named."""
    found = replay(ToyQueue(), 70, BUG)
    with pytest.raises(
        NotReproducible, match=r"the run of seed 70, repeated, is another one: event 8 was `.*fault.*` and then `.*accepted"
    ):
        Debugger(ToyQueue(), msgspec.structs.replace(found, entries={}))
    with pytest.raises(NotReproducible, match="their events are equal, and what came of them is not"):
        Debugger(ToyQueue(), msgspec.structs.replace(found, trace="x"))


def test_a_broken_run_is_told():
    """As everywhere."""

    def run(tape):
        raise ZeroDivisionError

    with pytest.raises(RunBroken):
        Debugger(run, replay(ToyQueue(), 70, BUG))


def test_a_run_that_nobody_places_has_its_choices_at_the_beginning():
    """Draws then have no place in time, but can still be changed."""

    def run(tape):
        value = tape.draw("lucky", 2)
        made = scenario(body, app=None)(Tape(0, Quiet()))
        return msgspec.structs.replace(made, entries=dict(tape.entries), virtual=float(value))

    async def body(world):
        pass

    debugger = Debugger(run, run(Tape(0, Quiet())))
    assert [choice.position for choice in debugger.choices] == [0]
    assert debugger.what_if(0, 1).virtual == 1.0


def test_time_is_the_latest_so_far(debugger):
    """In nanoseconds."""
    debugger.goto(3)
    assert debugger.state().t == 3 * NANOSECONDS


def test_the_real_simulator_takes_what_the_decorator_gives():
    """A scenario of one message, explored with all faults, and its draws have places in its history."""
    shop = taskq.App()
    queue = shop.queue("mail", reservation_timeout=2.0, reserve_wait=0.5)

    @queue.task(min_backoff=0.1, max_backoff=0.2)
    async def greet(name: str) -> None:
        pass

    async def scenario(world):
        await greet.enqueue_async("Ada")
        await world.drained()
        raise LookupError("the end")

    error = failing(taskq_testing.simulation(app=shop, seeds=3, workers=2)(scenario))
    assert isinstance(error.__cause__, LookupError)
    assert error.failure.smallest.entries == {}
    debugger = Debugger(error.run, error.failure.smallest)
    assert debugger.until(kind="stored").queue == "mail"
    assert {0, len(debugger.outcome.history)} != {choice.position for choice in debugger.choices} != {0}
