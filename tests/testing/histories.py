"""Histories told by hand, in seconds: what the tests of the oracle judge."""

from taskq_testing.history import NANOSECONDS, History
from taskq_testing.oracle import judge

QUEUE = {
    "reservation_timeout": 4.0,
    "buffer": 2,
    "rate": None,
    "worker_limit": None,
    "pause_threshold": 0,
    "pause_period": 10.0,
    "pause_scope": "task",
    "poison_limit": 3,
    "dedup_window": 60.0,
    "fifo": False,
    "resolution": 0.0,
    "poll": 1.0,
}
TASK = {"max_attempts": 3, "min_backoff": 1.0, "max_backoff": 3.0, "jitter": 0.0, "fallback": False, "batch": False}


def ns(seconds):
    return round(seconds * NANOSECONDS)


class Story:
    """A history that grows by one sentence after another; messages are of task "t" on queue "q" unless it says otherwise."""

    def __init__(self, task=None, tasks=(), **queue):
        self.history = History()
        self.ops = self.runs = 0
        self(0, "queue", queue="q", data=QUEUE | queue)
        for name, policy in {"t": task or {}, **dict(tasks)}.items():
            self(0, "task", queue="q", task=name, data=TASK | policy)

    def __call__(self, t, kind, message="", process="", **fields):
        """Say that something happened at `t` seconds."""
        for name in ("due", "expires"):
            if name in fields:
                fields[name] = ns(fields[name])
        if message or kind in ("start", "consumer", "paused", "resumed", "settled", "size", "at_rest", "buffered"):
            fields.setdefault("queue", "q")
        self.history.record(ns(t), kind, message=message, process=process, **fields)
        return self

    def add(self, t, message, *, answer="accepted", due=0.0, task="t", stored=True, **claim):
        """Add a message, by a producer whose call takes no time."""
        self.ops += 1
        asked = {"op": self.ops, "task": task}
        self(t, "add", message, "api", delay=max(0.0, float(due - t)), **asked, **claim)
        if stored:
            self(t, "stored", message, "api", due=due, **asked, **claim)
        return self(t, answer, message, "api", op=self.ops)

    def serve(self, t, *processes):
        """Let consumers begin."""
        for process in processes:
            self(t, "consumer", process=process, outcome="running")
        return self

    def reserve(self, t, message, process, receipt, until=None, **fields):
        """Let a process own a message, for four seconds unless said otherwise."""
        return self(t, "reserved", message, process, receipt=receipt, expires=t + 4 if until is None else until, **fields)

    def start(self, t, message, process, receipt, *, attempt=1, worker=1, **fields):
        """Begin the next run."""
        self.runs += 1
        fields.setdefault("task", "t")
        return self(t, "start", message, process, receipt=receipt, run=self.runs, attempt=attempt, worker=worker, **fields)

    def end(self, t, run, outcome="ok", **fields):
        """End a run."""
        begun = next(event for event in self.history if event.kind == "start" and event.run == run)
        return self(t, "end", begun.message, begun.process, run=run, outcome=outcome, **fields)

    def run(self, t, message, process, receipt, *, until, attempt=1, **how):
        """Take a message, run it, and leave it owned."""
        self.reserve(t, message, process, receipt)
        return self.start(t, message, process, receipt, attempt=attempt).end(until, self.runs, **how)

    def ack(self, t, message, process, receipt, **fields):
        """Finish a message."""
        return self(t, "acked", message, process, receipt=receipt, **fields)

    def release(self, t, message, process, receipt, *, attempt, due=0.0, **fields):
        """Give a message back."""
        return self(t, "released", message, process, receipt=receipt, attempt=attempt, due=due, **fields)

    def perform(self, t, message, process, receipt, *, until):
        """Take a message through a life without incident."""
        return self.run(t, message, process, receipt, until=until).ack(until, message, process, receipt)

    def judged(self, *only):
        """Return what the oracle finds, as numbers and sentences."""
        return [(violation.invariant, violation.sentence) for violation in judge(self.history, only=only or None)]

    def numbers(self, *only):
        """Return the invariants that the oracle finds broken."""
        return [number for number, _ in self.judged(*only)]
