"""Compressed blocks: S2 and Snappy both ways, zstd for reading. Every length is checked before memory is taken.

We write Snappy blocks, which every S2 reader accepts. We read S2, of which a Snappy reader refuses the repeat offsets.
Source: the Snappy format description; S2's extension of it (klauspost/compress/s2), and RFC 8878 for zstd.
"""

from __future__ import annotations

from typing import Any

from taskq.errors import DecodeError

__all__ = ["MAX_LENGTH", "compress", "decompress", "decompress_zstd"]

MAX_LENGTH = 32 * 1024 * 1024
"""Bytes that a block may expand to unless the caller says otherwise."""

_MAX_WINDOW = 16 * 1024 * 1024
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def compress(data: bytes) -> bytes:
    """Return `data` as one Snappy block."""
    return bytes(_cramjam().snappy.compress_raw(data))


def decompress(data: bytes, *, max_length: int = MAX_LENGTH) -> bytes:
    """Return what an S2 or Snappy block holds.

    Raises:
        DecodeError: it is corrupt, or declares more than `max_length` bytes.
    """
    length, start = _declared_length(data)
    if length > max_length:
        raise DecodeError(f"a compressed block declares {length} bytes and the limit is {max_length}")
    # Each element of three bytes gives at most 64 bytes, or 16 MiB as a repeat, which Snappy refuses: so a short block
    # that declares much is decided by our reader, which allocates only what it has decoded.
    if length <= 64 * len(data):
        try:
            # A copy with offset 0, the mark of a repeat, is corrupt to Snappy: what it accepts, S2 reads the same.
            return bytes(_cramjam().snappy.decompress_raw(data))
        except Exception:  # noqa: BLE001, S110 - the vendor's error says nothing of what our reader will find
            pass
    return _read_s2(data, start, length)


def _declared_length(data: bytes) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[:5]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value > 0xFFFFFFFF:
                break
            return value, index + 1
    raise DecodeError("a compressed block does not begin with its length")


def _read_s2(data: bytes, position: int, length: int) -> bytes:
    out = bytearray()
    offset = 0
    end = len(data)
    while position < end:
        tag = data[position]
        if tag & 3 == 0:
            count, position = _literal(data, position)
            if position + count > end or len(out) + count > length:
                raise DecodeError("a compressed block is corrupt: a literal is longer than the block")
            out += data[position : position + count]
            position += count
            continue
        count, new_offset, position = _copy(data, position, tag)
        offset = new_offset or offset
        if not 0 < offset <= len(out) or len(out) + count > length:
            raise DecodeError("a compressed block is corrupt: a copy points outside of it")
        _append_copy(out, offset, count)
    if len(out) != length:
        raise DecodeError(f"a compressed block is corrupt: it declares {length} bytes and holds {len(out)}")
    return bytes(out)


def _literal(data: bytes, position: int) -> tuple[int, int]:
    code = data[position] >> 2
    if code < 60:
        return code + 1, position + 1
    width = code - 59
    field = _field(data, position + 1, width)
    return field + 1, position + 1 + width


def _copy(data: bytes, position: int, tag: int) -> tuple[int, int, int]:
    """Return length, offset (0 means the one before) and where the next element begins."""
    if tag & 3 == 2:
        return 1 + (tag >> 2), _nonzero(_field(data, position + 1, 2)), position + 3
    if tag & 3 == 3:
        return 1 + (tag >> 2), _nonzero(_field(data, position + 1, 4)), position + 5
    offset = (tag & 0xE0) << 3 | _field(data, position + 1, 1)
    code = tag >> 2 & 7
    if offset or code < 5:
        return code + 4, offset, position + 2
    width = code - 4
    base = (4, 1 << 8, 1 << 16)[width - 1]
    return _field(data, position + 2, width) + base + 4, 0, position + 2 + width


def _nonzero(offset: int) -> int:
    if not offset:
        raise DecodeError("a compressed block is corrupt: a long copy has no offset")
    return offset


def _field(data: bytes, position: int, width: int) -> int:
    if position + width > len(data):
        raise DecodeError("a compressed block ends inside an element")
    return int.from_bytes(data[position : position + width], "little")


def _append_copy(out: bytearray, offset: int, count: int) -> None:
    start = len(out) - offset
    if offset >= count:
        out += out[start : start + count]
        return
    pattern = bytes(out[start:])  # the copy overlaps itself: it repeats its last `offset` bytes
    out += (pattern * (count // offset + 1))[:count]


def decompress_zstd(data: bytes, *, max_length: int = MAX_LENGTH) -> bytes:
    """Return what one or more zstd frames hold.

    Raises:
        DecodeError: corrupt, truncated, over `max_length` bytes, or a window of more than 16 MiB.
    """
    parts: list[bytes] = []
    position = total = 0
    while position < len(data) or not parts:
        end, size = _zstd_frame(data, position)
        room = max_length - total
        if size is not None and size > room:
            raise DecodeError(f"a zstd frame declares {size} bytes and {room} are left of the limit {max_length}")
        part = _zstd_decode(data[position:end], room if size is None else size)
        parts.append(part)
        total += len(part)
        position = end
    return b"".join(parts)


def _zstd_decode(frame: bytes, room: int) -> bytes:
    buffer = bytearray(room + 1)
    try:
        count = _cramjam().zstd.decompress_into(frame, buffer)
    except Exception as error:  # noqa: BLE001 - cramjam raises its own types for corrupt data and for a full buffer
        raise DecodeError(f"a zstd frame is corrupt or holds more than {room} bytes ({error})") from None
    if count > room:
        raise DecodeError(f"a zstd frame holds more than {room} bytes")
    return bytes(memoryview(buffer)[:count])


def _zstd_frame(data: bytes, start: int) -> tuple[int, int | None]:
    """Return where a frame ends, and the size it declares if it does."""
    if data[start : start + 4] != _ZSTD_MAGIC or start + 6 > len(data):
        raise DecodeError("not a zstd frame")
    flags = data[start + 4]
    single = flags & 0x20
    position = start + 5
    if not single:
        descriptor = data[position]
        base = 1 << (10 + (descriptor >> 3))
        if base + base // 8 * (descriptor & 7) > _MAX_WINDOW:
            raise DecodeError(f"a zstd frame needs a window of more than {_MAX_WINDOW} bytes")
        position += 1
    position += (0, 1, 2, 4)[flags & 3]
    width = (1 if single else 0, 2, 4, 8)[flags >> 6]
    size = _field(data, position, width) + (256 if width == 2 else 0) if width else None
    position += width
    last = 0
    while not last:
        header = _field(data, position, 3)
        last, kind, block = header & 1, header >> 1 & 3, header >> 3
        position += 3 + (1 if kind == 1 else block)
    position += 4 if flags & 4 else 0
    if position > len(data):
        raise DecodeError("a zstd frame ends inside a block")
    return position, size


def _cramjam() -> Any:
    import cramjam  # noqa: PLC0415 - most messages are small; who compresses nothing does not pay for the import

    return cramjam
