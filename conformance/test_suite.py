"""The suite itself: it covers its contract, it fails what is wrong, and it is honest about what it did not try."""

import io
import logging
import re
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from taskq.backends.memory import MemoryBackend, MemoryBroker
from taskq.backends.memory_stores import MemoryDedup
from taskq.cli import main
from taskq.errors import ConfigError
from taskq_conformance import Capabilities, Max, Ordering, Profile, Unavailable, Unsupported, Window
from taskq_conformance.contract import GUARANTEES
from taskq_conformance.live import Live
from taskq_conformance.results import Environment, Run, read, written
from taskq_conformance.run import run_profile, run_virtual
from taskq_conformance.scenario import all_scenarios, scenario
from taskq_conformance.targets import DEFAULT, NAMES, find
from taskq_testing.simulator.recorded import RecordedQueue

HERE = Path(__file__).parent
SCENARIOS = {each.name: each for each in all_scenarios()}
HONEST = find("memory")


def shared(broker):
    """Return a service whose processes share one broker of this kind."""

    @contextmanager
    def service(clock):
        made = broker(clock)
        yield lambda _: made

    return service


class Lying(MemoryBroker):
    """A broker whose queues are of another kind."""

    kind = MemoryBackend

    def queue(self, name, options):
        if name not in self._queues:
            self._queues[name] = self.kind(self, options)
        return self._queues[name]


def liar(**methods):
    """Return a profile of the in-memory backend with methods that lie, and that claims what the honest one does."""
    kind = type("Liar", (MemoryBackend,), methods)
    return msgspec_like(HONEST, service=shared(type("Broker", (Lying,), {"kind": kind})))


def msgspec_like(profile, **changes):
    """Return a profile with some fields changed."""
    return Profile(**{name: getattr(profile, name) for name in Profile.__dataclass_fields__} | changes)


def test_every_guarantee_is_tried():
    """Each guarantee is cited by a scenario, and there are more than a hundred of these."""
    cited = Counter(each.guarantee for each in SCENARIOS.values())
    assert set(cited) == set(GUARANTEES)
    assert len(SCENARIOS) > 100


def test_the_page_of_the_contract_is_the_table():
    """CONTRACT.md shows each guarantee with its number, its sentence and the capability that it rests on, in their order."""
    rows = re.findall(r"^\| (G\d+) \| (.+?) \| (.*?) \|$", (HERE / "CONTRACT.md").read_text(), re.MULTILINE)
    assert rows == [(each.number, each.sentence, f"`{each.rests}`" if each.rests else "") for each in GUARANTEES.values()]


def test_scenarios_know_no_backend():
    """No scenario names a service, or looks what kind of backend it has."""
    names = re.compile(
        r"redis|valkey|sqs|\bmoto\b|ironmq|localstack|sqlite|isinstance\([^,]*backend, (?!DeadLetters|Chores)", re.IGNORECASE
    )
    found = {path.name: names.findall(path.read_text()) for path in (HERE / "taskq_conformance" / "scenarios").glob("*.py")}
    assert {name: words for name, words in found.items() if words} == {}


# -- what is wrong fails


def lose(backend, reservation, delay):
    backend._reserved.pop(reservation.receipt, None)


async def loses_on_release(self, reservation, delay):
    lose(self, reservation, delay)


async def says_yes(self, reservations):
    await MemoryBackend.ack(self, reservations)
    return [True] * len(reservations)


async def keeps_what_is_done(self, reservations):
    return [each.receipt in self._reserved for each in reservations]


async def extends_in_words_only(self, reservation, by):
    return msgspec.structs.replace(reservation, expires_at=reservation.expires_at + by)


async def buries_without_a_grave(self, reservation, reason):
    lose(self, reservation, 0.0)


async def waits_for_ever(self, n, wait):
    return await MemoryBackend.reserve(self, n, wait if wait == 0 else 1e9)


async def counts_nothing(self):
    return type(await MemoryBackend.size(self))()


def half_a_delay(self, entry, delay):
    MemoryBackend._put(self, entry, delay / 2)


def twice_the_delay(self, entry, delay):
    MemoryBackend._put(self, entry, delay * 2)


def forgets_names(self, outgoing):
    return MemoryBackend._add(self, msgspec.structs.replace(outgoing, claim=None))


