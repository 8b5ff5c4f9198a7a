"""What a list of events makes, in plain dicts: the world that the reference judge asks about. It is no model of the oracle's.

What an event says is believed, possible or not. Nothing is judged here.
"""

SETTLING = ("acked", "released", "dead")
LIVE = ("delayed", "ready", "reserved", "dead")


class World:
    """What a list of events makes: entries of messages, reservations, runs, and what consumers said last."""

    def __init__(self, events):
        self.entries = {}  # message and copy -> the entry that goes by that name now
        self.everything = []  # all entries, those included whose name was given anew
        self.reservations = []
        self.runs = []
        self.said = {}  # process -> what its consumer said last
        self.crashes = []
        self.back = None  # to when the last rollback went
        for index, event in enumerate(events):
            getattr(self, f"on_{event.kind}", self.nothing)(index, event)

    def nothing(self, index, event):
        """Most events change no message."""

    # -- finding

    def entry(self, index, event):
        key = (event.message, event.copy)
        if key not in self.entries:
            self.new_entry(key, index, event)
        return self.entries[key]

    def new_entry(self, key, index, event):
        fresh = {
            "key": key, "born": event, "since": index, "state": "new", "due": 0, "was_delayed": False, "owner": None,
            "acked": None, "ends": [], "forgotten": False, "attempt": 0, "corrupted": False, "redriven": -1,
        }  # fmt: skip
        self.entries[key] = fresh
        self.everything.append(fresh)
        return fresh

    def named(self, message, receipt):
        """Return the reservation that a receipt of a message stands for."""
        found = [r for r in self.reservations if r["message"] == message and r["receipt"] == receipt]
        return found[-1] if found else None

    def used(self, event):
        """Return the reservation that a run goes by: that of its receipt, or what its process has if that one is settled."""
        found = self.named(event.message, event.receipt)
        if found is not None and found["over"] is not None and found["over"][1].kind in SETTLING:
            now = found["entry"]["owner"]
            if now is not None and now["process"] == event.process:
                return now
        return found

    def going(self, entry):
        return [run for run in self.runs if run["entry"] is entry and not run["gone"] and run["end"] is None]

    # -- the broker

    def end(self, reservation, index, event):
        if reservation is not None and reservation["over"] is None:
            reservation["over"] = (index, event)

    def to_be_had(self, entry, state, event):
        entry["state"], entry["due"] = state, event.due
        entry["was_delayed"] |= state == "delayed"

    def on_stored(self, index, event):
        key = (event.message, event.copy)
        entry = self.entries.get(key)
        if entry is not None and entry["state"] != "new" and event.op and entry["born"].op == event.op:
            return
        if entry is None or entry["state"] == "done":
            entry = self.new_entry(key, index, event)
        entry["born"], entry["forgotten"] = event, False
        self.to_be_had(entry, "delayed" if event.due else "ready", event)

    def on_cloned(self, index, event):
        if (event.message, event.copy) not in self.entries:
            self.entry(index, event)["state"] = "ready"

    def on_due(self, index, event):
        self.entry(index, event)["state"] = "ready"

    def on_reserved(self, index, event):
        entry = self.entry(index, event)
        self.end(entry["owner"], index, event)
        entry["state"] = "reserved"
        entry["owner"] = self.reservation(index, event, entry)

    def reservation(self, index, event, entry):
        order = sum(r["entry"] is entry for r in self.reservations)
        made = {
            "message": event.message, "entry": entry, "receipt": event.receipt, "process": event.process, "at": index,
            "expires": event.expires, "over": None, "given_back": False, "order": order,
        }  # fmt: skip
        self.reservations.append(made)
        return made

    def on_extended(self, index, event):
        entry = self.entry(index, event)
        entry["state"] = "reserved"
        owner = entry["owner"]
        if owner is None or owner["receipt"] != event.receipt:
            owner = self.named(event.message, event.receipt)
        if owner is not None:
            owner["expires"] = event.expires
            entry["owner"] = owner

    def settle(self, index, event):
        entry = self.entry(index, event)
        owner, entry["owner"] = entry["owner"], None
        meant = owner
        if owner is None or (entry["state"] == "reserved" and owner["receipt"] != event.receipt):
            meant = self.named(event.message, event.receipt)
        ends_it = meant is not None and meant["over"] is None
        self.end(owner, index, event)
        self.end(meant, index, event)
        if ends_it and event.kind == "released" and self.said.get(meant["process"]) in ("stopping", "stopped"):
            self.give_back(meant)
        return entry

    def give_back(self, reservation):
        """A consumer that stops gives back what still runs, or what had ended well."""
        runs = [run for run in self.runs if run["reservation"] is reservation]
        if runs and (runs[-1]["end"] is None or runs[-1]["outcome"] == "ok"):
            reservation["given_back"] = True
            if runs[-1]["end"] is None:
                runs[-1]["gone"] = True

    def on_acked(self, index, event):
        entry = self.settle(index, event)
        entry["state"], entry["acked"] = "done", event
        entry["ends"].append(event)

    def on_released(self, index, event):
        entry = self.settle(index, event)
        self.to_be_had(entry, "delayed" if event.due else "ready", event)
        entry["attempt"] = max(entry["attempt"], event.attempt)

    def on_dead(self, index, event):
        entry = self.settle(index, event)
        entry["state"] = "dead"
        entry["ends"].append(event)

    def on_expired(self, index, event):
        entry = self.entry(index, event)
        if entry["state"] == "reserved":
            self.end(entry["owner"], index, event)
        entry["owner"] = None
        self.to_be_had(entry, "ready", event)

    def on_purged(self, index, event):
        entry = self.entry(index, event)
        self.end(entry["owner"], index, event)
        entry["state"], entry["owner"] = "done", None
        entry["ends"].append(event)

    def on_redriven(self, index, event):
        entry = self.entry(index, event)
        self.to_be_had(entry, "ready", event)
        entry["ends"] = [end for end in entry["ends"] if end.kind not in ("dead", "restored")]
        entry["attempt"], entry["redriven"] = 0, index

    def on_corrupted(self, index, event):
        self.entry(index, event)["corrupted"] = True

    def on_rolled_back(self, index, event):
        self.back = (index, event)
        for entry in self.everything:
            self.end(entry["owner"], index, event)
            entry["owner"], entry["attempt"] = None, 0
            forgotten = entry["born"].t >= event.due
            if entry["state"] in LIVE or (entry["state"] == "done" and forgotten):
                entry["state"], entry["forgotten"] = "new", forgotten
                entry["acked"] = None if forgotten else entry["acked"]
            if entry["forgotten"]:
                entry["ends"] = []

    def on_restored(self, index, event):
        entry = self.entry(index, event)
        since = self.back[1].due if self.back else event.t
        entry["state"], entry["due"], entry["forgotten"] = event.outcome, event.due, False
        entry["was_delayed"] |= event.outcome == "delayed"
        entry["ends"] = [end for end in entry["ends"] if end.t < since]
        if entry["acked"] is not None and entry["acked"].t >= since:
            entry["acked"] = None
        for old in self.reservations:
            if self.back and old["entry"] is entry and old["over"] is not None and old["over"][1].t >= since:
                old["over"] = self.back
        if event.outcome == "reserved":
            owner = self.named(event.message, event.receipt) or self.reservation(index, event, entry)
            owner["over"], owner["expires"] = None, event.expires
            entry["owner"] = owner
        elif event.outcome == "dead" and not entry["ends"]:
            entry["ends"].append(event)

    # -- processes

    def on_start(self, index, event):
        by = self.used(event)
        entry = by["entry"] if by is not None else self.entry(index, event)
        run = {
            "number": event.run, "entry": entry, "reservation": by, "event": event, "at": index, "end": None, "outcome": "",
            "gone": False, "died": False, "well": False,
        }  # fmt: skip
        self.runs.append(run)
        if by is not None and by is entry["owner"] and not entry["corrupted"]:
            entry["attempt"] = max(entry["attempt"], event.attempt)

    def on_end(self, index, event):
        runs = [run for run in self.runs if run["number"] == event.run]
        if runs and runs[-1]["end"] is None:
            runs[-1]["end"], runs[-1]["outcome"] = index, event.outcome
            runs[-1]["well"] = event.outcome == "ok" and not runs[-1]["died"]

    def on_consumer(self, index, event):
        self.said[event.process] = event.outcome

    def on_crash(self, index, event):
        self.crashes.append((index, event.process))
        self.said.pop(event.process, None)
        for run in self.runs:
            if run["event"].process == event.process and run["end"] is None and not run["gone"]:
                run["gone"] = run["died"] = True
