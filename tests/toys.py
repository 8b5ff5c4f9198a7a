"""Toy scenarios for the tests of exploration: a few events and draws each, with a bug that needs particular draws."""

import hashlib
import sys
import types
from collections import Counter, deque

import pytest

from taskq_testing.explore.decorator import SimulationFailed
from taskq_testing.history import NANOSECONDS, History
from taskq_testing.outcome import Outcome, Violation
from taskq_testing.tape import Tape


def outcome(tape, history, *, violations=(), error=None, fired=()):
    return Outcome(
        seed=tape.seed,
        entries=dict(tape.entries),
        draws=tape.draws,
        history=history,
        violations=list(violations),
        error=error,
        trace=hashlib.sha256(history.dumps()).hexdigest(),
        virtual=history.events[-1].t / NANOSECONDS if history.events else 0.0,
        fired=Counter(fired),
    )


class ToyQueue:
    """Three messages for two workers; worker-1 takes them until it crashes.

    The bug: api-1:2 is lost if the reply to its enqueue is lost, its handler is slow by `slow` at least, and worker-1 crashes at
    its third await. `crash` and `lost_reply` fire now and then; `slow` and `noise` say how much.
    """

    def __init__(self, slow=7):
        self.slow = slow
        self.runs = 0

    def __call__(self, tape: Tape) -> Outcome:
        self.runs += 1
        self.tape, self.history, self.t, self.fired, self.worker = tape, History(), 0, [], "worker-1"
        tape.position = self.history.__len__
        self.record("queue", queue="mail", data={"reservation_timeout": 30.0})
        for name in ("worker-1", "worker-2"):
            self.record("spawn", process=name)
        unsure = {name for name in ("api-1:1", "api-1:2", "api-1:3") if self.add(name)}
        violations = [self.lost(name) for name in ("api-1:1", "api-1:2", "api-1:3") if not self.process(name, name in unsure)]
        self.record("rest")
        return outcome(tape, self.history, violations=violations, fired=self.fired)

    def record(self, kind, **fields):
        self.t += NANOSECONDS
        self.history.record(self.t, kind, **fields)

    def fires(self, name, key, likely):
        if self.tape.draw(name, 2, key, likely):
            self.fired.append(name)
            return True
        return False

    def add(self, message):
        self.record("add", process="api-1", queue="mail", message=message, task="greet", op=int(message[-1]))
        self.record("stored", queue="mail", message=message, task="greet", op=int(message[-1]))
        if self.fires("lost_reply", message, 0.2):
            self.record("fault", process="api-1", message=message, outcome="lost_reply")
            self.record("unknown", process="api-1", message=message, op=int(message[-1]))
            return True
        self.record("accepted", process="api-1", message=message, op=int(message[-1]))
        return False

    def process(self, message, unsure):
        """Run one message; False if it is lost."""
        number = int(message[-1])
        self.record("reserved", process=self.worker, queue="mail", message=message, receipt=number, n=1, expires=10**12)
        self.record(
            "start", process=self.worker, queue="mail", message=message, receipt=number, run=number, attempt=1, task="greet"
        )
        slow = self.tape.draw("slow", 100, message, 0.5)
        self.tape.draw("noise", 1000, message, 0.9)
        for turn in range(2):
            if self.fires("crash", self.worker, 0.2):
                third = self.worker == "worker-1" and message == "api-1:2" and turn == 0
                self.record("crash", process=self.worker)
                self.worker = "worker-2"
                self.record("expired", queue="mail", message=message, receipt=number)
                if third and unsure and slow >= self.slow:
                    return False
        self.record("end", process=self.worker, message=message, run=number, outcome="ok")
        self.record("acked", process=self.worker, queue="mail", message=message, receipt=number)
        return True

    def lost(self, message):
        seqs = tuple(event.seq for event in self.history.about(message))
        return Violation(1, f"message {message} was accepted and is neither done nor dead", message, seqs)


BUG = {("lost_reply", "api-1:2", 0): 1, ("slow", "api-1:2", 0): 7, ("crash", "worker-1", 2): 1}
"""The least that breaks the toy queue."""


