"""Histories to look at: one incident written by hand, and fleets of any size from a small model with a seed."""

import heapq
import random

from taskq_testing.history import NANOSECONDS, History
from taskq_testing.outcome import Violation

MESSAGE = "mail/api-1:1"


class Script:
    """Writes a history by hand, with times in seconds."""

    def __init__(self):
        self.history = History()

    def __call__(self, t, kind, process="", **fields):
        for name in ("due", "expires"):
            if name in fields:
                fields[name] = round(fields[name] * NANOSECONDS)
        self.history.record(round(t * NANOSECONDS), kind, process=process, **fields)
        return len(self.history) - 1


def incident():
    """A worker is suspended past its reservation, another runs the message again, and the first one's ack comes late."""
    say = Script()
    it = {"message": MESSAGE, "queue": "mail"}
    say(0.0, "queue", queue="mail", data={"reservation_timeout": 4.0})
    say(0.0, "spawn", "worker-1")
    say(0.0, "spawn", "worker-2")
    say(0.1, "add", "api-1", task="mail.greet", op=1, **it)
    say(0.102, "stored", "api-1", task="mail.greet", op=1, **it)
    say(0.104, "accepted", "api-1", op=1, message=MESSAGE)
    say(0.11, "reserved", "worker-1", receipt=1, n=1, expires=4.11, **it)
    say(0.112, "start", "worker-1", run=1, receipt=1, attempt=1, worker=0, task="mail.greet", **it)
    say(1.0, "suspend", "worker-1")
    say(3.0, "add", "api-2", task="mail.greet", op=1, message="mail/api-2:1", queue="mail")
    say(3.002, "stored", "api-2", task="mail.greet", op=1, message="mail/api-2:1", queue="mail")
    say(3.01, "reserved", "worker-2", message="mail/api-2:1", queue="mail", receipt=2, n=1, expires=7.01)
    say(3.012, "start", "worker-2", run=1, receipt=2, attempt=1, task="mail.greet", message="mail/api-2:1", queue="mail")
    say(3.3, "end", "worker-2", run=1, outcome="ok")
    say(3.301, "acked", "worker-2", message="mail/api-2:1", queue="mail", receipt=2)
    say(4.11, "expired", receipt=1, **it)
    again = say(4.111, "reserved", "worker-2", receipt=3, n=2, expires=8.111, **it)
    second = say(4.112, "start", "worker-2", run=2, receipt=3, attempt=1, worker=0, task="mail.greet", **it)
    say(5.0, "wake", "worker-1")
    say(5.2, "end", "worker-1", run=1, outcome="ok")
    late = say(5.202, "acked", "worker-1", receipt=3, **it)
    say(5.9, "end", "worker-2", run=2, outcome="error", reason="ValueError: no such mailbox <b>ada@example.org</b>")
    lost = say(5.901, "stale", "worker-2", receipt=3, message=MESSAGE, outcome="release")
    say(6.0, "heal", delay=30.0)
    say(6.0, "rest")
    sentence = f"{MESSAGE} was acknowledged at 5.202s by worker-1, whose reservation had run out at 4.110s"
    return say.history, [Violation(8, sentence, MESSAGE, (again, second, late, lost))]


class Worker:
    """What one process of the fleet does at the moment."""

    def __init__(self, name):
        self.name = name
        self.life = 1
        self.up = True
        self.suspended = False
        self.busy = {}


