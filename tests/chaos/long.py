"""The rows of the bar with their own numbers: each yields what was done, what came of it, and what was wrong."""

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass
from typing import Any

import taskq
from taskq_testing.services import Processes
from tests.chaos import calls, holding, kills, network, server, stopping, times
from tests.chaos.figures import figures
from tests.chaos.fleet import ROOT, Fleet, recorded_server, verdict


@dataclass(frozen=True)
class Place:
    """Where a row is tried.

    Attributes:
        scale: share of the row's numbers.
        seed: which random moments.
        tell: takes a line of progress.
    """

    scale: float
    seed: int
    tell: Any

    def times(self, number):
        """Return a number at this scale, at least 1."""
        return max(1, round(number * self.scale))

    @contextlib.contextmanager
    def fleet(self, appendonly="everysec", **options):
        """Give a fleet with a server of its own."""
        with (
            tempfile.TemporaryDirectory() as directory,
            recorded_server(appendonly) as server,
            Processes(cwd=ROOT) as processes,
        ):
            fleet = Fleet(directory, server, processes, **options)
            try:
                yield fleet
            finally:
                fleet.close()


class Sum:
    """The figures of several histories, and what was wrong with them."""

    def __init__(self):
        self.found, self.wrong = [], []

    def add(self, history, *, lost=0):
        """Judge a history."""
        found = figures(history)
        self.found.append(found)
        self.wrong += verdict(history)
        if found.lost > lost or found.twice:
            self.wrong.append(f"{found.lost} messages were lost, and {found.twice} adds carried out twice")
        return found

    def __getattr__(self, name):
        return sum(getattr(found, name) for found in self.found)

    def __str__(self):
        late = max(found.late for found in self.found)
        text = (
            f"{self.lost} lost, {self.twice} added twice, {self.again} run again after success, {self.cut_short} runs cut short"
        )
        text += f", ready again {late:.2f} s after the reservation at most" if late else ""
        return text + (f", {self.stalls} stalls of the machine" if self.stalls else "")


def killed(place):
    """Rows 2 and 16."""
    jobs, deaths, total = place.times(100_000), place.times(500), Sum()
    with place.fleet(reservation_timeout=2.0) as fleet:
        total.add(kills.at_random(fleet, jobs=jobs, kills=deaths, workers=3, seed=place.seed, tell=place.tell))
    yield f"{deaths} kill -9 of 3 workers over {jobs} jobs", f"{total}; {total.runs} runs", total.wrong


def killed_with_its_result(place):
    """Row 3."""
    for reached in (False, True):
        total = Sum()
        for number in range(place.times(20)):
            place.tell(f"{number} killed")
            with place.fleet() as fleet:
                total.add(kills.before_the_answer(fleet, reached=reached))
        what = "after the acknowledgement, before its answer" if reached else "after the result, before its acknowledgement"
        expected = 0 if reached else len(total.found)
        wrong = [*total.wrong, *(["not exactly one more run each"] if total.again != expected else [])]
        yield f"{len(total.found)} kill -9 {what}", f"{total.again} extra runs, {total.lost} lost", wrong


def broken_off(place, how, made, every):
    """Rows 5 and 44."""
    with place.fleet() as fleet:
        counts = asyncio.run(calls.break_off_all(fleet.server.url, how, every=round(every / place.scale), calls=made))
    return sum(counts.values()), len(counts)


def where(place, every=1):
    """Say at which bytes a conversation is broken off."""
    step = round(every / place.scale)
    return "each byte" if step == 1 else f"every {step}th byte"


def cut_calls(place):
    """Row 5."""
    for how, made, every in (
        ("cut", calls.CALLS + calls.IN_THREADS, 1),
        ("swallow", calls.CALLS, 1),
        ("swallow", calls.IN_THREADS, 20),
    ):
        place.tell(how)
        count, kinds = broken_off(place, how, made, every)
        verb = "cut" if how == "cut" else "turned mute"
        yield (
            f"{kinds} kinds of call, {verb} at {where(place, every)} of request and answer ({count} times)",
            "0 lost, 0 added twice",
            [],
        )


def cancelled_calls(place):
    """Row 44."""
    count, kinds = broken_off(place, "cancel", calls.CALLS, 1)
    yield f"{kinds} kinds of call, cancelled at {where(place)} ({count} times)", "0 answers confused, 0 lost, 0 added twice", []
    with place.fleet() as fleet:
        count = asyncio.run(calls.break_partings_off(fleet.server.url, every=round(1 / place.scale)))
    yield f"the end of a wait, cut at {where(place)} ({count} times)", "0 answers confused, 0 lost", []


