"""The schema of a history: its table and its kinds are one, files go there and back, and a bad line is named."""

import re

import msgspec
import pytest
from testing.histories import Story

from taskq_testing import history
from taskq_testing.history import KINDS, QUEUE_FIELDS, SCHEMA, TASK_FIELDS, Event, History

TABLE = dict(re.findall(r"^``(\w+)`` +(.+(?:\n {22}.+)*)", history.__doc__, re.MULTILINE))


def test_the_table_has_every_kind():
    """The docstring describes each kind of event, and no other."""
    assert set(TABLE) == KINDS
    assert len(KINDS) == 49


def test_the_table_names_fields_that_exist():
    """Every field that the table mentions is one of an event's, and every field is mentioned."""
    mentioned = {name for text in TABLE.values() for name in re.findall(r"`(\w+)`", text)}
    fields = set(Event.__struct_fields__)
    assert mentioned - fields - KINDS <= {"QUEUE_FIELDS", "TASK_FIELDS", "Retry"}
    assert fields - mentioned <= {"seq", "t", "kind", "process"}


def test_the_docstring_speaks_of_kinds_and_fields_that_exist():
    """What the notes above the table quote is a kind, a field, a policy's field, or a name of this library."""
    notes = history.__doc__.split("====", 1)[0]
    known = {*KINDS, *Event.__struct_fields__, *QUEUE_FIELDS, *TASK_FIELDS, "Event", "why", "process_one", "running"}
    assert [word for word in re.findall(r"`(\w+)`", notes) if word not in known] == []


def full():
    """An event with every field set."""
    return Event(
        3, 4, "start", process="p", queue="q", message="m", task="t", copy=1, receipt=2, run=3, op=4, attempt=5, worker=6, n=7,
        due=8, expires=9, delay=0.5, ttl=1.5, key="k", owner="o", outcome="ok", reason="r", data={"a": [1, None]},
    )  # fmt: skip


def test_there_and_back():
    """A history comes back from its lines as it was, every field of every event included."""
    story = Story().add(0, "m", due=1, key="k", ttl=9.0).perform(1, "m", "w1", 1, until=2).history
    story.events.append(full())
    again = History.loads(story.dumps())
    assert again.events == story.events
    assert again.dumps() == story.dumps()
    assert History.loads(History().dumps()).events == []
    assert all(
        getattr(full(), name) != Event.__struct_defaults__[index - 3]
        for index, name in enumerate(Event.__struct_fields__)
        if index >= 3
    )


def test_lines_hold_only_what_is_set():
    """A line is as short as its event: fields that do not apply are left out."""
    lines = Story().serve(2, "w1").history.dumps().splitlines()
    assert msgspec.json.decode(lines[0]) == {"schema": SCHEMA}
    assert lines[-1] == b'{"seq":2,"t":2000000000,"kind":"consumer","process":"w1","queue":"q","outcome":"running"}'


def test_files(tmp_path):
    """A history is saved to a file and loaded from it."""
    story = Story().add(0, "m").history
    story.save(tmp_path / "run.jsonl")
    assert History.load(str(tmp_path / "run.jsonl")).events == story.events


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (b"", "line 1 of a history has to be"),
        (b'{"schema": 2}\n', 'line 1 of a history has to be {"schema": 1}; record it with this version of taskq_testing'),
        (b"{}\n", "line 1 of a history has to be"),
        (b"[]\n", "line 1 of the history is no event: Expected `object`"),
        (b"{nonsense\n", "line 1 of the history is no event"),
        (b'{"schema": 1}\n{"seq": 0, "t": 0, "kind": "rest"}\n{"seq": 1\n', "line 3 of the history is no event"),
        (b'{"schema": 1}\n{"seq": 0, "t": 0}\n', "line 2 of the history is no event: .*`kind`"),
        (b'{"schema": 1}\n{"seq": 0, "t": "0", "kind": "rest"}\n', "line 2 of the history is no event: .*`int`"),
        (b'{"schema": 1}\n{"seq": 0, "t": 0, "kind": "rested"}\n', "line 2 of the history is of no known kind: 'rested'"),
        (b'{"schema": 1}\n\n', "line 2 of the history is no event"),
    ],
    ids=range(10),
)
def test_bad_lines_are_named(lines, text):
    """Whatever is wrong with a file, the error says in which line."""
    with pytest.raises(ValueError, match=text):
        History.loads(lines)


def test_recording_and_finding():
    """Events are numbered as they come, and found by kind and by message."""
    recorded = History()
    recorded.record(5, "add", message="a")
    recorded.record(6, "stored", message="a")
    recorded.record(6, "add", message="b")
    assert [event.seq for event in recorded] == [0, 1, 2]
    assert len(recorded) == 3
    assert [event.message for event in recorded.of("add", "rest")] == ["a", "b"]
    assert [event.kind for event in recorded.about("a")] == ["add", "stored"]
