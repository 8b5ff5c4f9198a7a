"""FarmHash, 64 bits, as Go taskq v3 uses it for dedup keys. Integers only.

Source: FarmHash's `farmhashxo::Hash64` and `farmhashuo::Hash64WithSeed`, by their published definitions.
"""

from __future__ import annotations

__all__ = ["hash64", "hash64_with_seed"]

_MASK = 0xFFFFFFFFFFFFFFFF
_K0 = 0xC3A5C85C97CB3127
_K1 = 0xB492B66FBE98F273
_K2 = 0x9AE16A3B2F90404F
_K_MUL = 0x9DDFEA08EB382D69

Pair = tuple[int, int]


def hash64(data: bytes) -> int:
    """Return the unseeded hash."""
    length = len(data)
    if length <= 32:
        return _short(data)
    if length <= 64:
        return _xo_33_to_64(data)
    if length <= 96:
        return _xo_65_to_96(data)
    if length <= 256:
        return _na(data)
    return _uo(data, 81, 0)


def hash64_with_seed(data: bytes, seed: int) -> int:
    """Return the hash under a 64-bit seed."""
    if len(data) <= 64:
        plain = _short(data) if len(data) <= 32 else _na_33_to_64(data)
        return _mix(plain - _K2, seed & _MASK, _K_MUL)
    return _uo(data, 0, seed & _MASK)


def _at(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 8], "little")


def _rotate(value: int, bits: int) -> int:
    value &= _MASK
    return (value >> bits | value << (64 - bits)) & _MASK


def _shift_mix(value: int) -> int:
    value &= _MASK
    return value ^ value >> 47


def _mix(u: int, v: int, mul: int) -> int:
    a = _shift_mix((u ^ v) * mul)
    return _shift_mix((v ^ a) * mul) * mul & _MASK


def _short(data: bytes) -> int:
    length = len(data)
    mul = _K2 + length * 2
    if length > 16:
        u, v = _halves(data, 0, length, mul, _K1)
        return _mix(u, v, mul)
    if length >= 8:
        a, b = _at(data, 0) + _K2, _at(data, length - 8)
        return _mix(_rotate(b, 37) * mul + a & _MASK, (_rotate(a, 25) + b) * mul & _MASK, mul)
    if length >= 4:
        first = int.from_bytes(data[:4], "little")
        return _mix(length + (first << 3), int.from_bytes(data[-4:], "little"), mul)
    if length:
        y = data[0] + (data[length >> 1] << 8)
        z = length + (data[-1] << 2)
        return _shift_mix(y * _K2 ^ z * _K0) * _K2 & _MASK
    return _K2


def _halves(data: bytes, start: int, length: int, mul: int, first: int) -> Pair:
    """Return the two words that stand for `length` (17 to 64) bytes from `start`."""
    a, b = _at(data, start) * first & _MASK, _at(data, start + 8)
    c, d = _at(data, start + length - 8) * mul & _MASK, _at(data, start + length - 16) * _K2 & _MASK
    return _rotate(a + b, 43) + _rotate(c, 30) + d & _MASK, a + _rotate(b + _K2, 18) + c & _MASK


def _na_33_to_64(data: bytes) -> int:
    length = len(data)
    mul = _K2 + length * 2
    a = _at(data, 0) * _K2 & _MASK
    y, v = _halves(data, 0, length, mul, _K2)
    z = _mix(y, v, mul)
    e, f = _at(data, 16) * mul & _MASK, _at(data, 24)
    g = (y + _at(data, length - 32)) * mul & _MASK
    h = (z + _at(data, length - 24)) * mul & _MASK
    return _mix(_rotate(e + f, 43) + _rotate(g, 30) + h & _MASK, e + _rotate(f + a, 18) + g & _MASK, mul)


def _xo_32(data: bytes, start: int, mul: int, seeds: Pair = (0, 0)) -> int:
    u, v = _halves(data, start, 32, mul, _K1)
    u, v = u + seeds[0] & _MASK, v + seeds[1] & _MASK
    a = _shift_mix((u ^ v) * mul)
    return _shift_mix((v ^ a) * mul)


def _xo_33_to_64(data: bytes) -> int:
    length = len(data)
    mul = _K2 - 30 + 2 * length
    h0, h1 = _xo_32(data, 0, _K2 - 30), _xo_32(data, length - 32, mul)
    return (h1 * mul + h0) * mul & _MASK


def _xo_65_to_96(data: bytes) -> int:
    length = len(data)
    mul = _K2 - 114 + 2 * length
    h0, h1 = _xo_32(data, 0, _K2 - 114), _xo_32(data, 32, mul)
    h2 = _xo_32(data, length - 32, mul, (h0, h1))
    return (h2 * 9 + (h0 >> 17) + (h1 >> 21)) * mul & _MASK


def _weak(data: bytes, start: int, a: int, b: int) -> Pair:
    w, x, y, z = (_at(data, start + 8 * i) for i in range(4))
    a = a + w & _MASK
    b = _rotate(b + a + z, 21)
    c = a
    a = a + x + y & _MASK
    return a + z & _MASK, b + _rotate(a, 44) + c & _MASK


