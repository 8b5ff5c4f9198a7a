"""Bodies that no reader can read, and arguments that fit no handler."""

from __future__ import annotations

from taskq.message import Message
from taskq.wire import envelope
from taskq_conformance.bench import Bench
from taskq_conformance.check import holds, same
from taskq_conformance.scenario import scenario

_BODIES = (b"\xc1", b"{", b"\x81", b"not msgpack at all", b"\xff\x00\x80" * 50, b"\x01", b"\x82\xa1" + b"3" + b"\xc4\xff")


@scenario("G42", needs=("dead_letters",))
async def a_body_that_cannot_be_read_is_kept(bench: Bench) -> None:
    """It is a dead letter, byte for byte, and the reason says that it cannot be read."""
    place = bench.place()
    body = b"\xc1 no \x00 message \xff"
    await place.send_body(body)
    async with place.consuming():
        await bench.until_done(place, dead=1)
    (letter,) = await place.letters()
    same(letter.body, body, "the body")
    holds("cannot be read" in letter.reason, f"the reason: {letter.reason}")


@scenario("G42", needs=("dead_letters",))
async def bodies_of_all_kinds_are_kept(bench: Bench) -> None:
    """Truncated, random and foreign bodies are all found among the dead letters."""
    place = bench.place()
    for body in _BODIES:
        await place.send_body(body)
    async with place.consuming():
        await bench.until_done(place, dead=len(_BODIES))
    same(sorted(letter.body for letter in await place.letters()), sorted(_BODIES), "the bodies")
    same(place.runs, [], "the runs")


@scenario("G42")
async def a_bad_body_stops_nobody(bench: Bench) -> None:
    """Messages before and after a bad body run, each once and in time."""
    place = bench.place()
    await place.add(0)
    await place.send_body(b"\xc1")
    await place.add(1)
    async with place.consuming():
        await bench.until_runs(place, 2)
        await bench.until_done(place, dead=1)
        await place.add(2)
        await bench.until_runs(place, 3)
        await bench.until_done(place, dead=1)
    same(sorted(place.numbers()), [0, 1, 2], "the runs")


@scenario("G42", needs=("dead_letters",))
async def arguments_that_fit_no_handler_are_kept(bench: Bench) -> None:
    """A message with the wrong number of arguments becomes a dead letter at once: to try again would not help."""
    place = bench.place()
    seen: list[int] = []

    async def strict(number: int) -> None:
        seen.append(number)

    task = place.queue.task(max_attempts=20)(strict)
    await place.queue.enqueue_async(place.queue.message("strict", "no number", "one too many"))
    await task.enqueue_async(1)
    async with place.consuming():
        await bench.until_done(place, dead=1)
    (letter,) = await place.letters()
    same((seen, envelope.decode(letter.body).args), ([1], ("no number", "one too many")), "what ran, and what was kept")
    holds("arguments" in letter.reason, f"the reason: {letter.reason}")


@scenario("G42", needs=("dead_letters",))
async def arguments_that_are_not_msgpack_are_kept(bench: Bench) -> None:
    """A message whose envelope can be read and whose arguments cannot is kept too."""
    place = bench.place()

    async def strict(number: int) -> None:
        raise AssertionError(number)

    place.queue.task(strict)
    body = envelope.encode(Message(task="strict", args_bytes=b"\xc1\xc1", id=b"bad-arguments"))
    await place.send_body(body)
    async with place.consuming():
        await bench.until_done(place, dead=1)
    (letter,) = await place.letters()
    same(letter.body, body, "the body")


@scenario("G22", needs=("dead_letters",))
async def a_bad_body_that_is_put_back_is_given_up_again(bench: Bench) -> None:
    """Putting back what cannot be read loses nothing: it is a dead letter again, as intact as it was."""
    place = bench.place()
    await place.send_body(b"\xc1bad")
    async with place.consuming():
        await bench.until_done(place, dead=1)
        same(await place.put_back(await place.letters()), 1, "how many were put back")
        await bench.until(lambda: place.consumer.stats().dead >= 2, "it is given up again")
        await bench.until_done(place, dead=1)
    same([letter.body for letter in await place.letters()], [b"\xc1bad"], "the body")


@scenario("G42")
async def a_body_of_nothing_can_be_given_back(bench: Bench) -> None:
    """An empty body that is released comes again."""
    place = bench.place()
    await place.send_body(b"")
    (reservation,) = await place.take()
    await place.backend.release(reservation, 0.0)
    (again,) = await place.take()
    same(again.body, b"", "the body")


@scenario("G42", needs=("dead_letters",))
async def a_body_of_nothing_is_kept_as_nothing(bench: Bench) -> None:
    """An empty body becomes a dead letter with an empty body."""
    place = bench.place()
    await place.send_body(b"")
    async with place.consuming():
        await bench.until_done(place, dead=1)
    same([letter.body for letter in await place.letters()], [b""], "the bodies of the dead letters")
