"""The transition tables: whole, reachable, and clear about what cannot happen."""

import pytest

from taskq.core.lifecycle import CONSUMER, MESSAGE, Table, advance, mermaid
from taskq.errors import ConfigError

tables = pytest.mark.parametrize("table", [MESSAGE, CONSUMER], ids=lambda table: table.what)


@tables
def test_every_state_can_be_reached(table):
    """No row of a table is unreachable from its start."""
    reached, todo = {table.start}, [table.start]
    while todo:
        for after in table.moves[todo.pop()].values():
            if after not in reached:
                reached.add(after)
                todo.append(after)
    assert reached == set(table.moves)


def test_a_state_without_a_row_is_refused():
    """A table whose start or moves name an unknown state cannot be made."""
    for start, moves in [("nowhere", {"here": {}}), ("here", {"here": {"go": "nowhere"}})]:
        with pytest.raises(ConfigError, match="'nowhere' is not a state of the lamp; add a row for it"):
            Table("lamp", start, moves)


def test_a_message_goes_through_its_life():
    """From new over a retry to done; what cannot happen says what can."""
    state = MESSAGE.start
    for event in ("send_delayed", "due", "reserve", "extend", "release_delayed", "due", "reserve", "ack"):
        state = advance(MESSAGE, state, event)
    assert state == "done"
    with pytest.raises(ValueError, match="'ack' cannot happen to a message that is done; there: nothing"):
        advance(MESSAGE, "done", "ack")
    with pytest.raises(ValueError, match="'ack' cannot happen to a message that is ready; there: reserve, purge"):
        advance(MESSAGE, "ready", "ack")
    with pytest.raises(ValueError, match="a message is never 'lost'; it is one of: new, delayed"):
        advance(MESSAGE, "lost", "ack")


def test_only_what_is_reserved_can_be_settled():
    """No other state knows how to be acknowledged, released or put aside."""
    settling = {"ack", "release", "release_delayed", "dead_letter", "extend"}
    assert [state for state, events in MESSAGE.moves.items() if settling & set(events)] == ["reserved"]


def test_a_consumer_can_be_stopped_in_every_state():
    """Stopping twice, or what never ran, is no error; and a stopped consumer starts again."""
    assert all("stop" in events for events in CONSUMER.moves.values())
    assert advance(CONSUMER, "stopped", "start") == "running"


@tables
def test_the_diagram_has_every_move(table):
    """Each event stands on an arrow from its state, and ends are marked."""
    lines = mermaid(table).splitlines()
    assert lines[:2] == ["stateDiagram-v2", f"    [*] --> {table.start}"]
    for state, events in table.moves.items():
        for event, after in events.items():
            assert any(
                line.startswith(f"    {state} --> {after}: ") and event in line.split(": ")[1].split(", ") for line in lines
            )
        assert (f"    {state} --> [*]" in lines) is (not events)
