"""The simulator: production consumers in virtual time, faults that do what they say, runs that repeat, an app left as it was."""

import asyncio
import contextlib
import time
from collections import Counter

import pytest
from testing.fleets import generated, mixed, mixed_app
from testing.planted import BUGS

import taskq
from taskq.errors import BackendUnavailable, ConfigError
from taskq_testing.explore.strategies import named
from taskq_testing.faults import FAULTS, Fault, Faults
from taskq_testing.history import KINDS
from taskq_testing.simulator import Simulator, scenario
from taskq_testing.tape import Quiet, Tape


def quiet(seed=0):
    return Tape(seed, Quiet())


def uniform(seed):
    return Tape(seed, named("uniform").for_run(seed))


def small_app(**options):
    app = taskq.App()
    queue = app.queue("q", **({"reservation_timeout": 1.0, "reserve_wait": 0.5} | options))
    return app, queue


def play(body, app, tape=None, **settings):
    return scenario(body, app=app, **({"faults": "none", "workers": 1} | settings))(tape or quiet())


def kinds(outcome, *wanted):
    return Counter(event.kind for event in outcome.history.of(*wanted))


# -- a run without faults


def test_a_fleet_without_faults_does_its_work():
    """Everything that was added is run, retried, given up or acknowledged as the tasks say; and no promise is broken."""
    outcome = play(mixed, mixed_app(), workers=3)
    assert (outcome.violations, outcome.error, outcome.fired) == ([], None, {})
    counted = kinds(outcome, "accepted", "duplicate", "acked", "crash", "stale")
    assert counted == {"accepted": 10, "duplicate": 2, "acked": 10}
    assert {event.kind for event in outcome.history} <= KINDS


def test_virtual_hours_take_no_time():
    """A delay of a day passes between two lines of a scenario."""
    app, queue = small_app()
    ran = []

    @queue.task
    async def later() -> None:
        ran.append(1)

    async def body(world):
        await queue.enqueue_async(later.message().delayed(3600))
        await world.sleep(3599)
        assert ran == []
        await world.drained()
        assert ran == [1]
        assert world.now == pytest.approx(3600, abs=0.01)

    began = time.monotonic()
    assert play(body, app, limit=7200).error is None
    assert time.monotonic() - began < 30


def test_the_app_is_left_as_it_was():
    """After a run the app has its own broker, clock and handlers again, also when the scenario failed."""
    app, queue = small_app()

    @queue.task
    async def works() -> None:
        pass

    before = (app.broker, app.clock, queue.backend, works.handler)

    async def body(world):
        await works.enqueue_async()
        raise ZeroDivisionError

    outcome = play(body, app)
    assert isinstance(outcome.error, ZeroDivisionError)
    assert outcome.failed
    assert outcome.signature == ("error", "ZeroDivisionError")
    assert (app.broker, app.clock, queue.backend, works.handler) == before


def test_sync_and_async_handlers_share_the_schedule():
    """A handler in a thread sleeps in virtual time, extends its reservation, and enqueues from where it is."""
    app, queue = small_app()
    seen = []

    @queue.task
    def in_thread(context: taskq.Context) -> None:
        time.sleep(2.5)
        context.extend()
        on_loop.enqueue()
        seen.append("thread")

    @queue.task
    async def on_loop() -> None:
        await asyncio.sleep(2.5)
        seen.append("loop")

    async def body(world):
        await in_thread.enqueue_async()
        await world.drained()
        assert world.performed(in_thread) == world.performed("on_loop") == 1

    outcome = play(body, app)
    assert (outcome.error, outcome.violations) == (None, [])
    assert seen == ["thread", "loop"]
    assert kinds(outcome, "extended")["extended"] >= 6


def test_a_batch_is_one_run_for_each_message():
    """Each message of a batch has its start and its own end."""
    app, queue = small_app()

    @queue.task(batch=taskq.Batch(size=3, age=0.2), max_attempts=2, min_backoff=0.1)
    async def batched(batch: taskq.MessageBatch) -> None:
        if len(batch) == 3:
            batch.fail(list(batch)[1], ValueError("second"))

    async def body(world):
        await queue.enqueue_many_async(batched.message() for _ in range(3))
        await world.drained()
        assert world.tally() == {"ok": 3, "error": 1}

    assert play(body, app).error is None


def test_marks_and_choices_of_a_scenario():
    """A scenario draws from the same tape, and counts what it reached."""
    app, _ = small_app()
    drawn = []

    async def body(world):
        drawn.append(world.choose("way", 3))
        world.sometimes("left", drawn[-1] == 0)
        world.sometimes("here")

    assert play(body, app).fired == {"left": 1, "here": 1}
    for seed in range(30):
        play(body, app, uniform(seed))
    assert set(drawn) == {0, 1, 2}


def test_a_scenario_that_never_ends_is_ended():
    """A scenario that waits for what never comes fails after its limit, and says how to raise it."""
    app, _ = small_app()

    async def body(world):
        await asyncio.get_running_loop().create_future()

    outcome = play(body, app, limit=5.0)
    assert isinstance(outcome.error, TimeoutError)
    assert str(outcome.error) == "the scenario did not end within 5 s of virtual time; raise limit="
    assert 5.0 <= outcome.virtual < 60.0


