"""A backend on one SQLite file: a queue for several processes of one machine, and for as few messages as that takes."""

import asyncio
import sqlite3

import msgspec

from taskq.backends.base import Capabilities, DeadLetter, Size
from taskq.backends.memory import MemoryBroker
from taskq.errors import DuplicateMessageError, ReservationLost
from taskq.message import Reservation

TABLES = """
CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY, id BLOB UNIQUE, queue TEXT, body BLOB, due REAL DEFAULT 0,
    expires REAL DEFAULT 0, stamp INTEGER DEFAULT 0, deliveries INTEGER DEFAULT 0, dead TEXT);
CREATE TABLE IF NOT EXISTS names (key BLOB PRIMARY KEY, until REAL);
"""
ADD = "INSERT OR IGNORE INTO messages (id, queue, body, due) VALUES (?, ?, ?, ?)"
TAKE = """UPDATE messages SET expires = ?, stamp = stamp + 1, deliveries = deliveries + 1 WHERE number IN (
    SELECT number FROM messages WHERE queue = ? AND dead IS NULL AND due <= ? AND expires <= ? ORDER BY number LIMIT ?)
    RETURNING number, id, body, stamp, deliveries"""
OWNED = "number = ? AND stamp = ? AND expires > ? AND dead IS NULL"
COUNT = "SELECT COALESCE(SUM(dead IS NULL AND due <= :t AND expires <= :t), 0), COALESCE(SUM(dead IS NULL AND due > :t), 0), \
    COALESCE(SUM(dead IS NULL AND expires > :t), 0), COALESCE(SUM(dead IS NOT NULL), 0) FROM messages WHERE queue = :q"


class SqliteBroker:
    """One file. Names are shared by all who use it; rate limits and locks are this process's own."""

    def __init__(self, path, clock):
        self.now, self.monotonic = clock.now, clock.monotonic
        self.db = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + TABLES)
        local = MemoryBroker(clock)
        self.limiter, self.locks, self.dedup = local.limiter, local.locks, self

    def queue(self, name, options):
        return SqliteBackend(self, name, options.reservation_timeout)

    def take(self, key, ttl):
        self.db.execute("DELETE FROM names WHERE until <= ?", (self.now(),))
        return self.db.execute("INSERT OR IGNORE INTO names VALUES (?, ?)", (key, self.now() + ttl)).rowcount == 1

    async def claim(self, key, ttl):
        return self.take(key, ttl)

    async def unclaim(self, key):
        self.db.execute("DELETE FROM names WHERE key = ?", (key,))

    async def aclose(self):
        self.db.close()


class SqliteBackend:
    """One queue of the file."""

    capabilities = Capabilities(dedup=True, fifo=True, resolution=0.001)

    def __init__(self, broker, name, timeout):
        self.broker, self.name, self.timeout, self.sql = broker, name, timeout, broker.db.execute

    async def send(self, batch):
        with self.broker.db:  # one transaction: a name and its message stand or fall together
            self.sql("BEGIN IMMEDIATE")
            return [self.add(each) for each in batch]

    def add(self, each):
        if each.claim is not None and not self.broker.take(each.claim.key, each.claim.ttl):
            return DuplicateMessageError(each.claim.key.hex())
        self.sql(ADD, (each.id, self.name, each.body, self.broker.now() + each.delay))
        return None

    async def reserve(self, n, wait):
        until = self.broker.monotonic() + wait
        while True:
            now, expires = self.broker.now(), self.broker.monotonic() + self.timeout
            rows = sorted(self.sql(TAKE, (now + self.timeout, self.name, now, now, n)).fetchall())
            if rows or self.broker.monotonic() >= until:
                return [Reservation(row[1], row[2], (row[0], row[3]), row[4], expires) for row in rows]
            await asyncio.sleep(0.05)

    def settle(self, change, reservation, *values):
        return self.sql(f"{change} WHERE {OWNED}", (*values, *reservation.receipt, self.broker.now())).rowcount == 1

    def must(self, settled):
        if not settled:
            raise ReservationLost("the message is no longer owned; nothing was changed")

    async def ack(self, reservations):
        return [self.settle("DELETE FROM messages", each) for each in reservations]

    async def release(self, each, delay):
        change = "UPDATE messages SET body = ?, due = ?, expires = 0, deliveries = 0"
        self.must(self.settle(change, each, each.body, self.broker.now() + delay))

    async def extend(self, each, by):
        self.must(self.settle("UPDATE messages SET expires = ?", each, self.broker.now() + by))
        return msgspec.structs.replace(each, expires_at=self.broker.monotonic() + by)

    async def dead_letter(self, each, reason):
        self.must(self.settle("UPDATE messages SET dead = ?, expires = 0", each, reason))

    async def size(self):
        row = self.sql(COUNT, {"t": self.broker.now(), "q": self.name}).fetchone()
        return Size(ready=row[0], delayed=row[1], reserved=row[2], dead=row[3])

    async def purge(self):
        drop = "DELETE FROM messages WHERE queue = ? AND dead IS NULL AND expires <= ?"
        return self.sql(drop, (self.name, self.broker.now())).rowcount

    async def dead_letters(self, limit):
        find = "SELECT id, body, dead, number FROM messages WHERE queue = ? AND dead IS NOT NULL ORDER BY number LIMIT ?"
        return [DeadLetter(*row) for row in self.sql(find, (self.name, limit))]

    async def redrive(self, letters):
        back = "UPDATE messages SET dead = NULL, deliveries = 0, body = ? WHERE number = ? AND dead IS NOT NULL"
        return sum(self.sql(back, (letter.body, letter.key)).rowcount for letter in letters)

    async def discard(self, letters):
        drop = "DELETE FROM messages WHERE number = ? AND dead IS NOT NULL"
        return sum(self.sql(drop, (letter.key,)).rowcount for letter in letters)

    async def aclose(self):
        pass