def _na(data: bytes) -> int:
    length = len(data)
    x, y = 81, 81 * _K1 + 113 & _MASK
    z = _shift_mix(y * _K2 + 113) * _K2 & _MASK
    v: Pair = (0, 0)
    w: Pair = (0, 0)
    x = x * _K2 + _at(data, 0) & _MASK
    tail = length - 1 & 63
    for start in range(0, (length - 1) // 64 * 64, 64):
        x = _rotate(x + y + v[0] + _at(data, start + 8), 37) * _K1 & _MASK ^ w[1]
        y = _rotate(y + v[1] + _at(data, start + 48), 42) * _K1 + v[0] + _at(data, start + 40) & _MASK
        z = _rotate(z + w[0], 33) * _K1 & _MASK
        v = _weak(data, start, v[1] * _K1, x + w[0])
        w = _weak(data, start + 32, z + w[1], y + _at(data, start + 16))
        z, x = x, z
    mul = _K1 + ((z & 0xFF) << 1)
    start = length - 64
    w = (w[0] + tail & _MASK, w[1])
    v = (v[0] + w[0] & _MASK, v[1])
    w = (w[0] + v[0] & _MASK, w[1])
    x = (_rotate(x + y + v[0] + _at(data, start + 8), 37) * mul ^ w[1] * 9) & _MASK
    y = _rotate(y + v[1] + _at(data, start + 48), 42) * mul + v[0] * 9 + _at(data, start + 40) & _MASK
    z = _rotate(z + w[0], 33) * mul & _MASK
    v = _weak(data, start, v[1] * mul, x + w[0])
    w = _weak(data, start + 32, z + w[1], y + _at(data, start + 16))
    z, x = x, z
    first = _mix(v[0], w[0], mul) + _shift_mix(y) * _K0 + z & _MASK
    return _mix(first, _mix(v[1], w[1], mul) + x & _MASK, mul)


def _uo(data: bytes, seed0: int, seed1: int) -> int:
    length = len(data)
    y = seed1 * _K2 + 113 & _MASK
    z = _shift_mix(y * _K2) * _K2 & _MASK
    u = seed0 - z & _MASK
    mul = _K2 + (u & 0x82)
    state = (seed0 * _K2 & _MASK, y, z, u, seed0, seed1, 0, 0)
    for start in range(0, (length - 1) // 64 * 64, 64):
        state = _uo_block(data, start, mul, state)
    x, y, z, u, v0, v1, w0, w1 = state
    start = length - 64
    u = u * 9 & _MASK
    v1, v0 = _rotate(v1, 28), _rotate(v0, 20)
    w0 = w0 + (length - 1 & 63) & _MASK
    u = u + y & _MASK
    y = y + u & _MASK
    x = (_rotate(y - x + v0 + _at(data, start + 8), 37) * mul ^ w1 * 9) & _MASK
    y = _rotate(y ^ v1 ^ _at(data, start + 48), 42) * mul + v0 + _at(data, start + 40) & _MASK
    z = _rotate(z + w0, 33) * mul & _MASK
    v = _weak(data, start, v1 * mul, x + w0)
    w = _weak(data, start + 32, z + w1, y + _at(data, start + 16))
    inner = _spun(v[1] + y & _MASK, w[1] + z & _MASK, 30) ^ x
    return _spun(_mix(v[0] + x & _MASK, w[0] ^ y, mul) + z - u & _MASK, inner, 31)


def _spun(x: int, y: int, bits: int) -> int:
    a = _shift_mix((x ^ y) * _K2)
    return _rotate((y ^ a) * _K2, bits) * _K2 & _MASK


def _uo_block(data: bytes, start: int, mul: int, state: tuple[int, ...]) -> tuple[int, int, int, int, int, int, int, int]:
    x, y, z, u, v0, v1, w0, w1 = state
    a = [_at(data, start + 8 * i) for i in range(8)]
    x, y, z = x + a[0] + a[1], y + a[2], z + a[3]
    v0, v1, w0, w1 = v0 + a[4], v1 + a[5] + a[1], w0 + a[6], w1 + a[7]
    x = _rotate(x, 26) * 9
    y = _rotate(y, 29)
    z *= mul
    v0, v1 = _rotate(v0, 33), _rotate(v1, 30)
    w0 = (w0 ^ x) * 9
    z = _rotate(z, 32) + w1
    w1 += z
    z *= 9
    u, y = y, u
    z += a[0] + a[6]
    v0, v1, w0, w1 = v0 + a[2], v1 + a[3], w0 + a[4], w1 + a[5] + a[6]
    x, y = x + a[1], y + a[7]
    y += v0
    v0 += x - y
    v1 += w0
    w0 += v1
    w1 += x - y
    x += w1
    w1 = _rotate(w1, 34)
    u, z = z, u
    return (x & _MASK, y & _MASK, z & _MASK, u & _MASK, v0 & _MASK, v1 & _MASK, w0 & _MASK, w1 & _MASK)
