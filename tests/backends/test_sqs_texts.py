"""How messages are written in SQS, and what an `sqs://` URL says: values only."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqs_support import go_fires_at

from taskq.backends.sqs import in_group
from taskq.backends.sqs.settings import Settings, dead_name, settings_for
from taskq.backends.sqs.texts import (
    UNTIL,
    attribute,
    body_of,
    group_of,
    reason_of,
    size_of,
    text_of,
    whole_seconds,
    with_rest_of_go,
    with_until,
)
from taskq.core.delay import postponed, rest_of
from taskq.errors import ConfigError, DecodeError
from taskq.message import Message
from taskq.wire import envelope

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "go_v3_public.json").read_text())
NOW = 1_767_225_600.25


# -- bodies


@pytest.mark.parametrize("vector", [v for v in VECTORS["ascii85"] if v["kind"] == "encode"], ids=lambda v: v["input_hex"][:16])
def test_bodies_are_written_as_go_writes_them(vector):
    """The text is Go's ascii85, and an underscore where that is empty."""
    assert text_of(bytes.fromhex(vector["input_hex"])) == (vector["text"] or "_")


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda v: v["desc"])
def test_messages_of_go_are_read(vector):
    """Every golden message of Go comes out of its text as it went in."""
    body = bytes.fromhex(vector["message_hex"])
    message = envelope.decode(body_of(text_of(body)))
    assert (message.task, message.attempt, message.args_bytes.hex()) == (
        vector["task"],
        vector["reserved_count"],
        vector["args_bin_hex"],
    )


@given(st.binary(max_size=200))
def test_what_is_written_is_read(body):
    """Any body survives, however short, though no message is as short as that and Go refuses it."""
    assert body_of(text_of(body)) == body


def test_an_empty_body_is_an_underscore():
    """SQS takes no empty body; Go writes and reads an underscore for it."""
    assert (text_of(b""), body_of("_")) == ("_", b"")


@given(st.text(min_size=1, max_size=60))
def test_a_text_that_is_no_message_is_never_taken_for_one(text):
    """A text that is no ascii85 is kept as it is, and can be decoded into no message by accident."""
    if body_of(text) == text.encode():
        with pytest.raises(DecodeError):
            envelope.decode(text.encode())


def test_sizes_count_bytes_and_what_stands_beside():
    """As SQS counts: the body in UTF-8, and names, types and values of attributes."""
    assert size_of("abc", {}) == 3
    assert size_of("é", {}) == 2
    assert size_of("abc", {"Name": attribute("é")}) == 3 + 4 + 6 + 2


def test_reasons_hold_what_sqs_takes():
    """Control characters and lone surrogates are replaced, nothing becomes something, and the rest stays."""
    assert reason_of("a\x00b\ud800c\tü\n𝄞") == "a\ufffdb\ufffdc\tü\n𝄞"
    assert reason_of("") == "(none)"


@given(st.floats(0, 43200))
def test_seconds_are_rounded_up(seconds):
    """A delay is never shorter in SQS than it was meant, hardly a second longer, and a little is not nothing (F21)."""
    whole = whole_seconds(seconds)
    assert seconds - 1e-6 <= whole < seconds + 1
    assert whole > 0 or seconds < 1e-6
    assert whole_seconds(30.000000001) == 30


# -- long delays


def waiting(rest):
    return envelope.encode(postponed(Message(task="t"), rest))


@given(rest=st.floats(0.01, 10 * 86400), lags=st.lists(st.floats(0, 1000), max_size=5), skew=st.floats(0, 0.999))
def test_go_readers_are_not_early(rest, lags, skew):
    """A Go consumer that gets a long delay of ours runs it no earlier than it is due, whatever each of its steps loses (F20)."""
    now = NOW + skew
    attributes = with_until(waiting(rest), 900.0, now)
    fires = go_fires_at(now, 900, attributes[UNTIL]["StringValue"], lags)
    assert fires >= now + 900 + rest
    if not lags:
        assert fires <= now + 900 + rest + 3 + rest / 900


def test_go_itself_is_early():
    """The arithmetic of Go that these tests use has the flaw: 24 hours of its own become 12 (F20)."""
    until = datetime.fromtimestamp(math.floor(NOW + 86400 - 900), UTC).isoformat()
    assert (go_fires_at(NOW, 900, until) - NOW) / 3600 == pytest.approx(12, abs=0.3)


def test_the_moment_for_go_is_written_as_go_writes_it():
    """RFC 3339 in UTC with whole seconds, as a String; for delays that SQS keeps, and for what is no message, nothing."""
    assert with_until(waiting(300.0), 900.0, NOW) == {
        UNTIL: {"DataType": "String", "StringValue": "2026-01-01T00:20:02Z"},
    }
    assert with_until(waiting(300.0), 899.0, NOW) == {}
    assert with_until(envelope.encode(Message(task="t")), 900.0, NOW) == {}
    assert with_until(b"\x01", 900.0, NOW) == {}