def interleave(tape, programs, likely=0.1):
    """Run programs (name: list of functions), one step of one of them at a time, the oldest ready one first."""
    ready, steps = deque(programs), {name: deque(program) for name, program in programs.items()}
    while ready:
        chosen = tape.draw("schedule", len(ready), key=",".join(ready), likely=likely)
        name = ready[chosen]
        del ready[chosen]
        steps[name].popleft()()
        if steps[name]:
            ready.append(name)


def toy_race(tape: Tape, *, lead=4) -> Outcome:
    """Two processes: one sets up, the other uses what was set up, `lead` steps later if they take turns."""
    history, done, errors = History(), [], []

    def step(name):
        history.record(len(history), "buffered", process=name, n=len(history))

    def use():
        step("user")
        if not done:
            errors.append(RuntimeError("used before it was set up"))

    def set_up():
        step("setup")
        done.append(True)

    setup = [lambda: step("setup")] * 9 + [set_up]
    user = [lambda: step("user")] * (9 + lead) + [use]
    interleave(tape, {"setup": setup, "user": user})
    return outcome(tape, history, error=errors[0] if errors else None)


def toy_lost_update(tape: Tape) -> Outcome:
    """Two processes increment one number in two steps each, one long after the other if they take turns."""
    history, value, seen = History(), [0], {}

    def idle():
        history.record(len(history), "buffered", process="idle", n=len(history))

    def read(name):
        seen[name] = value[0]
        history.record(len(history), "buffered", process=name, n=value[0])

    def write(name):
        value[0] = seen[name] + 1
        history.record(len(history), "buffered", process=name, n=value[0])

    def program(name, before):
        return [idle] * before + [lambda: read(name), lambda: write(name)] + [idle] * (12 - before)

    interleave(tape, {"a": program("a", 2), "b": program("b", 9)})
    violations = [Violation(10, "an increment was lost")] if value[0] != 2 else []
    return outcome(tape, history, violations=violations)


class ToyWorld:
    """What a toy scenario sees: it may draw, write down what happens, and break a promise."""

    def __init__(self, tape, app, settings):
        self.tape, self.app, self.settings = tape, app, settings
        self.history, self.violations, self.fired = History(), [], []
        tape.position = self.history.__len__

    def fires(self, name, key="", likely=0.3):
        fired = bool(self.tape.draw(name, 2, key, likely))
        if fired:
            self.fired.append(name)
        self.happens("fault", process="worker-1", outcome=name) if fired else None
        return fired

    def happens(self, kind, **fields):
        self.history.record(len(self.history) * NANOSECONDS, kind, **fields)

    def breaks(self, sentence):
        self.violations.append(Violation(1, sentence))


def scenario(body, *, app, workers=3, faults="all"):
    """Stand in for `taskq_testing.simulator.scenario`: no loop, no queue; scenarios do not really wait."""

    def run(tape):
        world = ToyWorld(tape, app, {"workers": workers, "faults": faults})
        world.happens("spawn", process="worker-1")
        error = None
        try:
            body(world).send(None)
        except StopIteration:
            pass
        except Exception as raised:
            error = raised
        world.happens("rest")
        return outcome(tape, world.history, violations=world.violations, error=error, fired=world.fired)

    return run


def install(monkeypatch):
    """Put the toy simulator in the place of the real one, and take everybody's orders out of the environment."""
    fake = types.ModuleType("taskq_testing.simulator")
    fake.scenario = scenario
    monkeypatch.setitem(sys.modules, "taskq_testing.simulator", fake)
    for name in ("TASKQ_SEEDS", "TASKQ_SEED", "TASKQ_STRATEGY", "TASKQ_TAPE", "TASKQ_TAPES"):
        monkeypatch.delenv(name, raising=False)


LOST = {("crash", "worker-1", 0): 1, ("lost_reply", "m", 0): 1}
"""What `buggy` needs to fail."""


async def buggy(world):
    """Lose a message if its reply is lost and the worker's first crash happens."""
    for name in ("crash", "slow", "crash", "slow"):
        world.fires(name, "worker-1")
    if world.fires("lost_reply", "m") and world.tape.entries.get(("crash", "worker-1", 0)):
        world.breaks("message m is lost")


def failing(function, *args, **fixtures):
    """Call a simulation that has to fail, and return its failure."""
    with pytest.raises(SimulationFailed) as caught:
        function(*args, **fixtures)
    return caught.value