def test_an_unknown_fault_is_refused_before_anything_runs():
    """The name is checked where the scenario is made."""
    with pytest.raises(ConfigError, match="there is no fault 'meteor'"):
        scenario(mixed, app=mixed_app(), faults="meteor")


# -- what can happen to a process


@contextlib.contextmanager
def world_of(body, **options):
    app, queue = small_app(**options)
    finally_ran = []

    @queue.task(max_attempts=3, min_backoff=0.1)
    async def long(n: int) -> None:
        try:
            await asyncio.sleep(0.8)
        finally:
            finally_ran.append(n)

    yield play(lambda world: body(world, long), app, workers=2), finally_ran


def test_of_a_crashed_process_nothing_runs_on():
    """No finally, no settling: its message comes back when its reservation is over, elsewhere."""
    at_crash = []

    async def body(world, long):
        await long.enqueue_async(1)
        await world.sleep(0.5)
        owner = next(event.process for event in world.history.of("start"))
        world.processes[owner].kill()
        at_crash.append((owner, len(world.history)))
        await world.drained()

    with world_of(body) as (outcome, finally_ran):
        assert (outcome.error, outcome.violations) == (None, [])
        owner, index = at_crash[0]
        said = {event.kind for event in outcome.history.events[index:] if event.process == owner}
        assert said <= {"spawn", "consumer", "at_rest", "grant", "reserved", "size"}
        starts = [event.process for event in outcome.history.of("start")]
        assert starts[0] == owner
        assert starts[1] != owner
    assert finally_ran == [1, 1]  # once in the second run; once when the dead coroutine was closed, after the judgement


def test_a_process_that_stands_still_loses_its_reservation():
    """While it is stopped its message expires and runs elsewhere; what it does afterwards changes nothing."""

    async def body(world, long):
        await long.enqueue_async(1)
        await world.sleep(0.5)
        owner = next(event.process for event in world.history.of("start"))
        world.processes[owner].suspend(3.0)
        await world.sleep(5.0)

    with world_of(body) as (outcome, _):
        assert (outcome.error, outcome.violations) == (None, [])
        counted = kinds(outcome, "expired", "acked", "stale", "suspend", "wake")
        assert counted["expired"] == counted["acked"] == counted["suspend"] == counted["wake"] == 1
        assert counted["stale"] >= 1


def test_a_process_is_restarted_as_a_deployment_does():
    """A stop drains or gives back, writes down what is left, and the next one begins under the same name."""

    async def body(world, long):
        await long.enqueue_async(1)
        await world.sleep(0.5)
        owner = next(event.process for event in world.history.of("start"))
        await world.processes[owner].restart(timeout=0.1)
        await world.drained()

    with world_of(body) as (outcome, finally_ran):
        assert (outcome.error, outcome.violations) == (None, [])
        assert finally_ran == [1, 1]
        assert kinds(outcome, "spawn", "crash") == {"spawn": 3}
        assert all(event.data["owned"] == 0 for event in outcome.history.of("at_rest"))


def test_consumers_that_break_fail_the_run(monkeypatch):
    """An error that ends a consumer by itself is the outcome's error, and the world goes on without that process."""

    def breaks(self, item):
        raise ZeroDivisionError

    async def body(world, long):
        await long.enqueue_async(1)
        await world.sleep(3.0)

    monkeypatch.setattr("taskq.runtime.worker.Worker.process", breaks)
    with world_of(body) as (outcome, _):
        assert outcome.signature == ("error", "ExceptionGroup")
        assert outcome.error.subgroup(ZeroDivisionError)
        assert kinds(outcome, "crash")["crash"] >= 1


# -- faults


def test_every_fault_fires_and_no_promise_is_broken():
    """Over some seeds of the mixed scenario each fault happens, and the production runtime keeps all its promises."""
    app, fired = mixed_app(), Counter()
    run = scenario(mixed, app=app, workers=3, faults="all")
    for seed in (*range(80), 153, 204):  # the last two have the rarest: it takes two messages that are ready together
        outcome = run(uniform(seed))
        assert (outcome.violations, outcome.error) == ([], None), seed
        fired.update(outcome.fired)
    assert set(fired) == set(FAULTS)


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_each_fault_can_be_had_alone(fault):
    """With one fault allowed only that one fires, and it does."""
    app, fired = mixed_app(), Counter()
    run = scenario(mixed, app=app, workers=3, faults=fault)
    for seed in range(60):
        outcome = run(uniform(seed))
        assert (outcome.violations, outcome.error) == ([], None), seed
        fired.update(outcome.fired)
        if fired:
            break
    assert set(fired) == {fault}


