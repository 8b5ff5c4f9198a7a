"""The service is away for a moment while an outcome is told."""

from __future__ import annotations

from taskq_conformance.bench import Bench
from taskq_conformance.check import holds, same
from taskq_conformance.place import Ran
from taskq_conformance.scenario import scenario


async def _settled_while_cut_off(bench: Bench, *, fails: bool) -> list[Ran]:
    """Let a handler end while its process is cut off for two ticks, and return the runs when all is settled."""

    def behave(ran: Ran) -> None:
        if len(place.runs) == 1:
            place.process.gate.open = False
        if fails and len(place.runs) == 1:
            raise ValueError(ran.attempt)

    timeout = bench.seconds(30)
    place = bench.place(behave, on=bench.process("a", gated=True), reservation_timeout=timeout)
    await place.add()
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.sleep(2)
        place.process.gate.open = True
        if fails:
            await bench.until_runs(place, 2)
        await bench.until_done(place)
        if bench.virtual:
            await bench.quiet(place, 2 * timeout / bench.tick, "what is settled stays settled")
    return place.runs


@scenario("G38")
async def a_success_is_told_when_the_service_is_back(bench: Bench) -> None:
    """A handler that succeeds while its process is cut off for a moment is not run again."""
    runs = await _settled_while_cut_off(bench, fails=False)
    same(len(runs), 1, "how many runs there were")


@scenario("G16")
async def a_failure_is_told_when_the_service_is_back(bench: Bench) -> None:
    """A handler that fails while its process is cut off has its second attempt soon after, not when its reservation ends."""
    runs = await _settled_while_cut_off(bench, fails=True)
    same([ran.attempt for ran in runs], [1, 2], "the attempts")
    holds(runs[1].at - runs[0].at < bench.seconds(25), f"the second attempt is soon: after {runs[1].at - runs[0].at:.3g} s")
