"""FarmHash beyond the vectors: every length takes its own path and stays within 64 bits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.wire import farmhash


@given(st.binary(max_size=400), st.integers(0, 2**64 - 1))
def test_hashes_fit_64_bits(data, seed):
    """Both hashes are unsigned 64-bit integers for any input."""
    assert 0 <= farmhash.hash64(data) < 2**64
    assert 0 <= farmhash.hash64_with_seed(data, seed) < 2**64


def test_every_length_differs():
    """No two lengths of the same byte share a hash, across all internal borders."""
    hashes = {farmhash.hash64(b"a" * length) for length in range(600)}
    assert len(hashes) == 600


@pytest.mark.parametrize(
    ("length", "path"),
    [
        *((length, "_short") for length in (0, 32)),
        *((length, "_xo_33_to_64") for length in (33, 64)),
        *((length, "_xo_65_to_96") for length in (65, 96)),
        *((length, "_na") for length in (97, 256)),
    ],
)
def test_borders_are_where_the_definition_has_them(length, path):
    """The first and the last length of each path take it; Go's vectors hold only some of them."""
    data = bytes(range(length % 256)) or b"\1" * length
    assert farmhash.hash64(data) == getattr(farmhash, path)(data)
    others = {"_xo_33_to_64", "_xo_65_to_96", "_na"} - {path} if length > 32 else set()
    assert all(farmhash.hash64(data) != getattr(farmhash, other)(data) for other in others)


def test_long_inputs_take_the_last_path():
    """From 257 bytes on the hash is uo's, with the seeds 81 and 0."""
    data = bytes(range(256)) + b"!"
    assert farmhash.hash64(data) == farmhash._uo(data, 81, 0) != farmhash._na(data)
