"""Random histories of a few operations on one or two messages, and random damage done to them.

A `Fleet` is a broker, two consumers and a producer that behave; each operation is one that is possible now. What it writes is
an honest history. `damaged` drops, swaps, repeats or moves some of its events.
"""

import msgspec
from testing.histories import TASK, ns

from taskq_testing.history import History

QUEUE = {"reservation_timeout": 4.0, "poll": 1.0, "poison_limit": None}
PROCESSES = ("w1", "w2")
VITAL = ("stored", "denied", "due", "reserved", "start", "end", "acked", "released", "dead", "expired", "rolled_back", "restored")


class Fleet:
    """Everything that behaves."""

    def __init__(self, rng):
        self.rng = rng
        self.t = 0
        self.history = History()
        self.ops = self.receipts = self.runs = self.copies = 0
        self.entries = []
        self.keys = {}  # key -> when it was taken, and until when
        self.alive = dict.fromkeys(PROCESSES, True)
        self.tell("queue", data=QUEUE | {"resolution": rng.choice((0.0, 0.0, 0.5))})
        self.tell("task", task="t", data=TASK | {"min_backoff": 0.0})
        for process in PROCESSES:
            self.tell("consumer", process=process, outcome="running")

    def tell(self, kind, **fields):
        self.history.record(ns(self.t), kind, queue="q", **fields)

    def about(self, kind, entry, **fields):
        self.tell(kind, message=entry["message"], copy=entry["copy"], **fields)

    def play(self, steps):
        """Do so many operations, and come to rest."""
        for _ in range(steps):
            self.t += self.rng.choice((0, 0, 1, 1, 2, 3, 4))
            self.pass_time()
            possible = self.possible()
            weights = [weight for weight, _, _ in possible]
            _, operation, arguments = self.rng.choices(possible, weights)[0]
            operation(*arguments)
        if self.rng.random() < 0.6:
            self.tell("heal", delay=1.0)
            self.drain()
            self.t += 2
        if self.rng.random() < 0.7:
            self.tell("rest")
        return self.history

    def pass_time(self):
        """Let what is due come due, and what has run out expire."""
        for entry in self.entries:
            if entry["state"] == "delayed" and entry["due"] <= self.t and self.rng.random() < 0.8:
                entry["state"] = "ready"
                self.about("due", entry)
            elif entry["state"] == "reserved" and entry["expires"] <= self.t and self.rng.random() < 0.8:
                entry["state"] = "ready"
                entry["lost"].append((entry["receipt"], entry["owner"]))
                self.about("expired", entry, receipt=entry["receipt"])

    def possible(self):
        """Return what can be done now, as weight, operation and arguments."""
        found = [(2 if not self.entries else 0.7 if len(self.entries) < 2 else 0.2, self.add, ())]
        for process, alive in self.alive.items():
            found.append((0.3, self.crash, (process,)) if alive else (1, self.spawn, (process,)))
            found.append((0.2 * alive, self.stop, (process,)))
        found.append((0.3, self.roll_back, ()))
        for entry in self.entries:
            found += self.possible_with(entry)
        return found

    def possible_with(self, entry):
        state, owner = entry["state"], entry.get("owner")
        overdue = (state == "delayed" and entry["due"] <= self.t) or (state == "reserved" and entry["expires"] <= self.t)
        if state == "ready" or overdue:
            yield from ((3, self.reserve, (entry, process)) for process, alive in self.alive.items() if alive)
        if state in ("ready", "delayed"):
            yield 0.3, self.purge, (entry,)
        if state == "dead":
            yield 1, self.redrive, (entry,)
        if state in ("ready", "reserved"):
            yield 0.2, self.clone, (entry,)
            yield 0.2, self.corrupt, (entry,)
        if self.has(entry, owner):
            run = entry["run"]
            if run is None:
                yield 4, self.start, (entry,)
            if run is not None and entry["outcome"] is None:
                yield 3, self.end, (entry, "ok")
                yield 2, self.end, (entry, "error")
            yield 1, self.extend, (entry,)
            if entry["outcome"] == "ok":
                yield 4, self.ack, (entry,)
            elif run is None or entry["outcome"] == "error":
                yield 2, self.release, (entry,)
                yield 0.5, self.give_up, (entry,)
        for receipt, process in entry["lost"]:
            if self.alive[process]:
                yield 2, self.late, (entry, receipt, process)

    def has(self, entry, process):
        """Return whether a process owns an entry and knows it: it did not die since."""
        mine = entry["state"] == "reserved" and entry["owner"] == process
        return mine and self.alive[process] and entry["since"] == self.deaths(process)

    # -- producers

    def add(self):
        self.ops += 1
        message, key = f"m{self.ops}", self.rng.choice(("", "", "k"))
        delay = self.rng.choice((0, 0, 0, 2))
        claim = {"key": key, "ttl": 3.0} if key else {}
        self.tell("add", process="api", message=message, op=self.ops, task="t", delay=float(delay), **claim)
        fate = self.rng.random()
        if fate < 0.1:
            self.tell("refused", process="api", message=message, op=self.ops)
            return
        if key and self.keys.get(key, (0, -1))[1] > self.t:
            self.tell("denied", process="api", message=message, key=key)
            self.tell("duplicate", process="api", message=message, op=self.ops, key=key)
            return
        if fate < 0.2:
            self.tell("unknown", process="api", message=message, op=self.ops)
            return
        due = self.t + delay if delay else 0
        self.tell("stored", process="api", message=message, op=self.ops, task="t", due=ns(due), **claim)
        if key:
            self.keys[key] = (self.t, self.t + 3)
        self.entry(message, 0, "delayed" if delay else "ready", due, ns(self.t))
        self.tell("unknown" if fate < 0.3 else "accepted", process="api", message=message, op=self.ops)

    def entry(self, message, copy, state, due, born):
        self.entries.append({
            "message": message, "copy": copy, "state": state, "due": due, "attempt": 1, "run": None, "outcome": None, "lost": [],
            "born": born,
        })  # fmt: skip

    # -- consumers

    def reserve(self, entry, process):
        if entry["state"] == "reserved":
            entry["lost"].append((entry["receipt"], entry["owner"]))
        self.receipts += 1
        entry |= {
            "state": "reserved", "receipt": self.receipts, "owner": process, "expires": self.t + 4, "run": None, "outcome": None,
            "since": self.deaths(process),
        }  # fmt: skip
        self.about("reserved", entry, process=process, receipt=self.receipts, expires=ns(self.t + 4), n=1)
        if self.rng.random() < 0.8:
            self.start(entry)
            if self.rng.random() < 0.6:
                self.end(entry, self.rng.choice(("ok", "error", "error")))

    def deaths(self, process):
        return sum(event.kind == "crash" and event.process == process for event in self.history)

    def start(self, entry):
        self.runs += 1
        entry["run"] = self.runs
        fields = {"run": self.runs, "attempt": entry["attempt"], "task": "t", "worker": 1}
        self.about("start", entry, process=entry["owner"], receipt=entry["receipt"], **fields)

    def end(self, entry, outcome):
        entry["outcome"] = outcome
        self.about("end", entry, process=entry["owner"], run=entry["run"], outcome=outcome)
        if self.rng.random() < 0.5:
            self.settle(entry)

    def settle(self, entry):
        if entry["outcome"] == "ok":
            self.ack(entry)
        else:
            self.release(entry)

    def by_owner(self, kind, entry, **fields):
        self.about(kind, entry, process=entry["owner"], receipt=entry["receipt"], **fields)

    def ack(self, entry):
        entry |= {"state": "done", "acked": self.t}
        self.by_owner("acked", entry)

    def release(self, entry):
        failed = entry["outcome"] == "error"
        entry["attempt"] += failed
        due = self.t + 2 if self.rng.random() < 0.3 else 0
        entry |= {"state": "delayed" if due else "ready", "due": due}
        self.by_owner("released", entry, attempt=entry["attempt"], due=ns(due))

    def give_up(self, entry):
        entry["state"] = "dead"
        self.by_owner("dead", entry, reason="failed")

    def extend(self, entry):
        entry["expires"] = self.t + 4
        self.by_owner("extended", entry, expires=ns(self.t + 4))

    def late(self, entry, receipt, process):
        """A process that was slow tries to settle what it has lost."""
        entry["lost"].remove((receipt, process))
        self.about("stale", entry, process=process, receipt=receipt, outcome="ack")

    def stop(self, process):
        """A consumer stops, gives back what it has, and begins again."""
        self.tell("consumer", process=process, outcome="stopping")
        for entry in self.entries:
            if entry["state"] == "reserved" and self.has(entry, process) and entry["outcome"] != "error":
                entry["state"] = "ready"
                self.by_owner("released", entry, attempt=entry["attempt"])
        self.tell("consumer", process=process, outcome="stopped")
        self.tell("consumer", process=process, outcome="running")

    # -- the broker and its operators

    def purge(self, entry):
        entry["state"] = "done"
        self.about("purged", entry)

    def redrive(self, entry):
        entry |= {"state": "ready", "attempt": 1}
        self.about("redriven", entry)

    def clone(self, entry):
        self.copies += 1
        self.entry(entry["message"], self.copies, "ready", 0, ns(self.t))
        self.about("cloned", self.entries[-1])

    def corrupt(self, entry):
        self.about("corrupted", entry)

    def crash(self, process):
        self.alive[process] = False
        self.tell("crash", process=process)

    def spawn(self, process):
        self.alive[process] = True
        self.tell("spawn", process=process)
        self.tell("consumer", process=process, outcome="running")

    def roll_back(self):
        """The broker forgets the last second: what was added then is gone, what was done then is ready again."""
        due = max(0, self.t - 1)
        self.tell("rolled_back", due=ns(due))
        for key, (taken, _) in list(self.keys.items()):
            if taken > due or (taken == due and self.rng.random() < 0.5):
                del self.keys[key]
        for entry in list(self.entries):
            if entry["born"] >= ns(due):
                self.entries.remove(entry)
            elif entry["state"] != "done" or entry.get("acked", -1) >= due:
                self.restore(entry)

    def restore(self, entry):
        """Bring a message back as it was, or as if nobody had ever had it."""
        if entry["state"] == "reserved" and self.rng.random() < 0.5:
            self.about("restored", entry, outcome="reserved", receipt=entry["receipt"], expires=ns(entry["expires"]))
            return
        if entry["state"] == "reserved":
            entry["lost"].append((entry["receipt"], entry["owner"]))
        state = entry["state"] if entry["state"] in ("delayed", "dead") else "ready"
        entry["state"] = state
        self.about("restored", entry, outcome=state, due=ns(entry["due"]) if state == "delayed" else 0)

    def drain(self):
        """Take every message to an end."""
        for entry in self.entries:
            if entry["state"] == "reserved":
                self.t = max(self.t, entry["expires"])
                self.about("expired", entry, receipt=entry["receipt"])
            if entry["state"] not in ("done", "dead"):
                self.purge(entry)


