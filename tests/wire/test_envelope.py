"""The envelope: what is written, what is read, and that nothing read can do harm."""

import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.errors import DecodeError, WireError
from taskq.message import Message
from taskq.wire import args, envelope

names = st.text(min_size=1, max_size=20)
messages = st.builds(
    Message,
    task=names,
    args_bytes=st.lists(st.integers(-(2**63), 2**63) | st.text(), max_size=4).map(lambda v: args.encode(tuple(v))),
    id=st.binary(max_size=20),
    attempt=st.integers(-(2**63), 2**63 - 1),
    headers=st.none() | st.dictionaries(names, st.text(), min_size=1, max_size=3),
)


@given(messages)
def test_round_trip(message):
    """What is written is read back, whatever the id's bytes."""
    back = envelope.decode(envelope.encode(message))
    assert (back.task, back.args_bytes, back.id) == (message.task, message.args_bytes, message.id)
    assert (back.attempt, back.headers, back.args) == (message.attempt, message.headers, args.decode(message.args_bytes))


@given(messages, st.binary(max_size=4))
def test_both_readers_agree(message, tail):
    """The fast reader never answers otherwise than the tolerant one, and trailing bytes are left alone."""
    body = envelope.encode(message)
    assert envelope._decode_tolerant(body) == envelope.decode(body) == envelope.decode(body + tail)


values = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=5) | st.text(max_size=5)
fields = st.sampled_from(["1", "2", "3", "4", "5", "h", "ID", "ArgsBin", "ReservedCount", "TaskName", "ArgsCompression", "x"])


@given(st.lists(st.tuples(fields, values | st.dictionaries(st.text(max_size=2), values, max_size=2)), max_size=7))
def test_strange_maps_get_one_answer(pairs):
    """For any map, repeated keys and aliases included, both readers give the same message or both refuse."""
    body = bytes([0x80 + len(pairs)]) + b"".join(msgpack.packb(key) + msgpack.packb(value) for key, value in pairs)
    try:
        expected = envelope._decode_tolerant(body)
    except DecodeError:
        with pytest.raises(DecodeError):
            envelope.decode(body)
        return
    assert envelope.decode(body) == expected


def test_headers_follow_gos_fields_and_a_strangers_are_skipped():
    """Our field comes after Go's five, and a field of that name with other content is skipped."""
    body = envelope.encode(Message(task="t", headers={"a": "b"}))
    assert body.endswith(b"\xa1h\x81\xa1a\xa1b")
    assert envelope.decode(msgpack.packb({"5": "t", "3": b"", "h": 7})).headers is None
    assert envelope.decode(msgpack.packb({"5": "t", "3": b"", "h": {"a": 1, "b": "c"}})).headers == {"b": "c"}


def test_compression_is_kept_only_if_smaller():
    """From 512 bytes of arguments compression is tried, and kept if it helps."""
    dull = Message(task="t", args_bytes=args.encode(("x" * 600,)))
    noise = Message(task="t", args_bytes=args.encode((random.Random(1).randbytes(600),)))
    assert len(envelope.encode(dull)) < 100
    assert envelope.decode(envelope.encode(dull)).args == ("x" * 600,)
    assert len(envelope.encode(noise)) > 600
    assert len(envelope.encode(dull, compress_from=None)) > 600


@pytest.mark.parametrize("name", ["gzip", "S2"])
def test_unknown_compression_is_refused(name):
    """A codec that nobody here reads is named in the error."""
    with pytest.raises(DecodeError, match=name):
        envelope.decode(msgpack.packb({"2": name, "3": b"abc", "5": "t"}))


def test_names_that_are_no_utf8_survive():
    """A task name that came as invalid UTF-8 goes back as the same bytes."""
    body = b"\x82\xa13\xc4\x01\x90\xa15\xa2\xff\xfe"
    assert envelope.encode(envelope.decode(body)) == body


@pytest.mark.parametrize("message", [Message(task="t", attempt=2**63), Message(task="\ud800")])
def test_what_the_wire_cannot_carry_is_refused(message):
    """An attempt beyond 64 bits, or text that has no bytes, raises WireError."""
    with pytest.raises(WireError):
        envelope.encode(message)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", b"\x05", b"\x93\x01\x02\x03", b"\x81\x01\x02", b"\x81\xa15", b"\x82\xa13\xc4\x01\x90\xa15\x07"]
    + [
        b"\x81\xa14\xcb" + bytes(8),
        b"\x81\xa14\xc3",
        b"\x81\xa14\xcf" + b"\xff" * 8,
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
    ]
    + [b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff" * 1000, b"\x81\xa1x" * 50_000],
    ids=repr,
)
def test_bad_bodies_are_refused(body):
    """Truncated, mistyped, bomb-like and deep bodies raise DecodeError and nothing else."""
    with pytest.raises(DecodeError):
        envelope.decode(body)


@pytest.mark.slow
def test_mutated_bodies_are_read_or_refused():
    """Forty thousand mutated bodies give a message or DecodeError, never anything else."""
    draw = random.Random(20)
    seeds = [envelope.encode(Message(task="task", id=b"i" * 16, attempt=3, args_bytes=args.encode((1, "two", [3.0]))))]
    seeds.append(envelope.encode(Message(task="t", args_bytes=args.encode(("x" * 700,)), headers={"a": "b"})))
    refused = 0
    for turn in range(40_000):
        body = bytearray(seeds[turn % 2])
        for _ in range(draw.randint(1, 4)):
            body[draw.randrange(len(body))] = draw.randrange(256)
        try:
            message = envelope.decode(bytes(body[: draw.randint(1, len(body))] if turn % 3 == 0 else body))
            message.args  # noqa: B018 - reading decodes
        except DecodeError:
            refused += 1
    assert 1000 < refused < 40_000
