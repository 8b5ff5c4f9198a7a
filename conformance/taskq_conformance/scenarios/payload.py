"""Sizes: large, incompressible, empty, and those at the limit."""

from __future__ import annotations

import hashlib

from taskq.errors import BackendError, MessageTooLarge
from taskq_conformance.bench import Bench
from taskq_conformance.capabilities import Max
from taskq_conformance.check import holds, same
from taskq_conformance.place import Place
from taskq_conformance.scenario import scenario


def noise(size: int) -> bytes:
    """Return bytes that no compression makes smaller, the same each time."""
    blocks = (hashlib.blake2b(number.to_bytes(4, "big")).digest() for number in range(size // 64 + 1))
    return b"".join(blocks)[:size]


def limit(bench: Bench, otherwise: int) -> int:
    """Return the largest message that is claimed, in bytes."""
    claimed = bench.claims.payload
    return min(int(claimed.value), otherwise) if isinstance(claimed, Max) else otherwise


async def _arrives(bench: Bench, place: Place, *values: object) -> None:
    for value in values:
        await place.add(value)
    async with place.consuming():
        await bench.until_runs(place, len(values))
        await bench.until_done(place)
    found = sorted((ran.args[0] for ran in place.runs), key=len)
    for each, wanted in zip(found, sorted(values, key=len), strict=True):  # type: ignore[arg-type]
        holds(each == wanted, f"an argument of {len(wanted)} bytes arrives as it was sent: {len(each)} bytes came")  # type: ignore[arg-type]


@scenario("G2")
async def incompressible_bytes_arrive(bench: Bench) -> None:
    """Tens of thousands of random bytes arrive as they were."""
    await _arrives(bench, bench.place(), noise(600), noise(40_000), noise(limit(bench, 150_000) - 3_000))


@scenario("G2")
async def compressible_text_arrives(bench: Bench) -> None:
    """Text that is compressed on its way arrives as it was."""
    await _arrives(bench, bench.place(), "taskq " * 20_000, "ä" * 9_999, "\u0000" * 5_000)


@scenario("G2")
async def what_is_not_compressed_arrives(bench: Bench) -> None:
    """Where compression is switched off, so are its bytes."""
    await _arrives(bench, bench.place(compress_from=None), "x" * 50_000, noise(5_000))


@scenario("G2")
async def every_byte_travels(bench: Bench) -> None:
    """All byte values, also those that a text protocol might trip over."""
    edges = bytes(range(256)), b"", b"\x00" * 9, b"z" * 8, b"\r\n<&>\"'\\", bytes(range(255, -1, -1)) * 4
    await _arrives(bench, bench.place(), *edges)


@scenario("G5")
async def what_is_too_large_is_refused(bench: Bench) -> None:
    """A message above the queue's limit raises before it is sent, and says how large it is; one below is accepted."""
    place = bench.place(max_message_size=5_000, compress_from=None)
    try:
        await place.add(b"x" * 6_000)
    except MessageTooLarge as error:
        holds(error.size > 6_000 and error.limit == 5_000, f"the error tells size and limit: {error}")
    else:
        holds(False, "a message that is too large is refused")
    await place.add(b"x" * 4_500)
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
    same([len(ran.args[0]) for ran in place.runs], [4_500], "the sizes that arrived")


@scenario("G5", needs=("payload_limit",))
async def the_largest_message_is_accepted(bench: Bench) -> None:
    """A message of exactly the size that is claimed arrives; one of a byte more is refused before it is sent."""
    place = bench.place(compress_from=None)
    most = limit(bench, 10**6)
    empty = len(place.outgoing(b"x" * 70_000).body) - 70_000
    # The id that a queue gives is as long as those of `outgoing`.
    try:
        await place.add(noise(most - empty + 1))
    except MessageTooLarge as error:
        same(error.limit, most, "the limit that is told")
    else:
        holds(False, "a message of a byte more than the limit is refused")
    await _arrives(bench, place, noise(most - empty))


@scenario("G5", needs=("payload_limit",))
async def a_batch_of_large_messages_is_split(bench: Bench) -> None:
    """Messages that fit one by one and not together are all accepted, and all arrive."""
    place = bench.place(compress_from=None)
    part = noise(limit(bench, 150_000) // 3)
    results = await place.queue.enqueue_many_async([place.task.message(part + bytes([number])) for number in range(12)])
    same([result.accepted for result in results], [True] * 12, "what was accepted")
    async with place.consuming():
        await bench.until_runs(place, 12)
        await bench.until_done(place)
    same(sorted(ran.args[0][-1] for ran in place.runs), list(range(12)), "what arrived")


@scenario("G5", needs=("payload_limit",))
async def the_backend_itself_refuses_what_is_too_large(bench: Bench) -> None:
    """Of three messages that are sent past the queue the one that is too large is refused, and the others are there."""
    place = bench.place()
    claim = bench.claims.payload
    assert isinstance(claim, Max)
    batch = [place.outgoing(1), place.outgoing(noise(int(claim.value * 1.3))), place.outgoing(2)]
    answers = await place.backend.send(batch)
    same([isinstance(answer, BackendError) for answer in answers], [False, True, False], "which were refused")
    taken = await place.take(2)
    same({each.body for each in taken}, {batch[0].body, batch[2].body}, "what is there")
    await place.nothing_comes("what was refused is not there", 1)
