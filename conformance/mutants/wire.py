"""Bugs of the bytes: what is written, and what is read of what others write."""

from __future__ import annotations

from conformance.mutants.mutant import rewriting

__all__ = ["MUTANTS"]

_envelope = rewriting("taskq.wire.envelope:", "memory")
_blocks = rewriting("taskq.wire.s2:", "memory")
_args = rewriting("taskq.wire.args:", "memory")
_binder = rewriting("taskq.binding:Binder.", "memory")
_lenient = rewriting("taskq.binding:", "memory")

MUTANTS = (
    _binder(
        "a_call_that_does_not_fit_is_sent",
        "G4",
        "encode",
        'raise TypeError(f"task {self._name!r}: {_located(error, self._signature)}") from None',
        "return data",
    ),
    _envelope("the_attempt_does_not_travel", "G18", "encode", "attempt=message.attempt,", "attempt=0,"),
    _envelope("headers_do_not_travel", "G2", "encode", "headers=message.headers or None", "headers=None"),
    _envelope("the_id_does_not_travel", "G2", "encode", "id=message.id.decode()", 'id=""'),
    _envelope("what_is_compressed_does_not_say_so", "G2", "encode", 'data, compression = packed, "s2"', "data = packed"),
    _envelope(
        "what_does_not_shrink_is_cut",
        "G2",
        "encode",
        "if len(packed) < len(data):",
        "if len(packed) >= len(data):\n            data = data[: len(packed) - 64]\n        elif len(packed) < len(data):",
    ),
    _envelope("what_is_compressed_cannot_be_read", "G2", "decode", "if fields.compression:", "if False:"),
    _envelope("zstd_cannot_be_read", "G43", "_decompress", 'if compression == "zstd":', "if False:"),
    _blocks("a_bomb_of_s2_goes_off", "G42", "decompress", "if length > max_length:", "if False:", "F43"),
    _blocks("a_bomb_of_zstd_goes_off", "G42", "decompress_zstd", "room = max_length - total", "room = 1 << 26", "F44"),
    _envelope("the_array_of_go_cannot_be_read", "G43", "_positions", "len(top) in (0, 5)", "False"),
    _envelope(
        "the_long_names_of_go_cannot_be_read", "G43", "_positions", "if key in _KEYS:", "if key in _KEYS and len(key) == 1:"
    ),
    _envelope(
        "an_unknown_compression_is_taken_for_none",
        "G42",
        "_decompress",
        'raise DecodeError(f"compression {compression!r} is unknown; known are s2 and zstd")',
        "return data",
    ),
    _envelope("an_id_that_is_no_text_cannot_be_sent", "G2", "encode", "except UnicodeError:", "except ZeroDivisionError:"),
    _envelope(
        "a_body_with_something_behind_it_is_refused",
        "G43",
        "_unpack",
        "return unpacker.unpack()",
        "return msgpack.unpackb(body, raw=True, strict_map_key=False, object_pairs_hook=_Pairs, ext_hook=_skip, timestamp=0)",
    ),
    _args(
        "an_argument_of_nothing_cannot_be_read",
        "G2",
        "decode",
        "return tuple(_DECODE(data))",
        "found = _DECODE(data)\n        return () if None in found else tuple(found)",
        "F34",
    ),
    _args(
        "bytes_arrive_as_text",
        "G2",
        "decode",
        "return tuple(_DECODE(data))",
        "return tuple(x.decode('latin-1') if isinstance(x, bytes) else x for x in _DECODE(data))",
    ),
    _args(
        "text_is_normalized",
        "G2",
        "decode",
        "return tuple(_DECODE(data))",
        "return tuple(x.strip() if isinstance(x, str) else x for x in _DECODE(data))",
    ),
    _args(
        "whole_floats_arrive_as_integers",
        "G2",
        "decode",
        "return tuple(_DECODE(data))",
        "return tuple(int(x) if isinstance(x, float) and x == x and x.is_integer() else x for x in _DECODE(data))",
    ),
    _args(
        "a_map_is_sorted",
        "G2",
        "encode",
        "return _ENCODE(args)",
        "return _ENCODE(args and tuple(dict(sorted(x.items(), key=str)) if isinstance(x, dict) else x for x in args))",
    ),
    _args(
        "arguments_that_are_no_array_are_none",
        "G42",
        "decode",
        'raise DecodeError("the arguments are no msgpack array")',
        "return ()",
    ),
    _binder("defaults_are_forgotten", "G43", "_decode_tolerant", "parameter.default for", "None for"),
    _binder("too_many_arguments_are_cut", "G42", "_decode_tolerant", "if missing < 0 or", "if"),
    _lenient("a_nil_for_a_number_is_refused", "G43", "_lenient", "if value is None and kind in _ZERO:", "if False:"),
)
