"""What mutants of another kind survived once: lost wake-ups, two calls about one message, order in threads, ends and leaks."""

from __future__ import annotations

import asyncio
from typing import Any

from taskq.backends.base import Size
from taskq.errors import BackendUnavailable
from taskq.hooks.base import Hook
from taskq.message import Message
from taskq_conformance.bench import Bench
from taskq_conformance.check import Broken, between, holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario
from taskq_conformance.scenarios.payload import noise


def _waiting(place: Place, wait: float) -> asyncio.Task[Any]:
    """Begin a reserve that waits."""
    return asyncio.get_running_loop().create_task(place.backend.reserve(1, wait))


# -- waking


@scenario("G10", needs=("waiting",))
async def who_leaves_hands_the_wake_up_on(bench: Bench) -> None:
    """Of two who wait one is cancelled as a message comes: the other has it soon, and not only when its wait is over."""
    place, wait = bench.place(), bench.seconds(40)
    leaves, stays = _waiting(place, wait), _waiting(place, wait)
    await bench.sleep(1)
    began = bench.now()
    await place.backend.send([place.outgoing(1)])
    leaves.cancel()
    await asyncio.wait([leaves])
    taken: list[Any] = [] if leaves.cancelled() else list(leaves.result())
    while not taken:
        await place.look_after()
        done, _ = await asyncio.wait([stays], timeout=bench.seconds(0.5))
        taken += stays.result() if done else []
        holds(bench.now() - began < wait * 3 / 4, "what came as one left is had by the other")
    stays.cancel()
    await asyncio.wait([stays])


@scenario("G10", needs=("waiting",))
async def a_batch_wakes_all_who_wait(bench: Bench) -> None:
    """Two who wait for one message each are both served by a batch of two."""
    place, wait = bench.place(), bench.seconds(40)
    waiting = [_waiting(place, wait), _waiting(place, wait)]
    await bench.sleep(1)
    began = bench.now()
    await place.backend.send([place.outgoing(1), place.outgoing(2)])
    taken = [reservation for each in await asyncio.gather(*waiting) for reservation in each]
    same(len({reservation.id for reservation in taken}), 2, "how many different messages came")
    between(bench.now() - began, 0.0, wait / 2, "how long it took")


# -- two calls about one message


@scenario("G38", needs=("extension",))
async def an_extension_under_way_foils_no_acknowledgement(bench: Bench) -> None:
    """Whoever extends and acknowledges at the same time has acknowledged."""
    place = bench.place()
    await place.add_many(3)
    taken = await place.take(3)

    async def extend(reservation: Any) -> None:
        try:
            await place.backend.extend(reservation, bench.seconds(30))
        except Exception as error:  # noqa: BLE001 - it may come too late, and say so
            holds("no longer owned" in str(error) or "owned" in str(error), f"a late extension says that it is late: {error!r}")

    answers = await asyncio.gather(*(place.backend.ack([each]) for each in taken), *(extend(each) for each in taken))
    same([list(answer) for answer in answers[:3] if answer is not None], [[True]] * 3, "the answers of the acknowledgements")
    await bench.until_size(place, Size())


@scenario("G42")
async def a_body_of_nothing_can_be_given_back(bench: Bench) -> None:
    """An empty body that is released comes again."""
    place = bench.place()
    await place.send_body(b"")
    (reservation,) = await place.take()
    await place.backend.release(reservation, 0.0)
    (again,) = await place.take()
    same(again.body, b"", "the body")


# -- handlers


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


@scenario("G11", needs=("order",))
async def handlers_in_threads_keep_the_order(bench: Bench) -> None:
    """Handlers that run in threads, one worker at a time, begin in order, also behind one that fails."""
    place = bench.place(max_workers=1, max_fetchers=1)
    runs: list[int] = []

    @place.queue.task(name="plain", min_backoff=bench.tick, max_backoff=bench.tick)
    def plain(number: int) -> None:
        runs.append(number)
        if number in (4, 9) and runs.count(number) == 1:
            raise ValueError(number)

    await place.queue.enqueue_many_async([plain.message(number) for number in range(20)])
    async with place.consuming():
        await bench.until_done(place)
    same(list(dict.fromkeys(runs)), list(range(20)), "the order in which they began")


# -- ends


