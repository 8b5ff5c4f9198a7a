"""Forms of bodies and arguments that other programs write, other than those of Go taskq as it is."""

from __future__ import annotations

from typing import Any

import cramjam
import msgpack

from taskq_conformance.bench import Bench
from taskq_conformance.check import same
from taskq_conformance.place import Place
from taskq_conformance.scenario import scenario


def body(args: Any, **fields: Any) -> bytes:
    """Return a body as a foreign program writes it; arguments that are bytes stand as they are."""
    packed = args if isinstance(args, bytes) else msgpack.packb(args)
    return bytes(msgpack.packb({"1": "foreign", "3": packed, "5": "work", **fields}))


async def _run(bench: Bench, place: Place, sent: bytes) -> tuple[Any, ...]:
    """Send a body, let it run, and return its arguments."""
    await place.send_body(sent)
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
    return place.runs[0].args


async def _is_buried(bench: Bench, place: Place, sent: bytes) -> None:
    """Send a body that cannot be run, and insist that it is kept as it was."""
    await place.send_body(sent)
    async with place.consuming():
        await bench.until_done(place, dead=1)
    same([letter.body for letter in await place.letters()], [sent], "the bodies of the dead letters")
    same(place.runs, [], "the runs")


@scenario("G43")
async def arguments_compressed_with_zstd_are_read(bench: Bench) -> None:
    """Arguments that Go has compressed with zstd arrive."""
    packed = bytes(cramjam.zstd.compress(msgpack.packb(["x" * 900])))
    same(await _run(bench, bench.place(), body(packed, **{"2": "zstd"})), ("x" * 900,), "the arguments")


@scenario("G43")
async def a_body_that_is_an_array_is_read(bench: Bench) -> None:
    """A message that is written as an array of its five fields is run."""
    array = msgpack.packb(["foreign", "", msgpack.packb([7]), 0, "work"])
    same(await _run(bench, bench.place(), bytes(array)), (7,), "the arguments")


@scenario("G43")
async def what_stands_behind_a_body_is_left_alone(bench: Bench) -> None:
    """Bytes behind a message are skipped, as Go skips them."""
    same(await _run(bench, bench.place(), body([8]) + b"\xc1\xc1"), (8,), "the arguments")


@scenario("G43")
async def fields_of_others_are_skipped(bench: Bench) -> None:
    """A field that nobody knows changes nothing."""
    same(await _run(bench, bench.place(), body([9], later={"a": [1]})), (9,), "the arguments")


@scenario("G42", needs=("dead_letters",))
async def an_unknown_compression_is_kept(bench: Bench) -> None:
    """Arguments that are compressed in a way that nobody knows become a dead letter."""
    await _is_buried(bench, bench.place(), body([1], **{"2": "brotli"}))


_BOMB = 40 << 20
"""Letters of a text that a few bytes stand for: more than anybody unpacks."""

_HEAD = b"\x91\xdb" + _BOMB.to_bytes(4, "big") + b"x"
"""How an array with that text begins."""


def _bomb_of_s2() -> bytes:
    """Return that array as a literal and the repeats that only s2 has, not snappy."""
    elements = bytes([(len(_HEAD) - 1) << 2]) + _HEAD + b"\x01\x01"  # and four more of the byte before
    left = _BOMB - 5
    while left:
        run = min(left, 1 << 24)
        elements += b"\x1d\x00" + (run - 65_540).to_bytes(3, "little")
        left -= run
    length = len(_HEAD) - 1 + _BOMB
    return bytes((length >> shift) & 0x7F | (0x80 if shift < 21 else 0) for shift in (0, 7, 14, 21)) + elements


@scenario("G42", needs=("dead_letters",))
async def a_bomb_is_not_unpacked(bench: Bench) -> None:
    """A few bytes that stand for forty megabytes become a dead letter as they are."""
    zstd = bytes(cramjam.zstd.compress(_HEAD + b"x" * (_BOMB - 1)))
    for compression, packed in (("s2", _bomb_of_s2()), ("zstd", zstd)):
        await _is_buried(bench, bench.place(), body(packed, **{"2": compression}))


async def _typed(bench: Bench, *bodies: bytes, dead: int) -> list[tuple[Any, ...]]:
    """Send bodies to a task that takes a number and a text with a default, and return what it was called with."""
    place, calls = bench.place(), []

    @place.queue.task(name="typed")
    async def typed(number: int, text: str = "default") -> None:
        calls.append((number, text))

    for each in bodies:
        await place.send_body(each)
    async with place.consuming():
        await bench.until_done(place, dead=dead)
    return sorted(calls)


@scenario("G43")
async def what_go_leaves_out_is_filled_in(bench: Bench) -> None:
    """A nil for a number is zero, and an argument that is missing has its default."""
    bodies = [body([None, "x"], **{"5": "typed"}), body([5], **{"5": "typed"})]
    same(await _typed(bench, *bodies, dead=0), [(0, "x"), (5, "default")], "the calls")


@scenario("G42", needs=("dead_letters",))
async def arguments_of_the_wrong_number_are_kept(bench: Bench) -> None:
    """Too many arguments, none at all, and what is no array become dead letters, and no call."""
    bodies = [body(args, **{"5": "typed"}) for args in ([1, "x", 2], [], {"number": 1}, "text", 5)]
    same(await _typed(bench, *bodies, dead=5), [], "the calls")


@scenario("G42", needs=("dead_letters",))
async def what_is_no_array_is_not_taken_for_nothing(bench: Bench) -> None:
    """Arguments that are a map, a text or a number are kept, though the handler could do without any."""
    place, calls = bench.place(), []

    @place.queue.task(name="optional")
    async def optional(number: int = 7) -> None:
        calls.append(number)

    for args in ({"number": 1}, "text", 5):
        await place.send_body(body(args, **{"5": "optional"}))
    async with place.consuming():
        await bench.until_done(place, dead=3)
    same(calls, [], "the calls")