@pytest.mark.parametrize(("variant", "stored"), [(0, 0), (1, 1)])
def test_a_lost_request_does_nothing_and_a_lost_reply_does_all(variant, stored):
    """The producer is told the same; the broker's history tells the difference."""
    app, queue = small_app()
    name = ("lost_request", "lost_reply")[variant]

    @queue.task
    async def works() -> None:
        pass

    async def body(world):
        async def produce():
            with pytest.raises(BackendUnavailable, match="no answer to send"):
                await works.enqueue_async()

        world._stage.faults.at = lambda place, key: Fault(name, 1.0) if "api send" in key else None
        await world.producer("api", produce())
        await world.drained()

    outcome = play(body, app)
    assert (outcome.error, outcome.violations) == (None, [])
    assert kinds(outcome, "unknown", "stored", "acked") == Counter(unknown=1, stored=stored, acked=stored)


def test_every_message_that_a_reordering_moves_is_named(monkeypatch):
    """A message that a fault put behind later ones was not passed over by the broker: the history says what hit it."""
    app, queue = small_app(reservation_size=1)

    @queue.task
    async def works(n: int) -> None: ...

    async def body(world):
        for n in range(5):
            await queue.enqueue_async(works.message(n).delayed(1))
        await world.drained()

    def once(self, place, key):
        return Fault("reorder", 1.0, 2) if place == "delivery" and not self.fired["reorder"] else None

    monkeypatch.setattr(Faults, "at", once)
    outcome = play(body, app)
    assert (outcome.error, outcome.violations, outcome.fired) == (None, [], {"reorder": 1})
    ids = [event.message for event in outcome.history.of("stored")]
    assert [event.message for event in outcome.history.of("fault")] == ids[:3]
    assert [event.message for event in outcome.history.of("reserved")] == ids[3:] + ids[:3]


def test_a_sync_enqueue_meets_the_network_too():
    """A producer that cannot wait is told at once; a lost reply stored the message all the same."""
    app, queue = small_app()

    @queue.task
    async def works() -> None:
        pass

    async def body(world):
        faults = iter([Fault("lost_request", 1.0), Fault("lost_reply", 1.0), None])

        async def produce():
            for _ in range(2):
                with pytest.raises(BackendUnavailable):
                    works.enqueue()
            works.enqueue()

        world._stage.faults.at = lambda place, key: next(faults, None) if "api send" in key else None
        await world.producer("api", produce())
        await world.drained()

    outcome = play(body, app)
    assert (outcome.error, outcome.violations) == (None, [])
    assert kinds(outcome, "unknown", "accepted", "stored") == Counter(unknown=2, accepted=1, stored=2)


def test_a_rollback_forgets_what_came_after_the_last_write():
    """Messages added since are gone, one that was done since is there again, and the oracle takes neither for a loss."""
    app, queue = small_app()
    ran = []

    @queue.task
    async def works(n: int) -> None:
        ran.append(n)

    async def body(world):
        broker, network = world._stage.network.broker, world._stage.network
        await works.enqueue_async(1)
        await world.sleep(0.001)
        broker.save()
        await queue.enqueue_async(works.message(2).delayed(5))
        await world.sleep(1.0)
        assert ran == [1]
        broker.restart(0.1, rollback=True)
        network.break_all()
        await world.sleep(3.0)

    outcome = play(body, app)
    assert (outcome.error, outcome.violations) == (None, [])
    assert kinds(outcome, "rolled_back")["rolled_back"] == 1
    assert 2 not in ran


# -- determinism, and bugs


@pytest.mark.parametrize("strategy", ["uniform", "pct", "delay-bounded", "swarm"])
def test_the_same_seed_gives_the_same_run(strategy):
    """Trace, outcome and draws of a generated fleet are equal whenever it runs, and differ between seeds."""
    traces = set()
    for seed in range(6):
        app, body, workers = generated(seed)
        run = scenario(body, app=app, workers=workers)
        first, second = (run(Tape(seed, named(strategy).for_run(seed))) for _ in range(2))
        assert (first.trace, first.entries, first.signature) == (second.trace, second.entries, second.signature)
        traces.add(first.trace)
    assert len(traces) == 6


def test_a_run_is_repeated_from_its_draws_alone():
    """The draws that were not boring are all there is to a run: another seed with them gives the same history."""
    run = scenario(mixed, app=mixed_app(), workers=3)
    for seed in range(5):
        found = run(uniform(seed))
        again = run(Tape(seed, Quiet(), found.entries))
        assert again.trace == found.trace


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name):
    """Each bug that is planted into the production code breaks an invariant that stands for it, within a few seeds."""
    bug, invariants = BUGS[name]
    found = set()
    with bug():
        run = scenario(mixed, app=mixed_app(), workers=3, limit=120.0)
        for seed in range(150):
            found |= {violation.invariant for violation in run(uniform(seed)).violations}
            if found & invariants:
                break
    assert found & invariants


def test_a_world_can_be_looked_into():
    """The simulator is a context manager whose processes, history and clock tests may use directly."""
    app, _ = small_app()
    with Simulator(app, workers=2) as simulator:
        assert list(simulator.processes) == ["worker-1", "worker-2"]
        assert [event.kind for event in simulator.history] == ["queue"]
        assert app.clock.new_id() == b"test:1"
