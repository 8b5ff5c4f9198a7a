"""The timeline without a browser: facts put together, lanes and bars, lines of text, the page's safety, the command line."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testing import fleets
from testing.sample_history import MESSAGE, Script, fleet, incident

from taskq_testing import timeline
from taskq_testing.explore.strategies import Uniform
from taskq_testing.history import KINDS, NANOSECONDS, Event, History
from taskq_testing.outcome import Violation
from taskq_testing.simulator import scenario
from taskq_testing.tape import Tape
from taskq_testing.timeline.__main__ import main
from taskq_testing.timeline.facts import gather
from taskq_testing.timeline.picture import paint
from taskq_testing.timeline.words import clock, describe, duration

STATES = ("ready", "delayed", "reserved", "dead")
NASTY = "</script><script>window.pwned=1</script><!--<img src=x onerror=window.pwned=2>&amp;\u2028"

events = st.builds(
    Event,
    seq=st.just(0),
    t=st.integers(0, 20 * NANOSECONDS),
    kind=st.sampled_from(sorted(KINDS)),
    process=st.sampled_from(["", "api", "worker-1", "worker-2"]),
    queue=st.sampled_from(["", "mail"]),
    message=st.sampled_from(["", "m1", "m2", NASTY]),
    task=st.sampled_from(["", "greet"]),
    copy=st.integers(0, 1),
    receipt=st.integers(0, 2),
    run=st.integers(0, 2),
    attempt=st.integers(0, 2),
    worker=st.integers(0, 1),
    n=st.integers(0, 2),
    due=st.integers(0, 30 * NANOSECONDS),
    expires=st.integers(0, 30 * NANOSECONDS),
    delay=st.sampled_from([-1.0, 0.0, 1.5]),
    key=st.sampled_from(["", "k"]),
    outcome=st.sampled_from(["", "ok", "error", "ack", "reserved", "ready", "delayed", "both", "running"]),
    reason=st.sampled_from(["", "ValueError: no\nsuch\x1b[31m thing", NASTY]),
    data=st.sampled_from([None, {"ready": 1}]),
)


def embedded(page):
    """Return the data of a page as its scripts get it."""
    return json.loads(re.search(r"<script type='application/json' id='run'>(.*?)</script>", page, re.DOTALL)[1])


def states_at(history, seq):
    """Count each queue's messages by state after an event, in the plainest way."""
    state, queues = {}, {}
    after = {"due": "ready", "expired": "ready", "reserved": "reserved", "acked": None, "dead": "dead"}
    for event in history.events[: seq + 1]:
        if event.kind == "stored":
            queues[event.message] = event.queue
        if event.kind in ("stored", "released"):
            state[event.message] = "delayed" if event.due else "ready"
        elif event.kind in after:
            state[event.message] = after[event.kind]
    return Counter((queues[message], at) for message, at in state.items() if at)


# -- facts


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_a_plain_replay(seed):
    """After every event the counts by state are what following each message by itself gives."""
    history = fleet(400, seed)
    told = dict.fromkeys(("mail", "reports"), (0, 0, 0, 0))
    changes = {}
    for index, queue, sizes in gather(history).counts:
        changes.setdefault(index, {})[queue] = sizes
    for index in range(len(history)):
        told.update(changes.get(index, {}))
        plain = states_at(history, index)
        assert told == {queue: tuple(plain[queue, state] for state in STATES) for queue in told}


def test_a_crash_cuts_off_runs_and_ends_other_troubles():
    """What ran in a crashed process is cut off there, and its suspension ends; what others run goes on."""
    say = Script()
    for number, process in ((1, "a"), (2, "b")):
        say(0.0, "reserved", process, queue="q", message=f"m{number}", receipt=number, expires=9.0)
        say(0.1, "start", process, queue="q", message=f"m{number}", receipt=number, run=1, attempt=1)
    say(1.0, "suspend", "a")
    say(2.0, "crash", "a")
    say(3.0, "spawn", "a")
    say(4.0, "rest")
    facts = gather(say.history)
    assert [(run.outcome, run.end and run.end.t) for run in facts.runs] == [("cut", 2 * NANOSECONDS), ("open", None)]
    assert [(span.what, span.until) for span in facts.spans] == [("suspended", 2 * NANOSECONDS), ("down", 3 * NANOSECONDS)]


