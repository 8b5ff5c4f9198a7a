"""Ascii85: both ways, and what Go refuses."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskq.errors import DecodeError
from taskq.wire import ascii85


@given(st.binary(min_size=8))
def test_round_trip(data):
    """Anything as long as a message comes back, with white space put in too."""
    data += b"a task name"  # zeros alone are shorter than any message, and refused as Go refuses them
    text = ascii85.encode(data)
    assert ascii85.decode(text) == data
    assert ascii85.decode(text[:1] + " \n" + text[1:]) == data


DIGITS = [chr(code) for code in range(33, 118)]


def read_by_hand(text):
    """Go's arithmetic, one group at a time: 32 bits, of which a value that is too large keeps the lowest."""
    data = b""
    for start in range(0, len(text), 5):
        group = text[start : start + 5].ljust(5, "u")
        value = sum((ord(digit) - 33) * 85**place for place, digit in enumerate(reversed(group)))
        data += (value % 2**32).to_bytes(4, "big")[: len(text[start : start + 5]) - 1]
    return data


@given(st.text(DIGITS, min_size=10).filter(lambda text: len(text) % 5 != 1))
@example("u" * 10)
@example("!" * 12)
def test_many_groups_are_read_as_each_would_be(text):
    """What is read in one step says what it says group by group, with a `z` beside it too, which is read the slow way."""
    assert ascii85.decode(text) == read_by_hand(text)
    assert ascii85.decode("z" + text) == bytes(4) + read_by_hand(text)


@pytest.mark.parametrize(
    "text",
    ["é" * 10, "a" * 10 + "~", "87cURD]j7Bv", "aaz" + "a" * 10, "z ", "!" * 6, "!" * 11, "a" * 11 + "~", "s8W-! ", "s8W-!   "],
)
def test_bad_text_is_refused(text):
    """Characters outside of the alphabet, a z inside a group and half groups raise DecodeError."""
    with pytest.raises(DecodeError):
        ascii85.decode(text)


def test_nothing_is_nothing():
    """The empty text is the empty body."""
    assert ascii85.decode("") == b""
