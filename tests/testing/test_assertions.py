"""What is said of a message, how it is compared, and what a failure says."""

import dataclasses
import re
from datetime import timedelta

import pytest

import taskq
from taskq_testing.harness.assertions import Pending, duration, expect, no_match, unwanted
from taskq_testing.harness.matching import ANY


@dataclasses.dataclass
class User:
    name: str
    email: str


app = taskq.App()
mail = app.queue("mail")


@mail.task
def greet(name: str, language: str = "en") -> None: ...


@mail.task
def invite(context: taskq.Context, user: User) -> None: ...


@mail.task
def raw(message: taskq.Message) -> None: ...


ADA = Pending(task="greet", queue="mail", args=("ada", "en"))
LATER = Pending(
    task="greet",
    queue="mail",
    args=("bob", "fr"),
    delay=3600.0,
    attempt=3,
    name="hello",
    once=60.0,
    state="delayed",
    headers={"a": "1"},
)

BYTES = Pending(task="greet", queue="mail", args=("eve", "en"), name=b"hello")


def compare(pending, task=greet, **expected):
    return [tuple(found) for found in expect(task.name, task, expected).differences(pending)]


MATCHING = [
    (ADA, {}),
    (ADA, {"args": ANY}),
    (ADA, {"args": ()}),
    (ADA, {"args": ("ada",)}),
    (ADA, {"args": ("ada", "en")}),
    (ADA, {"args": [ANY, str]}),
    (ADA, {"kwargs": {"language": "en"}}),
    (ADA, {"args": ("ada",), "kwargs": {"language": re.compile("^e")}}),
    (ADA, {"delay": 0, "name": None, "once": False, "attempt": 1, "queue": "mail", "headers": {}}),
    (LATER, {"delay": 3600}),
    (LATER, {"delay": 3600.0009}),
    (LATER, {"delay": timedelta(hours=1)}),
    (LATER, {"delay": pytest.approx(3500, rel=0.1)}),
    (LATER, {"delay": lambda seconds: seconds > 60}),
    (LATER, {"delay": float}),
    (LATER, {"delay": ANY}),
    (LATER, {"name": "hello"}),
    (LATER, {"name": b"hello"}),
    (LATER, {"name": re.compile("^h")}),
    (BYTES, {"name": "hello"}),
    (LATER, {"once": True}),
    (LATER, {"once": 60}),
    (LATER, {"once": timedelta(minutes=1)}),
    (LATER, {"attempt": 3, "headers": {"a": "1"}}),
]
DIFFERING = [
    (ADA, {"args": ("bob",)}, [("name", "'bob'", "'ada'")]),
    (ADA, {"kwargs": {"language": "fr"}}, [("language", "'fr'", "'en'")]),
    (ADA, {"delay": 0.5}, [("delay", "500 ms", "0 s")]),
    (LATER, {"delay": 3601}, [("delay", "1 h 1 s", "1 h")]),
    (LATER, {"delay": timedelta(minutes=30)}, [("delay", "30 min", "1 h")]),
    (LATER, {"delay": pytest.approx(60)}, [("delay", repr(pytest.approx(60)), "1 h")]),
    (LATER, {"delay": True}, [("delay", "True", "1 h")]),
    (ADA, {"name": "hello"}, [("name", "'hello'", "None")]),
    (LATER, {"name": b"other"}, [("name", "b'other'", "b'hello'")]),
    (ADA, {"once": True}, [("once", "True", "False")]),
    (LATER, {"once": 61}, [("once", "61", "60.0")]),
    (LATER, {"attempt": 1, "queue": "post"}, [("attempt", "1", "3"), ("queue", "'post'", "'mail'")]),
]


@pytest.mark.parametrize(("pending", "expected"), MATCHING)
def test_what_is_said_matches(pending, expected):
    """Only what is said is compared, partially and with wildcards; a delay within a millisecond."""
    assert compare(pending, **expected) == []


@pytest.mark.parametrize(("pending", "expected", "found"), DIFFERING)
def test_what_is_said_differs(pending, expected, found):
    """A difference names the parameter or the field, and times in units for people."""
    assert compare(pending, **expected) == found


def test_a_context_is_no_argument():
    """Parameters are counted and named without the context, and an argument is compared by its fields."""
    message = Pending(task="invite", queue="mail", args=(User("ada", "ada@example.org"),))
    assert compare(message, invite, args=({"name": "ada"},)) == []
    assert compare(message, invite, kwargs={"user": {"name": "bob"}}) == [("user.name", "'bob'", "'ada'")]


def test_arguments_of_a_message_handler_have_numbers():
    """A handler that takes messages as they are has no parameters to name its arguments by."""
    message = Pending(task="raw", queue="mail", args=(1, 2))
    assert compare(message, raw, args=(1, 3)) == [("args[1]", "3", "2")]
    assert compare(message, raw, args=(1, 2, 3)) == [("args[2]", "3", "nothing")]