def test_a_broker_that_forgets_keeps_only_what_it_restores():
    """After a rollback nothing is left but what was restored, in its state and with its owner."""
    say = Script()
    for number in (1, 2, 3):
        say(0.0, "stored", "api", queue="q", message=f"m{number}", task="t", op=number)
        say(0.1, "reserved", "w", queue="q", message=f"m{number}", receipt=number, expires=5.0)
    say(1.0, "rolled_back", "w", due=0.5)
    say(1.0, "restored", "w", queue="q", message="m1", outcome="reserved", receipt=1, expires=5.0)
    say(1.0, "restored", "w", queue="q", message="m2", outcome="ready")
    say(2.0, "stale", "w", message="m3", receipt=3, outcome="ack")
    say(2.0, "acked", "w", queue="q", message="m2", receipt=2)
    facts = gather(say.history)
    assert [r.end.kind for r in facts.reservations[:3]] == ["rolled_back"] * 3
    facts = gather(History(say.history.events[:-2]))
    assert {message: state for (message, _), (state, _) in facts.states.items()} == {"m1": "reserved", "m2": "ready"}
    assert facts.counts[-1] == (len(facts.events) - 1, "q", (1, 0, 1, 0))
    assert [(r.process, r.begin.message, r.end is None) for r in facts.reservations][2:] == [
        ("w", "m3", False),
        ("w", "m1", True),
    ]


def test_what_others_noticed_is_the_brokers_own():
    """An expiry that a worker's call brought to light is told of the broker, not of that worker."""
    say = Script()
    say(0.0, "reserved", "a", queue="q", message="m", receipt=1, expires=1.0)
    say(3.0, "expired", "b", queue="q", message="m", receipt=1)
    facts = gather(say.history)
    assert facts.events[1].process == ""
    assert facts.reservations[0].process == "a"


def test_late_clocks_are_shown_from_zero():
    """A history recorded by the wall clock begins at 0, and every moment in it is moved alike."""
    day = 20_000 * 86_400
    say = Script()
    say(day, "stored", "api", queue="q", message="m", due=day + 5)
    say(day + 5, "due", queue="q", message="m")
    assert "0.000s  api     stored m, due at 5.000s" in timeline.text(say.history).replace("broker", "broker")
    assert "5.000s  broker" in timeline.text(say.history)


@pytest.mark.slow
def test_counts_agree_with_the_simulated_broker():
    """In real simulated runs with all faults, whenever the broker counts its messages the timeline has the same counts."""
    run = scenario(fleets.mixed, app=fleets.mixed_app(), workers=3, faults="all")
    counted, faults = 0, Counter()
    for seed in range(12):
        outcome = run(Tape(seed, Uniform()))
        faults.update(event.kind for event in outcome.history)
        facts = gather(outcome.history)
        told = {index: sizes for index, _, sizes in facts.counts}
        for size in facts.by_kind["size"]:
            counted += 1
            assert told[max(index for index in told if index < size.seq)] == tuple(size.data[state] for state in STATES)
        page = embedded(timeline.html(outcome.history, violations=outcome.violations))
        assert all(told["why"][1:] for told in page["messages"].values())
        assert {lane["name"] for lane in page["lanes"] if lane["role"] == "worker"} == {"worker-1", "worker-2", "worker-3"}
    assert counted >= 12
    assert min(faults[kind] for kind in ("crash", "suspend", "expired", "released", "fault")) > 0


# -- lanes, bars and arrows


@pytest.mark.parametrize("seed", range(3))
def test_bars_of_a_row_never_lie_over_each_other(seed):
    """Runs and reservations of one process that are there at the same time have rows of their own."""
    picture = paint(gather(fleet(600, seed)), [])
    for bars, height in ((picture["runs"], "runs"), (picture["owned"], "owned")):
        rows = {}
        for bar in bars:
            assert bar["row"] < picture["lanes"][bar["lane"]][height]
            rows.setdefault((bar["lane"], bar["row"]), []).append((bar["from"], bar["to"]))
        assert any(row > 0 for _, row in rows)
        for spans in rows.values():
            assert all(first[1] <= second[0] for first, second in zip(sorted(spans), sorted(spans)[1:], strict=False))


