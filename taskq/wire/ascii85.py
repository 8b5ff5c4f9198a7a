"""Ascii85 as Go's `encoding/ascii85`: no `<~ ~>` frame, `z` for four zero bytes, control characters and space skipped."""

from __future__ import annotations

import base64
import struct

from taskq.errors import DecodeError

__all__ = ["decode", "encode"]

_SKIPPED = bytes(range(33))
_LOW, _HIGH = ord("!"), ord("u")
_DIGITS = bytes(range(_LOW, _HIGH + 1))
_POWERS = (85**4, 85**3, 85**2, 85)
_ZERO = _LOW * (sum(_POWERS) + 1)
"""What the characters of a group are worth together beyond their digits."""

_SHORTEST = 9
"""Characters of the shortest message. Below it we refuse what Go refuses: it decodes into as many bytes as there are
characters and wants room for four at each step. Above it that would lose messages full of zeros, so we read them."""


def encode(data: bytes) -> str:
    """Return bytes as text."""
    return base64.a85encode(data).decode("ascii")


def decode(text: str) -> bytes:
    """Return the bytes of a text.

    Raises:
        DecodeError: a character outside of the alphabet, a `z` inside a group, or a group of one character.
    """
    try:
        raw = text.encode("ascii").translate(None, _SKIPPED)
    except UnicodeEncodeError:
        raise DecodeError("the ascii85 text holds characters that are not ASCII") from None
    if len(text) < _SHORTEST:
        _refuse_as_go(text)
    if not raw.translate(None, _DIGITS):
        return _digits(raw)
    out = []
    group: list[int] = []
    for character in raw:
        if character == ord("z") and not group:
            out.append(b"\0\0\0\0")
        elif _LOW <= character <= _HIGH:
            group.append(character - _LOW)
            if len(group) == 5:
                out.append(_group(group))
                group.clear()
        else:
            raise DecodeError(f"the ascii85 text holds {chr(character)!r} where it cannot stand")
    if len(group) == 1:
        raise DecodeError("the ascii85 text ends inside a group")
    if group:
        count = len(group) - 1
        out.append(_group(group + [84] * (5 - len(group)))[:count])
    return b"".join(out)


def _digits(raw: bytes) -> bytes:
    """Decode what holds nothing but digits, as most texts do, all groups in one step."""
    missing = -len(raw) % 5
    if missing == 4:
        raise DecodeError("the ascii85 text ends inside a group")
    raw += b"u" * missing
    p, q, r, s = _POWERS
    groups = zip(raw[::5], raw[1::5], raw[2::5], raw[3::5], raw[4::5], strict=True)
    values = [(a * p + b * q + c * r + d * s + e - _ZERO) & 0xFFFFFFFF for a, b, c, d, e in groups]
    data = struct.pack(f">{len(values)}I", *values)
    return data[: len(data) - missing]


def _refuse_as_go(text: str) -> None:
    room = len(text)
    digits = 0
    for character in text:
        if room < 4:
            raise DecodeError("the ascii85 text is too short to be a message")
        if character > " ":
            digits = (digits + 1) % 5
            room -= 4 if character == "z" or not digits else 0
    if text and text[-1] <= " ":
        raise DecodeError("the ascii85 text ends in white space")


def _group(digits: list[int]) -> bytes:
    value = 0
    for digit in digits:
        value = value * 85 + digit
    return struct.pack(">I", value & 0xFFFFFFFF)