def cut_under_load(place):
    """Row 6."""
    jobs, count, total = place.times(100_000), place.times(200), Sum()
    with place.fleet(reservation_timeout=30.0) as fleet:
        history, gaps = network.cuts(fleet, jobs=jobs, cuts=count, seed=place.seed, tell=place.tell)
        total.add(history)
    gaps.sort()
    found = f"{total}; messages came again after {gaps[len(gaps) // 2]:.2f} s (median), {gaps[-1]:.2f} s (most)"
    yield f"{count} cuts of all connections over {jobs} messages", found, total.wrong


def restarted(place):
    """Row 7."""
    jobs, count, total = place.times(20_000), place.times(200), Sum()
    with place.fleet("always", reservation_timeout=30.0) as fleet:
        total.add(server.restarts(fleet, jobs=jobs, restarts=count, seed=place.seed, tell=place.tell))
    yield f"{count} restarts, every other with kill -9, `appendfsync always`, over {jobs} jobs", str(total), total.wrong
    total = Sum()
    with place.fleet("everysec", reservation_timeout=30.0) as fleet:
        total.add(server.restarts(fleet, jobs=jobs, restarts=count, seed=place.seed, tell=place.tell))
    yield "the same with `appendfsync everysec`: the process dies, the machine does not", str(total), total.wrong
    count = place.times(20)
    with place.fleet("everysec", reservation_timeout=30.0) as fleet:
        accepted, lost, back = server.power_cuts(fleet, cuts=count, tell=place.tell)
    found = f"{lost} of {accepted} accepted messages lost, {back} acknowledged ones came back"
    yield f"{count} power cuts, `appendfsync everysec`: the last second of the file is gone", found, []


def forgot(place):
    """Row 8."""
    for how, command in (("everything", "FLUSHALL"), ("group", "XGROUP DESTROY")):
        total, spent = Sum(), []
        for number in range(place.times(10)):
            place.tell(f"{number} times")
            with place.fleet() as fleet:
                history, count = server.forgets(fleet, how)
                total.add(history, lost=2 if how == "everything" else 1)
                spent.append(count)
        found = f"worked on each time, {max(spent)} commands a second at most when idle afterwards"
        yield f"{len(spent)} times {command} under a working consumer", found, total.wrong


def refused(place):
    """Row 9."""
    total, errors = Sum(), server.ERRORS
    for first in range(place.times(len(errors))):
        place.tell(f"{first} rounds")
        with place.fleet(reservation_timeout=1.5, reserve_wait=0.2) as fleet:
            server.refuses(fleet, first)
            total.add(fleet.history())
    names = ", ".join(error.split()[0] for error in errors)
    yield (
        f"{len(total.found)} rounds of {names} at 12 kinds of command, each at another one a round",
        f"0 exits, {total}",
        total.wrong,
    )


def half_open(place):
    """Row 11."""
    total = Sum()
    with place.fleet(reserve_wait=1.0, reservation_timeout=30.0) as fleet:
        history, found, ran = network.half_open(fleet, times=place.times(20))
        total.add(history)
    figures = f"another connection after {max(found):.2f} s at most; what the dead one had been given ran after {max(ran):.2f} s"
    yield f"{len(found)} times all connections of a consumer half-open", f"{figures} at most, {total.lost} lost", total.wrong


def outlasted(place):
    """Rows 12 and 13."""
    for names, times_, timeout in ((("work", "thread"), 100, 1.0), (("block",), 10, 3.0), (("spin",), 10, 3.0)):
        place.tell(" and ".join(names))
        total, count = Sum(), place.times(times_)
        with place.fleet(reservation_timeout=timeout) as fleet:
            history = holding.long(fleet, names=names, times=count)
            found = total.add(history)
        extensions = sum(event.kind == "extended" for event in history)
        kind = {
            "work": "async and threaded jobs",
            "block": "a job that blocks the loop",
            "spin": "a job that computes on the loop",
        }
        what = f"{kind[names[0]]} of {count * timeout:.0f} s, reservation {timeout:.0f} s"
        wrong = [*total.wrong, *([] if found.runs == len(names) or found.stalls else ["it ran more than once"])]
        yield what, f"{found.runs} runs of {len(names)}, {extensions} extensions, {found.stalls} stalls", wrong