def test_a_task_without_registration_is_compared_by_name_and_position():
    """A task of another program is known by its name only."""
    theirs = Pending(task="theirs", queue="mail", args=(1,))
    assert expect("theirs", None, {"args": (1,)}).differences(theirs) == []
    assert expect(None, None, {"args": (1,)}).differences(theirs) == []
    assert expect("ours", None, {}).differences(theirs) == [("task", "ours", "theirs")]


MISTAKES = [
    (greet, {"args": ("a", "b", "c")}, "takes 2 arguments (name, language) and args= gives 3"),
    (greet, {"kwargs": {"nmae": "ada"}}, "task 'greet' has no parameter 'nmae'; it has: name, language"),
    (raw, {"kwargs": {"name": "ada"}}, "task 'raw' has no parameter 'name'; it has: none that are known here"),
    (greet, {"language": "en"}, "language= says nothing of a message; known are: args, kwargs, queue,"),
]


@pytest.mark.parametrize(("task", "expected", "text"), MISTAKES)
def test_a_mistaken_expectation_is_refused(task, expected, text):
    """A misspelt word or parameter raises, or else `refute_enqueued` would pass for ever."""
    with pytest.raises(TypeError, match=re.escape(text)):
        expect(task.name, task, expected)


def test_a_failure_shows_the_nearest_misses_first():
    """The message with the fewest differences comes first, those of other tasks last, each with what differs."""
    other = Pending(task="invite", queue="mail", args=("ada", "en"))
    expectation = expect("greet", greet, {"args": ("ada",), "delay": timedelta(hours=1)})
    text = no_match(expectation, [other, Pending(task="greet", queue="mail", args=("eve", "en")), LATER, ADA], count=None)
    assert text == (
        "no message matches greet(name='ada'), delay 1 h\n"
        "\n"
        "4 do not, the closest first:\n"
        "  greet('bob', 'fr') on mail, due in 1 h, attempt 3, named 'hello', once in 1 min\n"
        "    name  expected 'ada'\n"
        "          but is   'bob'\n"
        "  greet('ada', 'en') on mail, due now\n"
        "    delay  expected 1 h\n"
        "           but is   0 s\n"
        "  greet('eve', 'en') on mail, due now\n"
        "    name   expected 'ada'\n"
        "           but is   'eve'\n"
        "    delay  expected 1 h\n"
        "           but is   0 s\n"
        "  invite('ada', 'en') on mail, due now\n"
        "    task   expected greet\n"
        "           but is   invite\n"
        "    delay  expected 1 h\n"
        "           but is   0 s"
    )


def test_a_failure_by_count_shows_what_matches():
    """Too many and too few are told with the messages that do match."""
    assert no_match(expect("greet", greet, {}), [ADA, ADA], count=1) == (
        "2 messages match greet(); expected is 1\n  greet('ada', 'en') on mail, due now\n  greet('ada', 'en') on mail, due now"
    )
    assert no_match(expect("greet", greet, {}), [], count=2) == "no message matches greet(); expected are 2\n\nNo message waits."


def test_a_failure_adds_what_may_explain_it():
    """Lines beside the messages stand at the end."""
    assert no_match(expect(None, None, {}), [], count=None, beside=["it ran at 3 s"]).endswith(
        "any task()\n\nNo message waits.\nit ran at 3 s"
    )


def test_long_lists_are_cut():
    """Five messages are shown, and how many more there are."""
    misses = no_match(expect("greet", greet, {"args": ("eve",)}), [ADA] * 7, count=None)
    assert misses.count("but is") == 5
    assert misses.endswith("  and 2 more")
    text = unwanted(expect("greet", greet, {}), [ADA] * 7)
    assert text.startswith("7 messages match greet(); expected is none\n")
    assert (text.count("due now"), text.endswith("  and 2 more")) == (5, True)


def test_states_in_words():
    """A message that runs or is dead says so instead of when it is due."""
    assert str(Pending(task="greet", queue="mail", state="reserved")) == "greet() on mail, runs now"
    assert str(Pending(task="greet", queue="mail", state="dead", reason="failed")) == "greet() on mail, dead: failed"
    assert str(Pending(task="greet", queue="mail", once=True)) == "greet() on mail, due now, once"


DURATIONS = [
    (0, "0 s"), (0.0005, "0.5 ms"), (0.25, "250 ms"), (1, "1 s"), (1.5, "1.5 s"), (60, "1 min"), (3599.9999999, "1 h"),
    (5400, "1 h 30 min"), (90061, "1 d 1 h 1 min 1 s"), (-60, "-1 min"), (864000, "10 d"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_durations_in_words(seconds, text):
    """Seconds are told in the units that people use."""
    assert duration(seconds) == text