def damaged(history, rng, times):
    """Return a history with some of its events, the set-up excepted, dropped, swapped, repeated or moved in time."""
    setup = [event for event in history if event.kind in ("queue", "task")]
    events = [event for event in history if event.kind not in ("queue", "task")]
    for _ in range(times):
        if len(events) < 2:
            break
        vital = [index for index, event in enumerate(events) if event.kind in VITAL] or range(len(events))
        index, other = rng.choice(vital), rng.randrange(len(events))
        how = rng.choice(("drop", "swap", "repeat", "move", "hurry"))
        if how == "drop":
            del events[index]
        elif how == "swap":
            first, second = events[index], events[other]
            events[index], events[other] = _at(second, first.t), _at(first, second.t)
        elif how == "repeat":
            low, high = sorted((index, other))
            events.insert(high + 1, _at(events[low], events[high].t))
        elif how == "move":
            before, after = events[max(0, index - 1)].t, events[min(len(events) - 1, index + 1)].t
            events[index] = _at(events[index], rng.choice((before, (before + after) // 2, after)))
        else:
            gap = rng.choice((-1, 1, 2)) * ns(1)
            gap = max(gap, (events[index - 1].t if index else 0) - events[index].t)
            events[index:] = [_at(event, event.t + gap) for event in events[index:]]
    return History(msgspec.structs.replace(event, seq=seq) for seq, event in enumerate([*setup, *events]))


def _at(event, t):
    return msgspec.structs.replace(event, t=t)
