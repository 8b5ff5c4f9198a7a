"""Compressed blocks: against a slow reference reader, other writers, and bombs."""

import tracemalloc

import cramjam
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from taskq.errors import DecodeError
from taskq.wire import s2


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def literal(data):
    count = len(data) - 1
    if count < 60:
        return bytes([count << 2]) + data
    width = max(1, (count.bit_length() + 7) // 8)
    return bytes([(59 + width) << 2]) + count.to_bytes(width, "little") + data


def repeat(length):
    """A copy with offset 0: the offset before, in each of its four widths."""
    length -= 4
    if length < 5:
        return bytes([length << 2 | 1, 0])
    for code, base, width in ((5, 4, 1), (6, 1 << 8, 2), (7, 1 << 16, 3)):
        if length - base < 1 << (8 * width):
            return bytes([code << 2 | 1, 0]) + (length - base).to_bytes(width, "little")
    raise AssertionError(length)


elements = st.lists(
    st.tuples(st.just("literal"), st.binary(min_size=1, max_size=300))
    | st.tuples(st.sampled_from(["copy1", "copy2", "copy4", "repeat"]), st.tuples(st.integers(0, 2**16), st.integers(1, 70_000))),
    min_size=1,
    max_size=8,
)


def build(parts):
    """Write the elements that are legal where they stand; return the block and, byte by byte, what it means."""
    packed, out, last = b"", bytearray(b"x"), 0
    packed += literal(b"x")
    for kind, detail in parts:
        if kind == "literal":
            packed += literal(detail)
            out += detail
            continue
        offset, length = detail[0] % len(out) + 1, detail[1]
        if kind == "repeat":
            if not last:
                continue
            offset, length = last, length + 3
            packed += repeat(length)
        elif kind == "copy1":
            offset, length = (offset - 1) % min(2047, len(out)) + 1, 4 + length % 8
            packed += bytes([offset >> 8 << 5 | (length - 4) << 2 | 1, offset & 0xFF])
        else:
            width = 2 if kind == "copy2" else 4
            offset, length = (offset - 1) % min(65535, len(out)) + 1, 1 + length % 64
            packed += bytes([(length - 1) << 2 | (2 if width == 2 else 3)]) + offset.to_bytes(width, "little")
        last = offset
        for _ in range(length):
            out.append(out[-offset])
    return varint(len(out)) + packed, bytes(out)


@given(elements)
def test_any_legal_block_expands_to_what_it_means(parts):
    """Literals, copies of all widths and repeats expand as the slow reference does."""
    packed, expected = build(parts)
    assert s2.decompress(packed) == expected


@given(st.binary(max_size=3000))
def test_what_we_write_everybody_reads(data):
    """Our blocks are read by a Snappy reader, by ours, and by ours without its fast path."""
    packed = s2.compress(data)
    assert bytes(cramjam.snappy.decompress_raw(packed)) == s2.decompress(packed) == data
    length, start = s2._declared_length(packed)
    assert s2._read_s2(packed, start, length) == data


@given(st.binary(max_size=60))
def test_garbage_is_read_or_refused(data):
    """Any bytes expand to their declared length or raise DecodeError."""
    try:
        out = s2.decompress(data, max_length=1 << 16)
    except DecodeError:
        return
    assert len(out) == s2._declared_length(data)[0]


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff" * 5, b"\xff\xff\xff\xff\x1f", b"\x05\x10ab", b"\x02\x00a", b"\x01\x00ab", b"\x08\x00a\x0e\x00\x00"]
    + [
        b"\x08\x00a\x0f\x00\x00\x00\x00",
        b"\x08\x01\x00",
        b"\x08\x00a\x01\x05",
        b"\x08\x00a\x11",
        b"\x08\xf4",
        b"\x08\x00a\x15\x00",
    ]
    + [b"\x08\x00a\x05\x00"],
    ids=bytes.hex,
)
def test_corrupt_blocks_are_refused(data):
    """Each way to be corrupt raises DecodeError."""
    with pytest.raises(DecodeError):
        s2.decompress(data)


@pytest.mark.parametrize("bomb", [varint(2**32 - 1) + b"\x00a" + b"\x1d\x00\xff\xff\xff" * 3, varint(33 * 2**20) + b"\x00a"])
def test_s2_bombs_are_refused_before_memory_is_taken(bomb):
    """A few bytes that declare gigabytes cost nothing."""
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="limit"):
            s2.decompress(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def zstd(data, **options):
    return zstandard.ZstdCompressor(**options).compress(data)


@given(st.binary(max_size=2000), st.booleans(), st.booleans())
def test_zstd_is_read(data, checksum, sized):
    """Frames with and without size and checksum, and several in a row, are read."""
    frame = zstd(data, write_checksum=checksum, write_content_size=sized)
    assert s2.decompress_zstd(frame) == data
    assert s2.decompress_zstd(frame + zstd(b"more" * 100)) == data + b"more" * 100


def test_large_zstd_frames_are_read():
    """Windows and sizes of every width are read."""
    data = bytes(range(256)) * 4096
    assert s2.decompress_zstd(zstd(data, write_content_size=False)) == data
    assert s2.decompress_zstd(zstd(data)) == data


@pytest.mark.parametrize("cut", [0, 3, 5, 6, 9, -1])
def test_truncated_zstd_is_refused(cut):
    """A frame that ends early raises DecodeError."""
    with pytest.raises(DecodeError):
        s2.decompress_zstd(zstd(b"taskq" * 100, write_checksum=True)[:cut])


def test_corrupt_zstd_is_refused():
    """A frame whose checksum does not hold raises DecodeError."""
    frame = bytearray(zstd(bytes(range(200)), write_checksum=True))
    frame[20] ^= 1
    with pytest.raises(DecodeError):
        s2.decompress_zstd(bytes(frame))


def test_zstd_bombs_are_refused():
    """A thousandfold expansion beyond the limit is refused, with the size declared and without."""
    for sized in (True, False):
        bomb = zstd(bytes(8 << 20), write_content_size=sized)
        assert len(bomb) < 8 << 10
        with pytest.raises(DecodeError):
            s2.decompress_zstd(bomb, max_length=1 << 20)
        assert len(s2.decompress_zstd(bomb, max_length=8 << 20)) == 8 << 20
        with pytest.raises(DecodeError):
            s2.decompress_zstd(bomb, max_length=(8 << 20) - 1)


def test_zstd_windows_are_bounded():
    """A frame that asks for a window of gigabytes is refused from its header."""
    with pytest.raises(DecodeError, match="window"):
        s2.decompress_zstd(b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + bytes(20))