LIES = {
    "crash.the_others_go_on": dict(size=counts_nothing),
    "retry.what_fails_is_run_again": dict(release=loses_on_release),
    "fencing.what_is_done_is_not_done_again": dict(ack=says_yes),
    "enqueue.a_message_runs_once": dict(ack=keeps_what_is_done),
    "extension.a_long_job_runs_once": dict(extend=extends_in_words_only),
    "dead_letters.what_failed_for_good_is_kept": dict(dead_letter=buries_without_a_grave),
    "waiting.a_waiting_reserve_ends": dict(reserve=waits_for_ever),
    "delay.a_delay_is_not_early": dict(_put=half_a_delay),
    "delay.a_delay_is_not_late": dict(_put=twice_the_delay),
    "dedup.a_name_is_accepted_once": dict(_add=forgets_names),
    "honesty.it_can_do_what_it_claims": dict(discard=None),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lying_backend_fails(name):
    """A backend that does not do what it claims fails the scenario of that guarantee, which the honest one passes."""
    result = run_virtual(liar(**LIES[name]), SCENARIOS[name])
    assert (result.status, bool(result.reason)) == ("failed", True)
    assert run_virtual(HONEST, SCENARIOS[name]).status == "passed"


def test_an_over_claim_fails():
    """Who claims a limit, or no order, where the backend declares something else is told so."""
    for claims in (
        Capabilities(delay=Max(900.0)),
        Capabilities(ordering=Ordering.NONE),
        Capabilities(durable=HONEST.capabilities.durable, payload=Max(9)),
    ):
        result = run_virtual(msgspec_like(HONEST, capabilities=claims), SCENARIOS["honesty.declared_and_claimed_are_the_same"])
        assert result.status == "failed"


def test_an_under_claim_is_reported():
    """What is not claimed and is there is told, with what was seen; what is not there is not."""
    claims = msgspec.structs.replace(HONEST.capabilities, ordering=Ordering.NONE, extension=Unsupported("not yet"))
    chosen = [each for each in SCENARIOS.values() if each.group in ("order", "crash")]
    target = run_profile(msgspec_like(HONEST, capabilities=claims), chosen)
    assert target.ok
    assert [each.need for each in target.underclaimed] == ["extension", "order"]
    assert "order.messages_come_in_their_order" in target.underclaimed[1].text


def test_windows_are_probed_both_ways():
    """A store that forgets sooner than is claimed fails; one that remembers for longer is an under-claim."""

    class Forgetful(MemoryBroker):
        def __init__(self, clock):
            super().__init__(clock)
            self.dedup.claim = lambda key, ttl: MemoryDedup.claim(self.dedup, key, min(ttl, 86400.0))

    chosen = [each for each in SCENARIOS.values() if "a_name_is_remembered" in each.name]
    claimed = msgspec_like(
        HONEST, service=shared(Forgetful), capabilities=Capabilities(dedup=Window(longest=172_800.0, atomic=True))
    )
    assert [result.status for result in run_profile(claimed, chosen).results] == ["not run", "failed"]
    modest = msgspec_like(HONEST, capabilities=Capabilities(dedup=Window(longest=86_400.0, atomic=True)))
    target = run_profile(modest, chosen)
    assert ([result.status for result in target.results], len(target.underclaimed)) == (["not run", "passed"], 1)


def test_what_is_not_claimed_is_not_passed():
    """A scenario that needs what is not claimed says that it was not run, and why."""
    profile = msgspec_like(HONEST, capabilities=Capabilities(extension=Unsupported("its service has no such call")))
    result = run_virtual(profile, SCENARIOS["extension.a_long_job_runs_once"])
    assert result.status == "not run"
    assert result.reason == "not run: capability not claimed: extension is not claimed: its service has no such call"


def test_expected_failures_are_strict():
    """One that fails is an expected failure, with its reason; one that does not is a failure."""
    name = "delay.a_delay_is_not_early"
    early = msgspec_like(liar(_put=half_a_delay), expected={name: "known"})
    assert run_virtual(early, SCENARIOS[name]).status == "expected failure"
    stale = run_virtual(msgspec_like(HONEST, expected={name: "known"}), SCENARIOS[name])
    assert (stale.status, "did not" in stale.reason) == ("failed", True)


def test_a_scenario_that_hangs_fails():
    """It ends, and the reason says that it hangs."""

    async def hangs(bench):
        await bench.until(lambda: False, "something that never happens", ticks=100)

    hanging = msgspec_scenario(hangs)
    result = run_virtual(HONEST, hanging)
    assert (result.status, "something that never happens" in result.reason) == ("failed", True)


def msgspec_scenario(body):
    """Return a scenario that is in no register."""
    example = SCENARIOS["enqueue.a_message_runs_once"]
    return type(example)(**{name: getattr(example, name) for name in type(example).__dataclass_fields__} | {"body": body})


def test_a_service_that_is_not_there_is_no_failure():
    """A target that cannot run says so, instead of failing every scenario."""

    @contextmanager
    def missing(clock):
        raise Unavailable("it is not installed")
        yield

    with pytest.raises(Unavailable, match="not installed"):
        run_virtual(msgspec_like(HONEST, service=missing), SCENARIOS["enqueue.a_message_runs_once"])


@pytest.mark.parametrize("bad", [("G999", ()), ("G1", ("magic",))])
def test_a_scenario_cites_what_there_is(bad):
    """A guarantee or a need that does not exist is refused when the scenario is registered."""

    async def body(bench):
        """It has a sentence."""

    with pytest.raises(ValueError, match="give a guarantee that there is"):
        scenario(bad[0], needs=bad[1])(body)


def test_targets_are_found():
    """Ours by their names, a stranger's by its place; anything else is an error that lists them."""
    assert [find(name).name for name in DEFAULT] == list(DEFAULT)
    assert set(DEFAULT) < set(NAMES)
    assert find("taskq_conformance.targets.memory:memory") is HONEST
    for bad in ("nothing", "nowhere:profile", "taskq_conformance.targets:NAMES"):
        with pytest.raises(ConfigError, match="target"):
            find(bad)


def test_a_report_is_read_back(tmp_path):
    """What is written as JSON is the run that was written."""
    target = run_profile(HONEST, [SCENARIOS["enqueue.a_message_runs_once"], SCENARIOS["long_delay.the_longest_step_is_kept"]])
    run = Run(environment=Environment(taskq="1", python="2", platform="3", at="4"), targets=(target,))
    assert read(written(run, tmp_path / "report")) == run
    assert run.ok
    assert target.tally() == {"passed": 1, "not run": 1}


def test_seeds_give_other_orders_and_the_same_answers():
    """With a seed the order of things is drawn; the backend in memory passes in each."""
    chosen = [each for each in SCENARIOS.values() if each.group in ("consumers", "fallback")]
    target = run_profile(HONEST, chosen, seeds=2)
    assert target.tally() == {"passed": 3 * len(chosen)}
    assert {result.seed for result in target.results} == {0, 1, 2}


def test_faults_are_judged_by_the_oracle(monkeypatch):
    """With seeds the simulator's faults are on: the histories of honest queues have no breach, those of a forgetful one have."""
    chosen = [each for each in SCENARIOS.values() if each.group in ("consumers", "crash", "expiry")]
    honest = run_profile(find("simulator"), chosen, seeds=2)
    assert honest.ok
    assert honest.tally()["passed"] > 50

    def forgets_what_expires(self, receipt, entry):
        del self._reserved[receipt]

    monkeypatch.setattr(RecordedQueue, "_expire", forgets_what_expires)
    breached = [each for each in run_profile(find("simulator"), chosen, seeds=2).results if "has a breach" in each.reason]
    assert any(each.seed for each in breached)


def test_what_happened_in_real_time_is_judged_by_the_oracle():
    """A scenario that looks away does not pass: its history shows that what was done came again, and honest queues' do not."""

    async def looks_away(bench):
        place = bench.place()
        await place.add(1)
        for _ in range(2):
            await place.backend.ack(await place.backend.reserve(1, 0.0))

    async def acknowledges_in_words_only(self, reservations):
        for each in reservations:
            await self.release(each, 0.0)
        return [True] * len(reservations)

    scenarios = [SCENARIOS["enqueue.a_message_runs_once"], msgspec_scenario(looks_away)]
    in_time = {"time": "real", "tick": 0.05, "late": 0.05}
    honest, lying = msgspec_like(HONEST, **in_time), msgspec_like(liar(ack=acknowledges_in_words_only), **in_time)
    assert run_profile(honest, scenarios).tally() == {"passed": 2}
    (result,) = run_profile(lying, scenarios[1:]).results
    assert (result.status, "has a breach" in result.reason, "was done" in result.reason) == ("failed", True, True), result.reason
    unfenced = msgspec.structs.replace(
        HONEST.capabilities, fencing=Unsupported("it believes whoever says that a message is done")
    )
    assert run_profile(msgspec_like(lying, capabilities=unfenced), scenarios[1:]).tally() == {"passed": 1}


def test_a_service_is_slow_and_not_dead_where_orders_are_drawn():
    """With a seed calls in threads take their time, and never so long that no bound could be kept."""
    assert run_virtual(find("moto"), SCENARIOS["backoff.a_backoff_ends_at_its_cap"], seed=1).status == "passed"


# -- the command line


def command(capsys, *words):
    status = main(["conformance", *words])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_the_command_line_runs_the_suite(capsys, tmp_path):
    """It says how it goes, closes with a table, writes a report, and its status is that all was kept."""
    status, out, _ = command(capsys, "memory://", "--only", "enqueue", "--report", str(tmp_path))
    assert status == 0
    count = sum("enqueue" in each.name for each in all_scenarios())
    assert re.search(rf"^in all +{count} +- +- +-$", out, re.MULTILINE)
    assert read(tmp_path / "conformance.json").targets[0].tally() == {"passed": count}
    assert logging.getLogger("taskq").isEnabledFor(logging.WARNING)


def test_the_command_line_fails_with_the_backend(capsys, monkeypatch):
    """A guarantee that is broken is told with its number and its reason, and the status is 1."""
    monkeypatch.setattr(MemoryBackend, "_put", half_a_delay_of_memory)
    status, out, _ = command(capsys, "memory", "--only", "a_delay_is_not_early")
    assert status == 1
    assert "failed: G12 delay.a_delay_is_not_early: the moment at which 5 s are over" in out


PUT = MemoryBackend._put


def half_a_delay_of_memory(self, entry, delay):
    PUT(self, entry, delay / 2)


def test_the_command_line_says_what_it_cannot_do(capsys):
    """A target that does not answer, one that there is not, and a scenario that there is not are told in a sentence."""
    status, out, _ = command(capsys, "redis://127.0.0.1:1/0", "--only", "enqueue.a_message_runs_once")
    assert (status, "redis cannot run here: Redis at 127.0.0.1:1 cannot be reached" in out) == (1, True)
    for words, text in ((["nothing"], "no target 'nothing'"), (["--only", "no such thing"], "--list"), (["x://y"], "no backend")):
        status, _, told = command(capsys, *words)
        assert (status, text in told) == (2, True)


def test_the_command_line_does_without_what_is_not_installed(capsys, monkeypatch):
    """A target whose extra is missing is told, the others run, and the status says that not all was."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "taskq_conformance.targets.ironmq", raising=False)
    for name in [name for name in sys.modules if name.startswith("taskq.backends.ironmq")]:
        monkeypatch.delitem(sys.modules, name)
    status, out, _ = command(capsys, "memory", "ironmq", "--only", "enqueue.a_message_runs_once")
    assert (status, "ironmq cannot run here: it needs what is not installed" in out) == (1, True)
    assert re.search(r"^in all +1 +- +- +-$", out, re.MULTILINE)


def test_the_command_line_lists_the_scenarios(capsys):
    """Each with the guarantee that it tries."""
    status, out, _ = command(capsys, "--list")
    assert (status, len(out.splitlines())) == (0, len(SCENARIOS))


def test_a_terminal_sees_a_bar_and_a_table():
    """With rich the bar moves, what failed is told at once, and the table follows."""
    console = Console(record=True, width=120, force_terminal=True, file=io.StringIO())
    live = Live(console)
    result = run_virtual(liar(_put=half_a_delay), SCENARIOS["delay.a_delay_is_not_early"])
    live.begin("liar", 1)
    live.result(result)
    live.table("liar: [of] a kind", [("", "failed"), ("Delays", "1")])
    live.close()
    told = console.export_text()
    assert "failed: G12 delay.a_delay_is_not_early" in told
    assert "liar: [of] a kind" in told