def test_lanes_are_producers_queues_and_workers():
    """Each process and queue has its lane, by role and then by name as people count."""
    say = Script()
    say(0.0, "add", "api", queue="mail", message="m", op=1)
    for name in ("worker-10", "worker-9"):
        say(0.0, "spawn", name)
    say(0.1, "add", "worker-9", queue="mail", message="n", op=1)
    say(0.2, "reserved", "worker-9", queue="mail", message="m", receipt=1, expires=1.0)
    say(0.3, "size", "test", queue="mail", data={"ready": 0})
    lanes = [(lane["role"], lane["name"]) for lane in paint(gather(say.history), [])["lanes"]]
    assert lanes == [
        ("producer", "api"),
        ("producer", "worker-9"),
        ("queue", "mail"),
        ("worker", "worker-9"),
        ("worker", "worker-10"),
    ]


def test_retries_and_expiries_are_arrows_to_the_next_reservation():
    """A released and an expired reservation point to the next one of the same message; an acknowledged one does not."""
    history, violations = incident()
    picture = paint(gather(history), violations)
    assert [(arrow["why"], picture["owned"][arrow["to"]]["message"]) for arrow in picture["arrows"]] == [("expired", MESSAGE)]
    retried = paint(gather(fleet(300, 1)), [])
    released = Counter(arrow["why"] for arrow in retried["arrows"])["released"]
    assert released == sum(event.kind == "released" for event in fleet(300, 1)) > 3


def test_an_expired_reservation_ends_when_it_ran_out():
    """However late the broker notices, the bar ends where the reservation did; its extensions are on it."""
    say = Script()
    say(0.0, "reserved", "a", queue="q", message="m", receipt=1, expires=1.0)
    extended = say(0.9, "extended", "a", message="m", receipt=1, expires=2.0)
    say(7.0, "expired", queue="q", message="m", receipt=1)
    (bar,) = paint(gather(say.history), [])["owned"]
    assert (bar["to"], bar["outcome"], bar["extended"]) == (2 * NANOSECONDS, "expired", [extended])


# -- words and lines


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (2.5e-7, "250 ns"), (0.00025, "250 µs"), (0.2502, "250 ms"), (0.9999, "1 s"), (3.2, "3.2 s"), (59.94, "59.9 s")]
    + [(60, "1 min"), (125, "2 min 5 s"), (3600, "1 h"), (3780, "1 h 3 min"), (86_400, "1 d"), (90_000 + 86_400, "2 d 1 h")],
)
def test_durations_are_told_in_units_that_fit(seconds, words):
    """A length of time is told as people say it."""
    assert duration(seconds) == words


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_words(kind):
    """No kind of event is without a sentence, and none shows a placeholder."""
    event = Event(0, 0, kind, process="p", message="m", queue="q", key="k", owner="o", outcome="ack", data={"ready": 1})
    words = describe(event)
    assert words.strip(" ,:") == words
    assert not set("{}<>") & set(words)


INCIDENT = """\
✗ mail/api-1:1 was acknowledged at 5.202s by worker-1, whose reservation had run out at 4.110s
  0.102s  api-1     enqueued mail/api-1:1 (mail.greet), ready at once
  0.110s  worker-1  reserved mail/api-1:1 until 4.110s (delivery 1)
  0.112s  worker-1  began attempt 1 of mail/api-1:1
  1.000s  worker-1  is suspended: it stands still
          ... 3.11 s pass
  4.110s  broker    the reservation of mail/api-1:1 ran out: it is ready again
✗ 4.111s  worker-2  reserved mail/api-1:1 until 8.111s (delivery 2)
✗ 4.112s  worker-2  began attempt 1 of mail/api-1:1
  5.000s  worker-1  goes on
  5.200s  worker-1  the run of mail/api-1:1 ended well
✗ 5.202s  worker-1  acknowledged mail/api-1:1: done
  5.900s  worker-2  the run of mail/api-1:1 failed: ValueError: no such mailbox <b>ada@example.org<…
✗ 5.901s  worker-2  its release of mail/api-1:1 came too late and changed nothing
  6.000s  run       no faults from here on; what is left must drain in 30 s
  6.000s  run       the run is over"""


def test_a_failure_is_told_in_few_lines():
    """The violation comes first; then what concerns its message, with quiet time named and its events marked."""
    history, violations = incident()
    assert timeline.text(history, violations=violations) == INCIDENT


