"""Carrying out a run, and saying where two runs part."""

import pytest
from toys import BUG, ToyQueue, outcome

from taskq_testing.explore.replay import RunBroken, carry_out, difference, event_text, replay
from taskq_testing.history import History
from taskq_testing.tape import Quiet, Tape


def history(*kinds):
    events = History()
    for kind in kinds:
        events.record(1_500_000_000, kind, process="worker-1", message="api-1:2")
    return events


def test_a_replay_is_boring_but_for_its_entries():
    """Only what is asked for happens, under the seed that is asked for."""
    result = replay(ToyQueue(), 5, BUG)
    assert result.entries == BUG
    assert result.seed == 5
    assert result.failed
    assert not replay(ToyQueue(), 5, {}).failed


def test_equal_histories_do_not_differ():
    """There is nothing to say."""
    assert difference(history("stored", "reserved"), history("stored", "reserved")) == ""


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (
            ["stored", "reserved"],
            ["stored", "expired"],
            "event 1 was `1.500000 s reserved worker-1 message=api-1:2` and then `1.5",
        ),
        (["stored"], ["stored", "due"], "event 1 was none, for the history ended and then `1.500000 s due worker-1"),
        (["stored", "due"], ["stored"], "event 1 was `1.500000 s due worker-1 message=api-1:2` and then none, for the history"),
    ],
)
def test_the_first_event_that_differs_is_named(first, second, text):
    """With what it was and what it is, or that there is none."""
    assert difference(history(*first), history(*second)).startswith(text)


def test_events_of_one_kind_can_differ_too():
    """Every field counts: the time, a receipt, a policy."""
    for one, other in [({"receipt": 1}, {"receipt": 2}), ({"data": {"n": 1}}, {"data": {"n": 2}}), ({"t": 5}, {"t": 6})]:
        first, second = History(), History()
        for events, fields in ((first, one), (second, other)):
            events.record(fields.get("t", 0), "reserved", **{name: value for name, value in fields.items() if name != "t"})
        assert difference(first, second).startswith("event 0 was `")


def test_an_event_is_told_with_what_it_carries():
    """Fields at their defaults are left out."""
    events = History()
    events.record(0, "queue", queue="mail", data={"buffer": 3})
    events.record(2_000_000, "released", process="w", message="m", receipt=4, delay=0.5)
    assert [event_text(event) for event in events] == [
        "0.000000 s queue queue=mail data={'buffer': 3}",
        "0.002000 s released w message=m receipt=4 delay=0.5",
    ]


def test_an_exception_of_the_machinery_is_no_outcome():
    """It goes up as such, with its cause and the seed."""

    def run(tape):
        raise LookupError("no such thing")

    with pytest.raises(RunBroken, match="the run of seed 8 broke before it was judged.*LookupError: no such thing") as caught:
        carry_out(run, Tape(8, Quiet()))
    assert isinstance(caught.value.__cause__, LookupError)


def test_an_interrupt_goes_through():
    """Ctrl-C is not a broken run."""

    def run(tape):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(run, Tape(8, Quiet()))


def test_an_outcome_passes_unchanged():
    """What the run returns is what one gets."""
    made = []

    def run(tape):
        made.append(outcome(tape, History()))
        return made[-1]

    assert carry_out(run, Tape(8, Quiet())) is made[0]