@scenario("G49")
async def a_closed_app_consumes_nothing(bench: Bench) -> None:
    """When an app is closed its consumers have stopped, and what is added then is left to others."""
    place = bench.place(on=bench.process("closes"))
    other = bench.place(on=bench.process("other"), like=place)
    await place.begin()
    await bench.sleep(1)
    await place.process.app.aclose()
    place.process.dead = True
    holds(not place.consumer.running, "the consumer of a closed app does not run")
    await other.add("later")
    await bench.quiet(place, 3, "nobody consumes")
    await bench.until_size(other, Size(ready=1))


@scenario("G49")
async def a_stop_without_patience_interrupts_at_once(bench: Bench) -> None:
    """A stop with no time at all interrupts what runs, gives it back, and says so."""

    async def behave(_: Ran) -> None:
        await bench.sleep(4000)

    place = bench.place(behave)
    await place.begin()
    await place.add()
    await bench.until_runs(place, 1)
    began = bench.now()
    same(await place.end(0), 1, "how many were given back")
    between(bench.now() - began, 0.0, bench.late + bench.seconds(2) if bench.virtual else bench.seconds(25), "how long it took")
    await bench.until_size(place, Size(ready=1))


@scenario("G1")
async def a_batch_of_many_bytes_is_whole(bench: Bench) -> None:
    """A batch of more bytes than one call takes is accepted and is there, whole and once."""
    place = bench.place()
    batch = [place.outgoing(number, noise(100_000)) for number in range(14)]
    same(list(await place.backend.send(batch)), [None] * 14, "the answers")
    taken = await place.take(14)
    same({each.body for each in taken}, {each.body for each in batch}, "what is there")


@scenario("G10")
async def a_look_is_over_at_once(bench: Bench) -> None:
    """A reserve that is not to wait is over within the backend's resolution, whether something is there or not."""
    place = bench.place()
    for _ in range(3):
        began = bench.now()
        await place.backend.reserve(1, 0.0)
        between(bench.now() - began, 0.0, bench.late + 0.1 if bench.virtual else bench.patience, "how long a look took")


@scenario("G44")
async def a_purge_of_many_is_whole(bench: Bench) -> None:
    """Of more messages than one call takes none is left, and all are counted."""
    place, count = bench.place(), 130
    results = await place.queue.enqueue_many_async([place.task.message(number) for number in range(count)])
    holds(all(each.accepted for each in results), "all are accepted")
    await bench.until_size(place, Size(ready=count))
    same(await place.queue.purge(), count, "how many were dropped")
    await bench.until_size(place, Size())


@scenario("G45", needs=("gentle_purge",))
async def a_purge_of_what_waits_spares_what_is_reserved(bench: Bench) -> None:
    """With one message reserved and others ready and delayed, what is reserved can still be acknowledged after a purge."""
    place = bench.place()
    await place.add("reserved")
    (reservation,) = await place.take()
    await place.add("ready")
    await place.add("delayed", delay=bench.seconds(300))
    await bench.until_size(place, Size(ready=1, delayed=1, reserved=1))
    await place.queue.purge()
    same(list(await place.backend.ack([reservation])), [True], "the answer to its acknowledgement")


# -- telling


@scenario("G51")
async def a_message_is_prepared_once(bench: Bench) -> None:
    """A hook that may change what is enqueued is asked once for each message."""

    class Counting(Hook):
        """Counts."""

        def __init__(self) -> None:
            self.count = 0

        def before_enqueue(self, queue: str, message: Message) -> Message:  # noqa: ARG002 - what hooks are given
            """Count one."""
            self.count += 1
            return message

    hook = Counting()
    place = bench.place(on=bench.process("a", hooks=(hook,)))
    await place.add()
    await place.add_many(3)
    same(hook.count, 4, "how often it was asked")


@scenario("G4")
async def a_batch_that_cannot_be_sent_is_told(bench: Bench) -> None:
    """A batch that is sent while the service is away raises, and nothing of it is there."""
    place = bench.place(on=bench.process("a", gated=True), send_timeout=bench.seconds(2))
    place.process.gate.open = False
    try:
        await place.queue.enqueue_many_async([place.task.message(number) for number in range(3)])
    except BackendUnavailable:
        pass
    else:
        raise Broken("a batch that cannot be sent raises BackendUnavailable")
    place.process.gate.open = True
    await bench.until_size(place, Size())
