"""Ascii85: both ways, and what Go refuses."""

import pytest
from hypothesis import given
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