class Fleet:
    """Producers, one broker and workers, by a heap of what happens next. Run `history()` once."""

    def __init__(self, seed=0, messages=20, workers=3, faults=True):
        self.random = random.Random(seed)
        self.now = 0
        self.log = History()
        self.agenda = []
        self.count = 0
        self.ready = []
        self.owned = {}
        self.attempts = {}
        self.tasks = {}
        self.runs = 0
        self.workers = [Worker(f"worker-{number}") for number in range(1, workers + 1)]
        self.messages = messages
        self.faults = faults

    def history(self):
        """Play it to the end and return what happened."""
        for worker in self.workers:
            self.say("spawn", process=worker.name)
        t = 0.0
        for number in range(self.messages):
            t += self.random.expovariate(4.0) + (20.0 if self.random.random() < 0.02 else 0.0)
            self.at(t, self.enqueue, f"api-{1 + number % 2}", number)
        if self.faults:
            for fault in (self.suspend, self.crash, self.cut) * max(1, self.messages // 40):
                self.at(self.random.uniform(0.1, t * 0.9), fault, self.random.choice(self.workers))
            self.at(t * 0.5, self.restart)
        while self.agenda:
            self.now, _, call, arguments = heapq.heappop(self.agenda)
            call(*arguments)
        self.say("heal", delay=30.0)
        self.say("rest")
        return self.log

    def at(self, seconds, call, *arguments):
        self.count += 1
        heapq.heappush(self.agenda, (self.now + round(seconds * NANOSECONDS), self.count, call, arguments))

    def say(self, kind, **fields):
        self.log.record(self.now, kind, **fields)

    # -- producers

    def enqueue(self, process, op):
        queue = "mail" if self.random.random() < 0.7 else "reports"
        task = {"mail": "mail.greet", "reports": "reports.render"}[queue]
        message = f"{queue}/{process}:{op}"
        delay = self.random.choice([-1.0, -1.0, -1.0, 2.0])
        self.say("add", process=process, op=op, queue=queue, message=message, task=task, delay=delay)
        self.at(0.002, self.store, process, op, message, task, delay)

    def store(self, process, op, message, task, delay):
        queue = message.split("/")[0]
        if self.random.random() < 0.04:
            self.say("denied", process=process, queue=queue, message=message, key="welcome")
            self.say("duplicate", process=process, op=op, message=message, key="welcome")
            return
        self.attempts[message], self.tasks[message] = 1, task
        due = self.now + round(delay * NANOSECONDS) if delay > 0 else 0
        self.say("stored", process=process, op=op, queue=queue, message=message, task=task, due=due)
        self.say("accepted", process=process, op=op, message=message)
        if due:
            self.at(delay, self.due, message)
        else:
            self.offer(message)

    # -- the broker

    def due(self, message):
        self.say("due", queue=message.split("/")[0], message=message)
        self.offer(message)

    def offer(self, message):
        self.ready.append(message)
        self.dispatch()

    def dispatch(self):
        for worker in self.workers:
            while self.ready and worker.up and not worker.suspended and len(worker.busy) < 2:
                self.reserve(worker, self.ready.pop(0))

    def reserve(self, worker, message):
        self.count += 1
        receipt, expires = self.count, self.now + 2 * NANOSECONDS
        self.owned[receipt] = expires
        worker.busy[receipt] = message
        queue = message.split("/")[0]
        self.say("reserved", process=worker.name, queue=queue, message=message, receipt=receipt, n=1, expires=expires)
        self.at(2.0, self.expire, receipt, message)
        self.at(0.003, self.start, worker, worker.life, receipt, message)
        self.at(1.2, self.extend, worker, worker.life, receipt, message)

    def extend(self, worker, life, receipt, message):
        if worker.life == life and not worker.suspended and receipt in self.owned and receipt in worker.busy:
            self.owned[receipt] = self.now + 2 * NANOSECONDS
            self.say("extended", process=worker.name, message=message, receipt=receipt, expires=self.owned[receipt])
            self.at(2.0, self.expire, receipt, message)
            self.at(1.2, self.extend, worker, life, receipt, message)

    def expire(self, receipt, message):
        if self.owned.get(receipt) == self.now:
            del self.owned[receipt]
            self.say("expired", queue=message.split("/")[0], message=message, receipt=receipt)
            self.offer(message)

    # -- workers

    def start(self, worker, life, receipt, message):
        if worker.life != life:
            return
        self.runs += 1
        slot = list(worker.busy).index(receipt)
        self.say(
            "start", process=worker.name, run=self.runs, queue=message.split("/")[0], message=message, receipt=receipt,
            task=self.tasks[message], attempt=self.attempts[message], worker=slot,
        )  # fmt: skip
        self.at(min(6.0, self.random.lognormvariate(-1.0, 0.9)), self.end, worker, life, receipt, message, self.runs)

    def end(self, worker, life, receipt, message, run):
        if worker.life != life:
            return
        if worker.suspended:
            self.at(0.2, self.end, worker, life, receipt, message, run)
            return
        failed = self.random.random() < 0.18
        reason = "TimeoutError: the mail server did not answer" if failed else ""
        self.say("end", process=worker.name, run=run, outcome="error" if failed else "ok", reason=reason)
        self.at(0.002, self.settle, worker, receipt, message, failed)

    def settle(self, worker, receipt, message, failed):
        worker.busy.pop(receipt, None)
        known = {"process": worker.name, "message": message, "receipt": receipt}
        if receipt not in self.owned:
            self.say("stale", outcome="release" if failed else "ack", **known)
        elif not failed:
            del self.owned[receipt]
            self.say("acked", **known)
        elif self.attempts[message] == 3:
            del self.owned[receipt]
            self.say("dead", reason="failed 3 times: TimeoutError: the mail server did not answer", **known)
        else:
            del self.owned[receipt]
            self.attempts[message] += 1
            self.say("released", due=self.now + NANOSECONDS, attempt=self.attempts[message], **known)
            self.at(1.0, self.due, message)
        self.dispatch()

    # -- faults

    def suspend(self, worker):
        if worker.up and not worker.suspended:
            worker.suspended = True
            self.say("suspend", process=worker.name)
            self.at(self.random.uniform(1.0, 5.0), self.wake, worker, worker.life)

    def wake(self, worker, life):
        if worker.life == life:
            worker.suspended = False
            self.say("wake", process=worker.name)
            self.dispatch()

    def crash(self, worker):
        if worker.up:
            worker.up, worker.suspended, worker.busy = False, False, {}
            worker.life += 1
            self.say("crash", process=worker.name)
            self.at(self.random.uniform(1.0, 4.0), self.spawn, worker)

    def spawn(self, worker):
        worker.up = True
        self.say("spawn", process=worker.name)
        self.dispatch()

    def cut(self, worker):
        self.say("cut", process=worker.name, outcome="replies")
        self.at(self.random.uniform(0.5, 2.0), self.mend, worker)

    def mend(self, worker):
        self.say("mended", process=worker.name)

    def restart(self):
        self.say("fault", outcome="broker_restart", delay=0.5)


def fleet(events=20, seed=0, **settings):
    """Return a history of at least so many events."""
    messages = 2
    while True:
        history = Fleet(seed, messages, **settings).history()
        if len(history) >= events:
            return history
        messages += max(1, (events - len(history)) // 8)