def test_text_tells_only_what_matters():
    """Messages and processes that have nothing to do with what was asked are left out, unless asked for."""
    history = fleet(300, 2)
    message = next(history.of("released")).message
    lines = timeline.text(history, messages=[message], limit=None).splitlines()
    others = {event.message for event in history} - {message, ""}
    told = {word for line in lines for word in re.findall(r"[\w]+/[\w-]+:\d+", line)}
    assert told == {message}
    assert others & set(re.findall(r"[\w]+/[\w-]+:\d+", timeline.text(history, limit=None)))
    touching = {event.process for event in history.about(message)}
    assert {line.split()[1] for line in lines if " pass" not in line} <= touching | {"broker", "run"}


def test_text_marks_a_violation_of_no_message():
    """A violation that names no message is told by the messages of its events."""
    history, _ = incident()
    acked = next(event for event in history.of("acked") if event.message != MESSAGE)
    told = timeline.text(history, violations=[Violation(20, "too many starts", "", (acked.seq,))])
    assert "✗ too many starts" in told
    assert "✗ 3.301s  worker-2  acknowledged mail/api-2:1: done" in told
    assert MESSAGE not in told


def test_text_keeps_its_limits():
    """No line is longer than asked, and of too many lines those next to the marked ones stay."""
    history = fleet(900, 1)
    marked = len(history) // 2
    while history.events[marked].kind != "acked":
        marked += 1
    event = history.events[marked]
    told = timeline.text(
        history,
        violations=[Violation(1, "x" * 200, event.message, (marked,))],
        messages={e.message for e in history},
        width=60,
        limit=20,
    ).splitlines()
    assert max(map(len, told)) == 60
    rows = [line for line in told[1:] if not re.search(r"\.\.\. .* (more|pass)$", line)]
    assert len(rows) == 20
    assert [index for index, line in enumerate(rows) if line.startswith("✗")] in ([9], [10])
    assert sum(int(line.split()[1]) for line in told if line.endswith(" more")) > 100


def test_text_without_violations_shows_both_ends():
    """Too long a run without a violation is told by its beginning and its end."""
    lines = timeline.text(fleet(900, 1), limit=10).splitlines()
    assert len(lines) == 11
    assert lines[5].strip().startswith("...")
    assert lines[-1].endswith("the run is over")


def test_a_reason_cannot_break_its_line():
    """Line breaks and control characters of a reason do not reach the terminal."""
    say = Script()
    say(0.0, "refused", "api", message="m", op=1, reason="TypeError: a\nb\x1b[31m\tc")
    assert timeline.text(say.history) == "  0.000s  api  could not enqueue m: TypeError: a b\ufffd[31m c"


# -- the page's safety


def test_nothing_in_a_history_can_become_markup():
    """Ids, reasons, names and titles arrive as they are in the data, and nowhere else as anything but text."""
    say = Script()
    say(0.0, "stored", NASTY, queue=NASTY, message=NASTY, task=NASTY, key=NASTY)
    say(1.0, "dead", NASTY, message=NASTY, reason=NASTY)
    page = timeline.html(say.history, title=NASTY, violations=[Violation(1, NASTY, NASTY, (1,))])
    data = embedded(page)
    assert data["events"][1]["message"] == data["violations"][0]["sentence"] == NASTY
    assert data["events"][1]["fields"]["reason"] == NASTY
    assert "<img" not in page
    assert page.count("</script>") == 1 + page.count("<script>")
    assert "\u2028" not in page.partition("id='run'>")[2].partition("</script>")[0]


def test_the_page_allows_itself_only_what_it_holds():
    """The policy forbids the network and names exactly the page's own styles and scripts; nothing is linked."""
    history, violations = incident()
    page = timeline.html(history, violations=violations)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none';")
    for name in ("style", "script"):
        inline = re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)
        digests = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in inline]
        assert re.search(rf"{name}-src ([^;]*);", policy)[1].split() == digests
    assert len(re.findall(r"<script>", page)) == 7
    assert re.findall(r"https?://|@import|url\(|<script src|\son\w+=", page) == []
    assert re.findall(r'(?:href|src)="([^"]*)"', page) == ["data:,"]


