"""A second judge, as simple and slow as possible, of the invariants that are about messages: those in `CORE`.

It shares no code with the oracle. It knows how to play a history up to an event (`World`), in plain dicts and ifs, and asks of
each event whether it breaks something in the world that all events before it make, which is built anew for each question.
What an event says is believed, possible or not; each of the questions is one invariant's definition.

    python -m tests.testing.reference 100000 [seed]
"""

import random
import sys
import time
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from testing.naive_world import LIVE, World
from testing.random_histories import Fleet, damaged

from taskq_testing.oracle import judge

CORE = (1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 17, 19)
PRODUCERS = ("add", "accepted", "duplicate", "refused", "unknown")
FOREVER = 1 << 62


class Judge:
    """One history, and what each of its events breaks in the world that those before it made."""

    def __init__(self, history):
        self.events = history.events
        policy = next(event.data for event in self.events if event.kind == "queue")
        self.resolution = round(policy["resolution"] * 1e9)
        self.poll = round(policy["poll"] * 1e9)

    def violated(self):
        """Return the numbers of the invariants that are broken."""
        broken = self.loss() | self.phantom() | self.keys()
        for index, event in enumerate(self.events):
            question = getattr(self, f"at_{event.kind}", None)
            if question is not None:
                broken |= question(World(self.events[:index]), index, event)
        return broken & set(CORE)

    def is_past(self, moment, event):
        return moment <= event.t + self.resolution

    # -- 2, 4, 6, 8, 9, 19: what cannot happen where a message is

    def at_stored(self, world, index, event):
        entry = world.entry(index, event)
        again = event.op and entry["born"].op == event.op
        return {2} if entry["state"] in LIVE and not again else set()

    def at_due(self, world, index, event):
        entry = world.entry(index, event)
        if entry["state"] == "delayed":
            return set()
        return {19} if entry["was_delayed"] else {2}

    def at_reserved(self, world, index, event):
        entry = world.entry(index, event)
        state, owner = entry["state"], entry["owner"]
        found = {9} if entry["acked"] is not None else set()
        if state == "new" or (state == "done" and not found):
            found.add(4)
        if state == "dead" or (state == "delayed" and not self.is_past(entry["due"], event)):
            found.add(2)
        if state == "reserved" and (owner is None or not self.is_past(owner["expires"], event)):
            found.add(2)
        return found

    def at_settling(self, world, index, event):
        entry = world.entry(index, event)
        owner = entry["owner"]
        return set() if entry["state"] == "reserved" and (owner is None or owner["receipt"] == event.receipt) else {8}

    at_extended = at_released = at_dead = at_settling

    def at_acked(self, world, index, event):
        entry = world.entry(index, event)
        earned = any(run["well"] for run in world.runs if run["entry"] is entry)
        former = world.named(event.message, event.receipt)
        undone = former is not None and former["over"] is not None and former["over"][1].kind == "rolled_back"
        fenced = entry["state"] == "reserved" and undone  # whoever had it before a rollback may say that it has run
        return (set() if fenced else self.at_settling(world, index, event)) | (set() if earned else {6})

    def at_expired(self, world, index, event):
        entry = world.entry(index, event)
        owner = entry["owner"]
        if entry["state"] != "reserved" or owner is None or owner["receipt"] != event.receipt:
            return set()  # an orphan, which is not of these invariants
        return set() if self.is_past(owner["expires"], event) or self.died(world, owner) else {2}

    def at_stale(self, world, index, event):
        owner = world.named(event.message, event.receipt)
        good = owner is not None and owner["entry"]["owner"] is owner and not self.is_past(owner["expires"], event)
        return {2} if good else set()

    def at_purged(self, world, index, event):
        state = world.entry(index, event)["state"]
        return {4} if state == "reserved" else set() if state in ("ready", "delayed") else {2}

    def at_redriven(self, world, index, event):
        return set() if world.entry(index, event)["state"] == "dead" else {2}

    def died(self, world, owner):
        return any(at > owner["at"] and process == owner["process"] for at, process in world.crashes)

    # -- 7, 10, 15, 17: what a run may not do

    def at_start(self, world, index, event):
        by = world.used(event)
        entry = by["entry"] if by is not None else world.entry(index, event)
        found = {17} if entry["born"].kind != "cloned" and not self.is_past(self.earliest(entry), event) else set()
        if by is None:
            return found
        others = [run for run in world.runs if run["entry"] is entry and run["reservation"] is not None]
        earlier = [run for run in others if run["reservation"]["order"] <= by["order"]]
        if earlier:
            last = max(earlier, key=lambda run: (run["reservation"]["order"], run["at"]))
            asked = last["end"] is not None and last["outcome"] in ("error", "cancelled")
            redriven = entry["redriven"] > last["at"]
            if not (asked or redriven or self.is_lost(world, last["reservation"], last["event"], event)):
                found.add(7)
        if len(earlier) < len(others) and not self.is_lost(world, by, event, event):
            found.add(7)
        for run in others:
            if run["end"] is None and not run["gone"]:
                first = run if run in earlier else {"reservation": by, "event": event}
                if not self.is_lost(world, first["reservation"], first["event"], event):
                    found.add(10)
        if by is entry["owner"] and not entry["corrupted"] and event.attempt < entry["attempt"]:
            found.add(15)
        return found

    def is_lost(self, world, reservation, start, event):
        """Return whether a reservation, under which a run began, was lost by now in a way that lets another run begin."""
        if self.is_past(reservation["expires"], event):
            return True
        if reservation["over"] is None:
            return False
        over = reservation["over"][1]
        if over.kind == "rolled_back" or self.died(world, reservation):
            return True
        troubled = self.in_trouble(reservation["process"], start.t, over.t)
        return over.kind == "released" and (reservation["given_back"] or troubled)

    def in_trouble(self, process, begin, end):
        """Return whether a process was dead, or everybody was thrown back, at any time between two moments."""
        for index, event in enumerate(self.events):
            if event.kind == "rolled_back" and begin <= event.t <= end:
                return True
            if event.kind == "crash" and event.process == process and event.t <= end:
                spawns = [e.t for e in self.events[index:] if e.kind == "spawn" and e.process == process]
                back = spawns[0] if spawns else FOREVER
                if begin <= max(back, event.t + self.poll + 1_000_000):
                    return True
        return False

    def earliest(self, entry):
        """Return when an entry may run first: as the broker was asked, counted from when it was."""
        stored = entry["born"]
        if stored.kind != "stored":
            return 0
        asked = [e for e in self.events[: stored.seq] if e.kind == "add" and e.op == stored.op and e.delay > 0]
        return max(stored.due, stored.t + round(asked[-1].delay * 1e9)) if asked else stored.due

    # -- 1, 5, 12, 13: what is judged in the end

    def loss(self):
        rest = [event for event in self.events if event.kind == "rest"]
        world = World(self.events)
        for accepted in self.events if rest else ():
            if accepted.kind != "accepted":
                continue
            mine = [entry for entry in world.everything if entry["key"][0] == accepted.message]
            if any(len({end.kind for end in entry["ends"]}) > 1 for entry in mine):
                return {1}
            if any(entry["ends"] or entry["forgotten"] for entry in mine):
                continue
            live = [entry for entry in mine if entry["state"] != "new"]
            if not live or self.had_time(rest[-1], live[0]):
                return {1}
        return set()

    def had_time(self, rest, entry):
        """Return whether what is left was due, and a consumer ran, from `heal` on for as long as `heal` says."""
        heals = [event for event in self.events if event.kind == "heal"]
        if not heals:
            return False
        until = heals[-1].t + round(heals[-1].delay * 1e9)
        if rest.t < until or (entry["state"] == "delayed" and entry["due"] > until):
            return False
        running = {}
        for event in self.events:
            if event.kind == "consumer" and event.outcome == "running":
                running.setdefault(event.process, event.t)
            elif event.kind in ("consumer", "crash"):
                begin = running.pop(event.process, FOREVER)
                if begin <= heals[-1].t + self.poll and event.t >= until:
                    return True
        return any(begin <= heals[-1].t + self.poll for begin in running.values())

    def phantom(self):
        for event in self.events:
            if event.kind == "start":
                told = [e for e in self.events if e.kind in PRODUCERS and e.message == event.message]
                answers = [{e.kind for e in told if e.op == op} - {"add"} for op in {e.op for e in told}]
                if all(kinds and not kinds & {"accepted", "unknown"} for kinds in answers):
                    return {5}
        stored = [(i, e) for i, e in enumerate(self.events) if e.kind == "stored" and e.op]
        made = [e.op for i, e in stored if self.stands(i, len(self.events), e.t + 1)]
        return {5} if len(made) > len(set(made)) else set()

    def stands(self, index, before, moment):
        """Return whether no rollback between two events went back to before a moment."""
        return all(e.due >= moment for e in self.events[index:before] if e.kind == "rolled_back")

    def keys(self):
        found = set()
        claims = [(i, e, e.t + round(e.ttl * 1e9)) for i, e in enumerate(self.events) if e.kind == "stored" and e.key]
        end = len(self.events)
        for index, event in enumerate(self.events):
            mine = [claim for claim in claims if claim[0] < index and claim[1].key == event.key]
            if event.kind == "stored" and event.key and self.stands(index, end, event.t + 1):
                standing = [until for i, e, until in mine if self.stands(i, end, e.t + 1)]
                if any(not self.is_past(until, event) for until in standing):
                    found.add(12)
            elif event.kind == "denied":
                standing = [until for i, e, until in mine if self.stands(i, index, e.t)]
                if not any(event.t <= until + self.resolution for until in standing):
                    found.add(13)
            elif event.kind == "duplicate":
                found |= self.told(index, claims)
        return found

    def told(self, index, claims):
        """Return 13 if a producer was told of a duplicate that the broker knows nothing of, and nobody held the key since."""
        event, before = self.events[index], self.events[:index]
        if any(e.kind == "denied" and e.message == event.message for e in before):
            return set()
        adds = [e for e in before if e.kind == "add" and e.op == event.op]
        key = event.key or (adds[-1].key if adds else "")
        since = adds[-1].t if adds else event.t
        held = any(i < index and e.key == key and until >= since for i, e, until in claims)
        return {13} if key and not held else set()


