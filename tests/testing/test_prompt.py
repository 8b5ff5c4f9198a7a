"""The debugger's command line: what one types, and what one reads."""

import io

import pytest
from toys import BUG, ToyQueue

from taskq_testing.debug import Debugger
from taskq_testing.debug.prompt import Prompt, interact
from taskq_testing.explore.replay import replay


def talk(*commands):
    """Type commands and return the answer to each, without the greeting."""
    output = io.StringIO()
    prompt = Prompt(Debugger(ToyQueue(), replay(ToyQueue(), 70, BUG)), io.StringIO(), output)
    answers = []
    for command in commands:
        output.seek(0)
        output.truncate()
        prompt.onecmd(command)
        answers.append(output.getvalue().removesuffix("\n"))
    return answers


def test_a_session_from_greeting_to_quit():
    """What is wrong comes first; commands are answered until one leaves."""
    output = io.StringIO()
    interact(Debugger(ToyQueue(), replay(ToyQueue(), 70, BUG)), io.StringIO("step\n\nquit\nstep\n"), output)
    text = output.getvalue()
    assert text.startswith(
        "message api-1:2 was accepted and is neither done nor dead (invariant 1).\n26 events; `help` lists the commands.\n"
    )
    assert "> 1/26  1.000s" in text
    assert "> 2/26  2.000s" in text
    assert "> 3/26" not in text


def test_the_end_of_the_input_leaves_too():
    """Ctrl-D, or a script that is over."""
    output = io.StringIO()
    interact(Debugger(ToyQueue(), replay(ToyQueue(), 70, {})), io.StringIO("goto 2\n"), output)
    assert output.getvalue().startswith("Nothing is wrong with this run.\n")
    assert "> 2/" in output.getvalue()


def test_moving_shows_where_one_is():
    """The place, the time, who and what; a cross where a broken promise points."""
    answers = talk("step", "step 8", "back 3", "goto 0", "until message=api-1:2", "until kind=crash", "")
    places = [answer.split("/")[0] for answer in answers]
    assert places == ["> 1", "> 9", "> 6", "> 0", "> 7", "> 20", "> 21"]
    assert answers[3] == "> 0/26  the beginning"
    assert answers[4] == "> 7/26  7.000s  api-1  ✗ enqueued api-1:2, task greet"
    assert answers[5] == "> 20/26  20.000s  worker-1  crashed"


def test_the_neighbourhood_can_be_listed():
    """With the place marked, cut at both ends of the run."""
    _, around, _, start = talk("goto 20", "list 1", "goto 0", "list 2")
    assert [line.split("/")[0] for line in around.splitlines()] == ["  19", "> 20", "  21"]
    assert [line.split("/")[0] for line in start.splitlines()] == ["> 0", "  1", "  2"]
    assert len(talk("goto 20", "list")[1].splitlines()) == 11
    assert len(talk("goto 26", "list")[1].splitlines()) == 6


def test_state_and_why_are_told_in_words():
    """As of this place."""
    _, running, _, crashed, why = talk("until message=api-1:2 kind=start", "state", "until kind=crash", "state", "why api-1:2")
    assert running == "19.000s\nmail: 1 ready, 1 reserved\nworker-1 runs api-1:2, attempt 1"
    assert crashed == "20.000s\nmail: 1 ready, 1 reserved\nworker-1 is down"
    assert why.startswith("api-1:2: task greet, queue mail.")


def test_choices_are_listed_with_what_they_could_be():
    """Those of this place, or all."""
    _, here, everything, nothing = talk("until message=api-1:2 kind=stored", "choices", "choices all", "choices nowhere")
    assert here == nothing == "1: 1 of 0 to 1  after event 8  lost reply of api-1:2"
    assert len(everything.splitlines()) == 14
    assert talk("choices") == ["nothing is drawn here; `choices all` shows all draws of the run"]


def test_what_if_tells_what_comes_of_it():
    """Whether it still fails, and where the runs part."""
    saved, same, other = talk("what_if 1 0", "what_if 0 0", "what_if 2 1")
    assert saved.startswith("Nothing is wrong then.\nThe first difference: event 8 was `9.000000 s fault api-1")
    assert same.endswith("(invariant 1).\nNot one event is another.")
    assert other.startswith(
        "Message api-1:2 was accepted and is neither done nor dead (invariant 1).\nThe first difference: event 1"
    )


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("step much", "'much' is no number; give a whole one of at least 0"),
        ("goto", "'' is no number"),
        ("goto 27", "there is no place 27 in a run of 26 events; give 0 to 26"),
        ("until", "say until what: message=..., kind=..., or both"),
        ("until size=3", "'size' is nothing to wait for; give message=..., kind=..., or both"),
        ("until message='x", "No closing quotation"),
        ("until kind=suspend", "there is no such event any more; `back` or `goto 0` goes back"),
        ("why nobody", "nobody"),
        ("what_if 1", "give the number of a draw and its value, such as: what_if 12 1"),
        ("what_if 99 1", "the run has no draw 99; it has 14, numbered from 0"),
        ("jump 3", "'jump' is no command; `help` lists them"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(command, text):
    """And the session goes on."""
    answer, after = talk(command, "step")
    assert text in answer
    assert "\n" not in answer
    assert after.startswith("> 1/26")


def test_every_command_has_help():
    """Each names itself and its arguments."""
    (listing,) = talk("help")
    for name in ("back", "choices", "goto", "list", "quit", "state", "step", "until", "what_if", "why"):
        assert name in listing.split()
        assert talk(f"help {name}")[0].startswith(f"`{name}")
    assert "Undocumented" not in listing
