"""Messages that were given up: kept intact, looked at, put back, dropped."""

from __future__ import annotations

from taskq.backends.base import DeadLetter, Size
from taskq.wire import envelope
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario
from taskq_conformance.scenarios.backoff import failing


async def _buried(bench: Bench, count: int) -> tuple[Place, list[DeadLetter]]:
    """Let so many messages fail for good."""
    place = bench.place(failing, task={"max_attempts": 1})
    await place.add_many(count)
    async with place.consuming():
        await bench.until_done(place, dead=count)
    return place, await place.letters()


@scenario("G21", needs=("dead_letters",))
async def what_failed_for_good_is_kept(bench: Bench) -> None:
    """A dead letter has the arguments of its message and a reason that names the error."""
    place, (letter,) = await _buried(bench, 1)
    message = envelope.decode(letter.body)
    same((message.task, message.args), ("work", (0,)), "the message in the dead letter")
    holds("ValueError" in letter.reason and "as the suite wants it" in letter.reason, f"the reason: {letter.reason}")
    same(message.id, place.runs[0].message.id, "the id in the dead letter")


@scenario("G21", needs=("dead_letters",))
async def a_body_is_kept_byte_for_byte(bench: Bench) -> None:
    """A body that is put aside by hand is found as it was, with the reason that was given."""
    place = bench.place()
    outgoing = place.outgoing("kept", b"\x00\xff\x80")
    await place.backend.send([outgoing])
    (reservation,) = await place.take()
    reason = 'because: ünïcode, and a "quote"'
    await place.backend.dead_letter(reservation, reason)
    await bench.until_done(place, dead=1)
    (letter,) = await place.letters()
    same((letter.body, letter.reason), (outgoing.body, reason), "the dead letter")
    await place.nothing_comes("a dead letter is not ready", 3)


@scenario("G21", needs=("dead_letters",))
async def each_of_many_is_kept(bench: Bench) -> None:
    """Of twelve messages that fail all are found, and as many as are asked for."""
    place, letters = await _buried(bench, 12)
    same(sorted(envelope.decode(letter.body).args[0] for letter in letters), list(range(12)), "the dead letters")
    same(len(await place.letters(5)), 5, "how many come where five are asked for")
    same(len({letter.id for letter in letters}), 12, "how many ids they have")


@scenario("G22", needs=("dead_letters",))
async def what_is_put_back_runs_as_if_it_were_new(bench: Bench) -> None:
    """A dead letter that is put back starts again at its first attempt, with the same arguments."""
    place = bench.place(failing, task={"max_attempts": 2})
    await place.add("again")
    async with place.consuming():
        await bench.until_done(place, dead=1)
        same(await place.put_back(await place.letters()), 1, "how many were put back")
        await bench.until_runs(place, 4)
        await bench.until_done(place, dead=1)
    same([(ran.args, ran.attempt) for ran in place.runs], [(("again",), 1), (("again",), 2)] * 2, "the runs")


@scenario("G22", needs=("dead_letters",))
async def what_is_put_back_is_no_dead_letter(bench: Bench) -> None:
    """What is put back is ready and not among the dead; a second time it is not there to be put back."""
    place, letters = await _buried(bench, 3)
    same(await place.put_back(letters[:2]), 2, "how many were put back")
    await bench.until_size(place, Size(ready=2, dead=1))
    same(await place.put_back(letters[:2]), 0, "how many were put back the second time")
    same([letter.id for letter in await place.letters()], [letters[2].id], "the dead letters that are left")


@scenario("G22", needs=("dead_letters",))
async def what_is_discarded_is_gone(bench: Bench) -> None:
    """A discarded letter is found no more, and the others are."""
    place, letters = await _buried(bench, 3)
    same(await place.drop(letters[:1]), 1, "how many were dropped")
    await bench.until_done(place, dead=2)
    same(await place.drop(letters[:1]), 0, "how many were dropped the second time")
    same({letter.id for letter in await place.letters()}, {letter.id for letter in letters[1:]}, "what is left")