@given(st.floats(900.5, 10 * 86400), st.floats(0, 0.999))
def test_long_delays_of_go_are_kept_whole(delay, fraction):
    """What Go wrote is waited for until the delay that was meant is over, and a second at most longer."""
    sent = NOW + fraction
    until = datetime.fromtimestamp(math.floor(sent + delay - 900), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rest = rest_of(envelope.decode(with_rest_of_go(envelope.encode(Message(task="t")), until, sent)))
    assert delay - 1e-3 <= 900 + rest <= delay + 1.001


def test_go_says_times_in_any_zone():
    """The zone of Go's process is read, and what is no time, or over, delays nothing."""
    body = envelope.encode(Message(task="t"))
    assert rest_of(envelope.decode(with_rest_of_go(body, "2026-01-01T02:00:00+02:00", NOW - 100.25))) == 101
    for text in ("2020-01-01T00:00:00Z", "soon", ""):
        assert with_rest_of_go(body, text, NOW) == body
    assert with_rest_of_go(b"\x01", "2030-01-01T00:00:00Z", NOW) == b"\x01"


def test_what_we_say_in_the_message_counts():
    """The moment that stands beside a message of ours is for Go; the rest in the message itself is what is waited for."""
    body = waiting(5.0)
    assert with_rest_of_go(body, "2030-01-01T00:00:00Z", NOW) == body


# -- groups


def test_a_message_names_its_group():
    """The group, and the id by which SQS drops duplicates, travel with the message; without them there are given ones."""
    message = msgspec.structs.replace(Message(task="t"), headers={"a": "b"})
    body = envelope.encode(in_group(message, "ada", "once"))
    assert group_of(body, "g", "d") == {"MessageGroupId": "ada", "MessageDeduplicationId": "once"}
    body = envelope.encode(in_group(message, "ada"))
    assert group_of(body, "g", "d") == {"MessageGroupId": "ada", "MessageDeduplicationId": "d"}
    assert envelope.decode(body).headers["a"] == "b"
    for plain in (envelope.encode(message), envelope.encode(Message(task="t")), b"\x01"):
        assert group_of(plain, "g", "d") == {"MessageGroupId": "g", "MessageDeduplicationId": "d"}


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "ü", None])
def test_impossible_groups_are_refused(name):
    """What SQS would refuse is refused when it is said."""
    with pytest.raises(ConfigError, match="printable ASCII"):
        in_group(Message(task="t"), name)
    if name is not None:
        with pytest.raises(ConfigError, match="printable ASCII"):
            in_group(Message(task="t"), "g", name)


# -- URLs


def test_a_url_says_which_account_and_how():
    """Each option of the URL is read; what is left out is left to boto3."""
    assert settings_for("sqs://") == Settings()
    url = (
        "sqs://?region=eu-west-1&endpoint=http%3A%2F%2F127.0.0.1%3A4566&profile=p&role=arn:aws:iam::1:role/r&owner=1"
        "&prefix=staging-&create=no&long_poll=no&group=g"
    )
    assert settings_for(url) == Settings(
        region="eu-west-1",
        endpoint="http://127.0.0.1:4566",
        profile="p",
        role="arn:aws:iam::1:role/r",
        owner="1",
        prefix="staging-",
        create=False,
        long_poll=False,
        group="g",
    )


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqs://key:secret@", "credentials do not belong"),
        ("sqs://localhost:9324", "takes no host"),
        ("sqs:///path", "takes no host and no path"),
        ("sqs://?regoin=x", "no option 'regoin'; its options are: region, endpoint"),
        ("sqs://?create=maybe", "give yes or no"),
        ("sqs://?region=", "region of the sqs:// URL is empty"),
    ],
)
def test_a_url_that_says_nonsense_is_refused(url, words):
    """The error says what is wrong and never repeats a secret."""
    with pytest.raises(ConfigError, match=words) as caught:
        settings_for(url)
    assert "secret" not in str(caught.value)


def test_names_are_what_sqs_takes():
    """Names of queues have a prefix, and one for their dead letters; what SQS would refuse is refused at once."""
    settings = Settings(prefix="p-")
    assert settings.queue_name("mail") == "p-mail"
    assert settings.queue_name("mail.fifo") == "p-mail.fifo"
    assert (dead_name("mail"), dead_name("mail.fifo")) == ("mail-dead", "mail-dead.fifo")
    assert settings.queue_name("x" * 73)
    for name in ("a.b", "ü", "a/b", "a b", "x" * 74, "a.fifo.fifo"):
        with pytest.raises(ConfigError, match="is no name of a queue in SQS"):
            settings.queue_name(name)
