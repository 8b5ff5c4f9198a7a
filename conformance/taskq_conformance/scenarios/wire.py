"""The bytes: what Go taskq v3 writes is run, and what is written is what Go reads."""

from __future__ import annotations

import msgpack

from taskq.wire import envelope
from taskq_conformance.bench import Bench
from taskq_conformance.check import holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario

_GO = bytes.fromhex("82a133c4029120a135a4776f726b")
"""("work", 32) as Go writes it."""


def _map(**fields: object) -> bytes:
    """Return a body by hand."""
    packed: bytes = msgpack.packb({name.removeprefix("f"): value for name, value in fields.items()}, use_bin_type=True)
    return packed


async def _run(bench: Bench, place: Place, body: bytes) -> Ran:
    """Send a body as another program would, and return its run."""
    await place.send_body(body)
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
    return place.runs[0]


@scenario("G43")
async def what_go_writes_is_run(bench: Bench) -> None:
    """A message as Go taskq v3 writes it, without an id, runs with its argument at its first attempt."""
    ran = await _run(bench, bench.place(), _GO)
    same((ran.args, ran.attempt), ((32,), 1), "the run")
    holds(ran.message.id, "a message without an id is given one")


@scenario("G43")
async def an_attempt_of_go_is_counted_on(bench: Bench) -> None:
    """A message that Go has released twice is at its third attempt, and at its last when that is the third."""
    place = bench.place(task={"max_attempts": 3})
    ran = await _run(bench, place, _map(f1="go", f3=msgpack.packb([1]), f4=3, f5="work"))
    same(ran.attempt, 3, "the attempt")


@scenario("G43")
async def the_last_attempt_of_go_is_the_last(bench: Bench) -> None:
    """If it fails then, it is given up and not tried a fourth time."""

    def fails(ran: Ran) -> None:
        raise ValueError(ran.attempt)

    place = bench.place(fails, task={"max_attempts": 3})
    await place.send_body(_map(f1="go", f3=msgpack.packb([1]), f4=3, f5="work"))
    async with place.consuming():
        await bench.until_done(place, dead=1)
    same(place.attempts, [3], "the attempts")


@scenario("G43")
async def long_names_of_fields_are_read(bench: Bench) -> None:
    """Go's aliases are read, and fields that nobody knows are skipped."""
    body = _map(ID="x", ArgsBin=msgpack.packb(["a", b"b"]), ReservedCount=1, TaskName="work", Future=[1, {"n": None}])
    ran = await _run(bench, bench.place(), body)
    same((ran.args, ran.attempt), (("a", b"b"), 1), "the run")


@scenario("G43")
async def compressed_arguments_of_go_are_read(bench: Bench) -> None:
    """Arguments that are compressed with s2 are read."""
    from taskq.wire import s2  # noqa: PLC0415 - where it is needed

    plain = msgpack.packb(["taskq " * 500])
    ran = await _run(bench, bench.place(), _map(f1="go", f2="s2", f3=s2.compress(plain), f5="work"))
    same(ran.args, ("taskq " * 500,), "the arguments")


@scenario("G43")
async def what_is_written_go_reads(bench: Bench) -> None:
    """A body of ours is a map with the fields of Go, in its order, and no other but our headers."""
    place = bench.place()
    result = await place.add(32)
    (reservation,) = await place.take()
    pairs = msgpack.unpackb(reservation.body, object_pairs_hook=list, strict_map_key=False)
    same([key for key, _ in pairs], ["1", "3", "5"], "the fields")
    fields = dict(pairs)
    same((fields["3"], fields["5"]), (b"\x91\x20", "work"), "arguments and task")
    same(fields["1"], result.message_id.decode(), "the id")


@scenario("G43")
async def a_retry_writes_the_attempt(bench: Bench) -> None:
    """After a failure the body says which attempt is next, as Go's does."""

    def fails(ran: Ran) -> None:
        raise ValueError(ran.attempt)

    place = bench.place(fails, task={"min_backoff": bench.seconds(3), "max_backoff": bench.seconds(3)})
    await place.add(32)
    same(await place.process_all(), 1, "how many were settled")
    (reservation,) = await place.take()
    same(envelope.decode(reservation.body).attempt, 2, "the attempt in the body")
    same(envelope.decode(reservation.body).args, (32,), "the arguments in the body")