@scenario("G21", needs=("dead_letters",))
async def dead_letters_are_seen_by_other_processes(bench: Bench) -> None:
    """Another process finds the dead letters of the queue, and puts them back."""
    place, letters = await _buried(bench, 2)
    other = bench.place(on=bench.process("other"), like=place)
    found = await other.letters()
    same({letter.id for letter in found}, {letter.id for letter in letters}, "what the other process sees")
    same(await other.put_back(found), 2, "how many it puts back")
    async with other.consuming():
        await bench.until_runs(place, 4)
        await bench.until_done(other)
    same({ran.process for ran in place.runs[2:]}, {"other"}, "where they ran then")


@scenario("G22", needs=("dead_letters",))
async def what_is_put_back_wakes_a_waiting_consumer(bench: Bench) -> None:
    """A dead letter that is put back runs at once, though the consumer was idle."""
    place = bench.place(failing, task={"max_attempts": 1})
    async with place.consuming():
        await place.add("once")
        await bench.until_done(place, dead=1)
        await bench.sleep(2)
        began = bench.now()
        await place.put_back(await place.letters())
        await bench.until_runs(place, 2)
    between(place.runs[1].at - began, 0.0, 2 * bench.late + 0.02 if bench.virtual else bench.patience, "how long it took")


class _Silent(Exception):  # noqa: N818 - an error of a user's own
    """An error that cannot tell what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@scenario("G21", needs=("dead_letters",))
async def an_error_that_cannot_tell_itself_is_a_failure(bench: Bench) -> None:
    """A message whose handler raises an error that cannot be printed becomes a dead letter with the error's name."""

    def behave(_: Ran) -> None:
        raise _Silent

    place = bench.place(behave, task={"max_attempts": 1})
    await place.add()
    async with place.consuming():
        await bench.until_done(place, dead=1)
    (letter,) = await place.letters()
    holds("_Silent" in letter.reason, f"the reason names the error: {letter.reason}")


@scenario("G22", needs=("dead_letters",))
async def what_is_put_back_twice_is_there_once(bench: Bench) -> None:
    """Whoever puts back what somebody else has put back already adds nothing."""
    place = bench.place(failing, task={"max_attempts": 1})
    await place.add_many(2)
    async with place.consuming():
        await bench.until_done(place, dead=2)
    letters = await place.letters()
    same(await place.put_back(letters), 2, "how many were put back")
    same(await place.put_back(letters), 0, "how many were put back the second time")
    await bench.until_size(place, Size(ready=2))


@scenario("G21", needs=("dead_letters", "extension"))
async def what_was_extended_is_buried_once(bench: Bench) -> None:
    """A message that was extended and then given up is a dead letter, and nothing of it comes again."""
    timeout = bench.long(6)
    place = bench.place(reservation_timeout=timeout)
    await place.add("x")
    (reservation,) = await place.take()
    await bench.sleep(2)
    await place.backend.dead_letter(await place.backend.extend(reservation, timeout), "it was long")
    await place.nothing_comes("it is dead", 2 * timeout / bench.tick + bench.lag_of_expiry(timeout))
    await bench.until_done(place, dead=1)


@scenario("G21", needs=("dead_letters",))
async def dead_letters_may_be_many(bench: Bench) -> None:
    """Of more than a hundred dead letters each is kept and listed."""
    place, count = bench.place(), 105
    await place.add_many(count)
    for reservation in await place.take(count):
        await place.backend.dead_letter(reservation, "one of many")
    await bench.until_done(place, dead=count)
    listed = 0
    while letters := await place.letters(100):
        same(await place.drop(letters), len(letters), "how many of those that were listed are dropped")
        listed += len(letters)
    same(listed, count, "how many are listed, a hundred at a time")


@scenario("G22", needs=("dead_letters", "poison"))
async def poison_that_is_put_back_runs(bench: Bench) -> None:
    """A message that was given up for its deliveries is as if it were new when it is put back."""
    place = bench.place(reservation_timeout=bench.seconds(5), poison_limit=3)
    await place.add("x")
    for _ in range(3):
        await place.take()
    async with place.consuming():
        await bench.until_done(place, dead=1)
        same(await place.put_back(await place.letters()), 1, "how many were put back")
        await bench.until_runs(place, 1)
        await bench.until_done(place)
