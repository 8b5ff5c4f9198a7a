"""The rate limit, over all processes."""

from __future__ import annotations

import asyncio

from taskq.options import RateLimit
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.scenario import scenario


def _conforms(moments: list[float], limit: RateLimit, slack: float) -> None:
    """Hold starts to the limit: in no window more than the burst and what the rate allows in it."""
    moments = sorted(moments)
    for first in range(len(moments)):
        for last in range(first, len(moments)):
            allowed = limit.capacity + (moments[last] - moments[first] + slack) / limit.interval
            count = last - first + 1
            holds(
                count <= allowed + 1e-6, f"at most {allowed:.3g} starts in {moments[last] - moments[first]:.3g} s: {count} were"
            )


def _limit(bench: Bench, burst: int) -> RateLimit:
    """Return a limit that gives next to nothing but its burst."""
    return RateLimit(1, per=bench.seconds(100), burst=burst)


@scenario("G33", needs=("shared_limits",))
async def a_rate_is_not_exceeded(bench: Bench) -> None:
    """In no window more messages start than the rate and the burst allow, and all start in time."""
    limit = RateLimit(1, per=bench.seconds(1), burst=1)
    place = bench.place(rate_limit=limit)
    await place.add_many(10)
    began = bench.now()
    async with place.consuming():
        await bench.until_runs(place, 10)
    # In real time the moments are noted a little after the grants.
    _conforms([ran.at for ran in place.runs], limit, 0.0 if bench.virtual else 2.0)
    between(place.runs[-1].at - began, bench.seconds(8), bench.seconds(12) if bench.virtual else bench.patience,
            "how long ten messages took")  # fmt: skip


@scenario("G33", needs=("shared_limits",))
async def processes_share_a_rate(bench: Bench) -> None:
    """Three processes together start no more than one would."""
    limit = RateLimit(2, per=bench.seconds(2), burst=2)
    place = bench.place(on=bench.process("0"), rate_limit=limit)
    places = [place, *(bench.place(on=bench.process(str(n)), like=place, rate_limit=limit) for n in (1, 2))]
    await place.add_many(12)
    began = bench.now()
    for each in places:
        await each.begin()
    await bench.until_runs(place, 12)
    for each in places:
        await each.end()
    same(sorted(place.numbers()), list(range(12)), "the runs")
    _conforms([ran.at for ran in place.runs], limit, 0.0 if bench.virtual else 2.0)
    holds(place.runs[-1].at - began >= bench.seconds(8), "twelve messages take eight ticks at least")


@scenario("G33", needs=("shared_limits",))
async def a_burst_starts_at_once(bench: Bench) -> None:
    """After a quiet time as many as the burst start together, and no more."""
    limit = RateLimit(1, per=bench.seconds(60), burst=4)
    place = bench.place(rate_limit=limit)
    await place.add_many(6)
    async with place.consuming():
        await bench.until_runs(place, 4)
        await bench.quiet(place, 6, "beyond the burst nothing starts")
    between(
        place.runs[3].at - place.runs[0].at, 0.0, bench.late + (0.0 if bench.virtual else bench.patience), "how long a burst took"
    )


@scenario("G33", needs=("shared_limits",))
async def a_stop_does_not_wait_for_a_rate(bench: Bench) -> None:
    """A consumer that waits for its rate stops at once, and what it did not start is left."""
    place = bench.place(rate_limit=RateLimit(1, per=bench.seconds(4000), burst=1))
    await place.add_many(3)
    await place.begin()
    await bench.until_runs(place, 1)
    began = bench.now()
    await place.end()
    between(bench.now() - began, 0.0, bench.seconds(3) if bench.virtual else bench.patience, "how long the stop took")
    same((await place.size()).ready, 2, "how many messages are left")


@scenario("G33", needs=("shared_limits",))
async def what_was_not_used_comes_back(bench: Bench) -> None:
    """A grant that found no message is given back: an idle consumer wears no rate off, and takes no credit either."""
    limit = RateLimit(3, per=bench.seconds(90), burst=3)
    place = bench.place(rate_limit=limit, reserve_wait=bench.seconds(1))
    async with place.consuming():
        await bench.sleep(5)
        await place.add_many(5)
        await bench.until_runs(place, 3)
        await bench.quiet(place, 5, "beyond the burst nothing starts")
    _conforms([ran.at for ran in place.runs], limit, 0.0 if bench.virtual else 2.0)


@scenario("G33", needs=("shared_limits",))
async def the_limiter_grants_what_is_left(bench: Bench) -> None:
    """The limiter itself: it grants the burst, then nothing, and says how long to wait."""
    place = bench.place()
    limiter, limit = place.process.broker.limiter, RateLimit(1, per=bench.seconds(10), burst=3)
    key = f"rate:{place.queue.name}"
    grants = await asyncio.gather(*(limiter.take(key, limit, 2) for _ in range(3)))
    same(sorted(grant.allowed for grant in grants), [0, 1, 2], "what three askers were granted together")
    refused = next(grant for grant in grants if not grant.allowed)
    between(refused.retry_after, bench.seconds(5) if bench.virtual else 0.0, bench.seconds(10), "how long to wait")
    await asyncio.sleep(refused.retry_after)
    granted = (await limiter.take(key, limit, 5)).allowed
    between(granted, 1, 1 if bench.virtual else 3, "what is granted after that time")


@scenario("G33", needs=("shared_limits",))
async def what_is_given_back_is_what_was_not_used(bench: Bench) -> None:
    """Of five starts four are given back: four may start then, and no more, at whatever fraction of a second it is."""
    await bench.sleep(0.37)
    place = bench.place()
    limiter, limit = place.process.broker.limiter, _limit(bench, 5)
    key = f"rate:{place.queue.name}"
    grant = await limiter.take(key, limit, 9)
    same(grant.allowed, 5, "how many may start at first")
    await limiter.refund(key, limit, 4, grant)
    same((await limiter.take(key, limit, 9)).allowed, 4, "how many may start when four were given back")
    await bench.sleep(0.37)
    same((await limiter.take(key, limit, 9)).allowed, 0, "how many may start then")


@scenario("G33", needs=("shared_limits",))
async def a_trickle_may_use_the_whole_burst(bench: Bench) -> None:
    """Of a burst of five each message may start as it comes, though a consumer asks for more starts than there are messages."""
    place = bench.place(rate_limit=_limit(bench, 5))
    async with place.consuming():
        for number in range(5):
            await bench.sleep(1)
            began = bench.now()
            await place.add(number)
            await bench.until_runs(place, number + 1)
            most = 2 * bench.late + bench.seconds(1) if bench.virtual else bench.patience
            between(place.runs[-1].at - began, -1.0, most, f"how long message {number} took")