def test_the_page_holds_the_whole_run():
    """Every event is in the data with its words, and every message with its story."""
    history = fleet(200, 4)
    data = embedded(timeline.html(history, seed=4, title="A run"))
    facts = gather(history)
    assert [event["text"] for event in data["events"]] == [describe(event) for event in facts.events]
    assert data["messages"].keys() == facts.messages.keys()
    assert all("\n".join(told["why"]) == timeline.why(history, name) for name, told in data["messages"].items())
    assert "seed 4" in timeline.html(history, seed=4)
    assert "seed" not in re.search(r"<header>.*?</header>", timeline.html(history), re.DOTALL)[0]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(events, max_size=25))
def test_whatever_was_recorded_can_be_shown(recorded):
    """No history, however odd, makes a page, a text or a story fail."""
    recorded.sort(key=lambda event: event.t)
    history = History(Event(**{**{f: getattr(e, f) for f in Event.__struct_fields__}, "seq": i}) for i, e in enumerate(recorded))
    data = embedded(timeline.html(history, violations=[Violation(1, "x", "m1", (0, 99))]))
    assert len(data["events"]) == len(history)
    assert all(-1 <= event["lane"] < len(data["lanes"]) for event in data["events"])
    assert all(line.isprintable() for line in timeline.text(history).splitlines())
    for message in data["messages"]:
        assert timeline.why(history, message)


# -- the command line


@pytest.fixture
def recorded(tmp_path):
    """A recorded history and its file."""
    history, _ = incident()
    path = tmp_path / "run.jsonl"
    history.save(path)
    return history, path


def test_a_page_is_written_beside_its_history(recorded, capsys):
    """Without options the page has the history's name, and the path is printed."""
    history, path = recorded
    assert main([str(path)]) == 0
    page = path.with_suffix(".html")
    assert page.read_text("utf-8") == timeline.html(history, title="run.jsonl")
    assert capsys.readouterr().out == f"{page} is written; open it in a browser\n"


def test_text_and_why_are_printed(recorded, capsys):
    """Text and story go to standard output, and no page is written unless asked for."""
    history, path = recorded
    assert main([str(path), "--text", "--why", MESSAGE]) == 0
    assert capsys.readouterr().out == f"{timeline.text(history, limit=None)}\n\n{timeline.why(history, MESSAGE)}\n"
    assert not path.with_suffix(".html").exists()
    assert main([str(path), "--text", "-o", str(path.parent / "x.html")]) == 0
    assert (path.parent / "x.html").exists()


def test_wrong_calls_are_one_sentence(recorded, tmp_path, capsys):
    """A file that is missing or no history, a wrong option, an unknown message: exit status 2 and one line that helps."""
    _, path = recorded
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"schema": 1}\nnonsense\n')
    calls = [
        ([str(tmp_path / "none.jsonl")], "none.jsonl cannot be opened: No such file"),
        ([str(broken)], "line 2 of the history is no event"),
        ([str(path), "-o", str(tmp_path / "none" / "x.html")], "x.html cannot be opened: No such file"),
        ([str(path), "--nope"], "--help` shows what can be given"),
        ([str(path), "--why", "mail/api-1:11"], "near names are: mail/api-1:1"),
        ([], "are required: HISTORY.jsonl"),
    ]
    for arguments, words in calls:
        assert main(arguments) == 2
        told = capsys.readouterr()
        assert words in told.err
        assert told.err.startswith("timeline: ")
        assert told.err.count("\n") == 1
        assert told.out == ""


@pytest.mark.slow
def test_the_module_runs(recorded):
    """`python -m taskq_testing.timeline` is this command line, with its exit status."""
    _, path = recorded
    command = [sys.executable, "-m", "taskq_testing.timeline", str(path)]
    done = subprocess.run([*command, "--why", MESSAGE], capture_output=True, text=True, check=True, env={"PYTHONUTF8": "1"})
    assert done.stdout.startswith(f"{MESSAGE}: task mail.greet, queue mail.")
    assert subprocess.run([*command, "--why", "x"], capture_output=True, check=False, env={"PYTHONUTF8": "1"}).returncode == 2


def test_a_page_can_be_written_from_a_test(tmp_path):
    """`page` writes what `html` returns."""
    history, violations = incident()
    timeline.page(history, tmp_path / "x.html", title="T", violations=violations, seed=1)
    assert (tmp_path / "x.html").read_text("utf-8") == timeline.html(history, title="T", violations=violations, seed=1)


def test_moments_are_seconds():
    """A moment has milliseconds."""
    assert clock(1_250_000_000) == "1.250s"