def compare(count, seed=0):
    """Judge random histories twice; return how many broke what, and those about which the two judges differ."""
    broken, different = Counter(), []
    for number in range(count):
        rng = random.Random(f"{seed}:{number}")
        history = Fleet(rng).play(rng.choice((2, 4, 5, 6, 6)))
        damage = rng.choice((0, 1, 1, 2, 3, 5))
        if damage:
            history = damaged(history, rng, damage)
        expected = Judge(history).violated()
        found = {violation.invariant for violation in judge(history, only=CORE)}
        if found != expected or (not damage and expected):
            different.append((number, found, expected, history))
        broken.update(expected or ["none"])
    return broken, different


def main(arguments):
    """Compare as many histories as asked for and print what came of it."""
    count, seed = int(arguments[0]), arguments[1] if len(arguments) > 1 else "0"
    began = time.perf_counter()
    broken, different = compare(count, seed)
    for number, found, expected, history in different[:3]:
        print(f"history {number}: the oracle says {sorted(found)}, the reference {sorted(expected)}")
        print(history.dumps().decode())
    agreed = f"{count - len(different)} of {count} random histories are judged alike"
    print(f"{agreed}, in {time.perf_counter() - began:.0f} s; how many break which invariant:")
    print(", ".join(f"{number}: {broken[number]}" for number in ("none", *CORE)))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
