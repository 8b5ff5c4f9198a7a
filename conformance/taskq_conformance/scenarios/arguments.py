"""Values that travel."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import msgspec

from taskq.hooks.base import Hook
from taskq.message import Message
from taskq_conformance.bench import Bench
from taskq_conformance.check import holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario


async def _travel(bench: Bench, place: Place, *values: Any) -> None:
    """Send all as the arguments of one message, and compare what arrives with its kind."""
    await place.add(*values)
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
    found = place.runs[0].args
    same(len(found), len(values), "how many arguments arrive")
    for value, back in zip(values, found, strict=True):
        same((type(back), back), (type(value), value), "an argument")


@scenario("G2")
async def text_of_all_scripts_arrives(bench: Bench) -> None:
    """Accents, scripts, emoji, control characters and what XML or JSON would escape."""
    texts = [
        "",
        "naïve café",
        "日本語テキスト",
        "مرحبا",
        "🧪👩‍👩‍👧",
        "a\u0300",
        "\u0000\u0001\u001f\u007f",
        "</x>&amp;\"'\\",
        "\ufeff\uffff",
        " \t\r\n ",
    ]
    await _travel(bench, bench.place(), *texts)


@scenario("G2")
async def numbers_arrive(bench: Bench) -> None:
    """The edges of integers, and floats with all their digits."""
    integers = [0, 1, -1, 127, 128, -32, -33, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1]
    await _travel(bench, bench.place(), *integers, 0.1, -0.5, 1e308, 5e-324, math.inf, -math.inf, True, False, None)


@scenario("G2")
async def nested_values_arrive(bench: Bench) -> None:
    """Lists and maps within each other, with keys that are no text and values that are bytes."""
    deep: Any = "end"
    for number in range(30):
        deep = [deep, {"n": number}]
    await _travel(bench, bench.place(), [1, [2, [3, []]]], {"a": {"b": [b"\x00", None]}, "": {}}, {1: "one", 2: b"two"}, deep)


@scenario("G2")
async def no_argument_and_many(bench: Bench) -> None:
    """A message without arguments, and one with fifty."""
    place = bench.place()
    await place.add()
    await place.add(*range(50))
    async with place.consuming():
        await bench.until_runs(place, 2)
        await bench.until_done(place)
    same(sorted((ran.args for ran in place.runs), key=len), [(), tuple(range(50))], "the arguments")


@scenario("G2")
async def annotated_arguments_arrive_as_annotated(bench: Bench) -> None:
    """By their annotation dates and bytes come back as such, in a handler that runs in a thread."""
    place = bench.place()
    seen: list[tuple[object, ...]] = []

    def typed(when: dt.datetime, data: bytes, numbers: list[int], text: str | None = None) -> None:
        seen.append((when, data, numbers, text))

    task = place.queue.task(typed)
    moment = dt.datetime(2024, 2, 29, 23, 59, 58, 123456, dt.UTC)
    await task.enqueue_async(moment, b"\x00\xff", [1, 2], text="x")
    async with place.consuming():
        await bench.until(lambda: seen, "it runs")
        await bench.until_done(place)
    same(seen, [(moment, b"\x00\xff", [1, 2], "x")], "the arguments")


@scenario("G2")
async def what_does_not_fit_is_refused_at_once(bench: Bench) -> None:
    """A call that does not fit the handler's signature raises TypeError where it is enqueued, and adds nothing."""
    place = bench.place()

    async def typed(number: int) -> None:
        raise AssertionError(number)

    task: Any = place.queue.task(typed)
    for bad in (("text",), (), (1, 2), (object(),)):
        try:
            await task.enqueue_async(*bad)
        except TypeError:
            continue
        holds(False, f"a call with {len(bad)} arguments that do not fit is refused")
    same((await place.size()).ready, 0, "the size after calls that were refused")


@scenario("G2")
async def headers_travel(bench: Bench) -> None:
    """Headers that a hook adds beside the arguments arrive, also with the second attempt."""

    class Adding(Hook):
        """Adds a header."""

        def before_enqueue(self, queue: str, message: Message) -> Message:
            return msgspec.structs.replace(message, headers={"trace": f"ünïcode of {queue}"})

    def behave(ran: Ran) -> None:
        if ran.attempt == 1:
            raise ValueError(ran.attempt)

    process = bench.process("hooked", hooks=[Adding()])
    place = bench.place(behave, on=process)
    async with place.consuming():
        await place.add(1)
        await bench.until_runs(place, 2)
        await bench.until_done(place)
    same([ran.message.headers for ran in place.runs], [{"trace": f"ünïcode of {place.queue.name}"}] * 2, "the headers")


@scenario("G2")
async def a_map_keeps_its_order(bench: Bench) -> None:
    """The keys of a map arrive in the order in which they were given."""
    place = bench.place()
    await place.add({"b": 1, "a": 2, "c": 0})
    async with place.consuming():
        await bench.until_runs(place, 1)
    same(list(place.runs[0].args[0].items()), [("b", 1), ("a", 2), ("c", 0)], "the map")