def stood_still(place):
    """Row 14."""
    for name, word in (("gated", "succeeds"), ("flaky", "fails"), ("doomed", "fails for good")):
        total, wrong, stale = Sum(), [], 0
        for number in range(place.times(10)):
            place.tell(f"{word}: {number} times")
            with place.fleet() as fleet:
                history, meanwhile = holding.paused(fleet, name=name)
                total.add(history)
                stale += sum(event.kind == "stale" for event in history)
                wrong += [] if meanwhile == (0, 0, 1, 0) else [f"the server held {meanwhile} afterwards"]
        what = f"{len(total.found)} times SIGSTOP past the reservation, in a job that {word} when it goes on"
        yield what, f"{stale} late calls refused, 0 changed anything, {total.lost} lost", total.wrong + wrong


def old(place):
    """Row 15."""
    total, jobs = Sum(), place.times(2000)
    with place.fleet(reservation_timeout=1.0, max_workers=8) as fleet:
        found = total.add(times.old_backlog(fleet, jobs=jobs, seconds=0.05, age=3600.0))
    yield f"{jobs} jobs an hour old, reservation 1 s", f"{found.runs - jobs} duplicates, {total}", total.wrong


def poisoned(place):
    """Row 20."""
    total, deaths = Sum(), max(3, place.times(16))
    with place.fleet(reservation_timeout=0.5, poison_limit=deaths) as fleet:
        found = total.add(kills.by_its_message(fleet, others=100, deaths=deaths))
    wrong = [*total.wrong, *([] if found.dead == 1 else [f"{found.dead} dead letters"])]
    yield f"a message that kills its worker, among 100 others, limit {deaths}", f"{found.dead} dead letter, {total}", wrong


def signalled(place):
    """Row 22."""
    total, took, late = Sum(), [], []
    for number in range(place.times(20)):
        place.tell(f"{number} times")
        with place.fleet(stop_timeout=1.0, max_workers=4) as fleet:
            history, seconds = stopping.on_a_signal(fleet, jobs=60)
            total.add(history)
            took.append(seconds)
            late += stopping.claims_after_the_stop(history, "worker-1")
    found = (
        f"ended after {max(took):.2f} s at most, last claim {max(late, default=0.0) * 1000:.0f} ms after it, {total.lost} lost"
    )
    yield f"{len(took)} SIGTERM under load, one job never ends, deadline 1 s", found, total.wrong


def held_up(place):
    """Row 24."""
    for obstacle in ("paused", "limited", "refused", "silent", "frozen"):
        took, shares = [], []
        for busy in (False, True):
            limit = taskq.RateLimit(1 + busy, per=3600.0, burst=1 + busy) if obstacle == "limited" else None
            for number in range(place.times(5)):
                place.tell(f"{obstacle}: {number} times")
                with place.fleet(pause_threshold=3, rate_limit=limit) as fleet:
                    took.append(stopping.stop_in(fleet, obstacle, busy=busy))
            usual = {"reservation_timeout": 300.0, "reserve_wait": 1.0}  # what short reservations cost is no idling
            with place.fleet(pause_threshold=3, rate_limit=limit, **usual) as fleet:
                shares.append(stopping.busy_share(fleet, obstacle, busy=busy, seconds=5 * place.scale))
        found = f"stopped and closed after {max(took):.2f} s at most; {max(shares):.1%} of a processor at most meanwhile"
        yield f"stop while {obstacle}, idle and busy ({len(took)} times)", found, []


def skewed(place):
    """Row 28."""
    total, jobs = Sum(), place.times(60)
    with place.fleet(reservation_timeout=0.6, worker_limit=4, rate_limit=taskq.RateLimit(50)) as fleet:
        found = total.add(times.wrong_clocks(fleet, jobs=jobs, skew=600.0))
    what = f"clocks of consumers and producer 10 minutes fast and slow, that jump by 20; {jobs} delayed and named jobs"
    yield what, f"0 early, {found.runs - jobs} duplicates, {total}", total.wrong


def came_and_went(place):
    """Row 34."""
    total, jobs, rounds = Sum(), place.times(20_000), place.times(200)
    with place.fleet() as fleet:
        history, names = times.comings_and_goings(fleet, jobs=jobs, rounds=rounds)
        found = total.add(history)
    wrong = [*total.wrong, *([] if len(names) == rounds else ["two consumers shared a name"])]
    yield f"{rounds} consumers came and went in {jobs} jobs, beside one that sweeps", f"{found.again} run again, {total}", wrong


ROWS = {
    "2": killed, "3": killed_with_its_result, "5": cut_calls, "6": cut_under_load, "7": restarted, "8": forgot, "9": refused,
    "11": half_open, "12": outlasted, "14": stood_still, "15": old, "20": poisoned, "22": signalled, "24": held_up,
    "28": skewed, "34": came_and_went, "44": cancelled_calls,
}  # fmt: skip
"""By the number of the row; 13 is with 12, 16 with 2, and 45 has nothing to count."""
