"""Bugs of the in-memory backend, one line each."""

from __future__ import annotations

import msgspec

from conformance.mutants.mutant import Mutant, rewriting
from conformance.mutants.patches import Attribute
from taskq.backends.base import Capabilities

__all__ = ["MUTANTS"]

_broker = rewriting("taskq.backends.memory:", "memory")
_queue = rewriting("taskq.backends.memory:MemoryBackend.", "memory")
_stores = rewriting("taskq.backends.memory_stores:", "memory")


def _without_order(declared: Capabilities) -> Capabilities:
    return msgspec.structs.replace(declared, fifo=False)


_OWN = "entry = self._own(reservation)"
_GONE = "entry = self._reserved.get(reservation.receipt) or Entry(reservation.id, reservation.body)"
_TAKEN = "entry = self._own(reservation)\n        del self._reserved[reservation.receipt]"
_ANYBODYS = "entry = self._reserved.pop(reservation.receipt, None) or Entry(reservation.id, reservation.body)"
_THEFT = """self._promote(self._monotonic())
        ids = [each.id for each in reservations]
        self._reserved = {key: entry for key, entry in self._reserved.items() if entry.id not in ids}"""

_DELAYS = (
    _queue("a_delay_is_forgotten", "G12", "_put", "if delay > 0:", "if False:"),
    _queue("a_delay_loses_its_fraction", "G12", "_put", "() + delay", "() + int(delay)", "F21"),
    _queue("a_delay_is_taken_for_milliseconds", "G12", "_put", "() + delay", "() + delay / 1000"),
    _queue("a_delay_takes_twice_as_long", "G13", "_put", "() + delay", "() + delay * 2"),
    _queue(
        "a_waiting_reserve_forgets_what_comes_due", "G13", "reserve", "min(deadline, self._next_change()) - now", "deadline - now"
    ),
    _queue("a_short_delay_waits_for_a_long_one", "G15", "_put", "heapq.heappush(self._delayed, (", "self._delayed.append(("),
)

_QUEUEING = (
    _queue("the_newest_comes_first", "G11", "_put", "self._ready.append", "self._ready.appendleft"),
    _queue("a_batch_is_added_backwards", "G11", "send_blocking", "for outgoing in batch]", "for outgoing in reversed(batch)]"),
    _queue("a_reserve_brings_one_too_many", "G9", "_take", "min(n, len(", "min(n + 1, len("),
    _queue("two_reserves_bring_the_same", "G8", "_take", "self._ready.popleft()", "self._ready[0]"),
    _queue("a_send_wakes_nobody", "G10", "send_blocking", "self._pop_waiters(len(batch)) if self._waiters else ()", "()"),
    _queue("a_release_wakes_nobody", "G10", "release", "self._wake_one()", "pass"),
    _queue("a_redrive_wakes_nobody", "G22", "redrive", "self._pop_waiters(len(found))", "[]"),
    _broker(
        "all_queues_are_one",
        "G48",
        "MemoryBroker.queue",
        "backend = self._queues.get(name)",
        "name = ''\n    backend = self._queues.get(name)",
    ),
    _queue(
        "a_batch_loses_its_last",
        "G1",
        "send_blocking",
        "[self._add(outgoing) for outgoing in batch]",
        "[self._add(each) for each in (batch[:-1] if len(batch) > 5 else batch)] + [None] * (len(batch) > 5)",
    ),
    _queue("a_reserve_without_a_wait_waits", "G10", "reserve", "self._monotonic() + wait", "self._monotonic() + max(wait, 1.5)"),
    _queue(
        "a_full_queue_makes_its_own_handler_wait",
        "G1",
        "send",
        "return self.send_blocking(batch)",
        "while len(self._ready) >= 64:\n        await asyncio.sleep(1)\n    return self.send_blocking(batch)",
        "F33",
    ),
)

_OWNERSHIP = (
    _queue("what_expires_is_lost", "G35", "_expire", "self._ready.append(entry)", "pass"),
    _queue("reservations_never_end", "G35", "_take", "heapq.heappush(self._expiry,", "id("),
    _queue("reservations_end_too_soon", "G35", "_take", "now + self._timeout", "now + self._timeout / 2"),
    _queue("reservations_end_too_late", "G35", "_take", "now + self._timeout", "now + self._timeout * 2"),
    _queue("an_extension_changes_nothing", "G36", "extend", "self._monotonic() + by", "entry.expires_at"),
    _queue("an_extension_is_not_looked_at", "G36", "_promote", "if entry.expires_at <= now:", "if True:"),
    _queue("an_extension_counts_from_the_old_end", "G35", "extend", "self._monotonic() + by", "entry.expires_at + by"),
    _queue(
        "a_late_ack_says_it_worked",
        "G37",
        "ack",
        "self._reserved.pop(reservation.receipt, None) is not None",
        "self._reserved.pop(reservation.receipt, None) is not None or True",
    ),
    _queue(
        "a_late_ack_removes_what_is_anothers",
        "G37",
        "ack",
        "self._promote(self._monotonic())",
        _THEFT,
    ),
    _queue("a_late_release_resurrects", "G37", "release", _TAKEN, _ANYBODYS, "F15"),
    _queue("a_late_extension_succeeds", "G37", "extend", _OWN, _GONE),
    _queue("a_late_burial_is_carried_out", "G37", "dead_letter", _TAKEN, _ANYBODYS),
    _queue("a_release_drops_the_new_body", "G18", "release", "Entry(entry.id, reservation.body,", "Entry(entry.id, entry.body,"),
    _queue("a_release_drops_the_delay", "G16", "release", "copy=entry.copy), delay)", "copy=entry.copy), 0.0)"),
    _queue(
        "an_outcome_does_not_end_the_count_of_deliveries",
        "G40",
        "release",
        "copy=entry.copy",
        "copy=entry.copy, deliveries=entry.deliveries",
    ),
    _queue("deliveries_are_not_counted", "G40", "_take", "entry.deliveries += 1", "entry.deliveries = 1", "F27"),
    _queue(
        "an_ack_removes_nothing",
        "G38",
        "ack",
        "self._reserved.pop(reservation.receipt, None)",
        "self._reserved.get(reservation.receipt)",
    ),
    _queue(
        "an_ack_of_many_removes_one",
        "G38",
        "ack",
        "self._reserved.pop(reservation.receipt, None) is not None for reservation in reservations",
        "index > 0 or self._reserved.pop(each.receipt, None) is not None for index, each in enumerate(reservations)",
    ),
)

_LOOKING_AFTER = (
    _queue("a_dead_letter_loses_its_body", "G21", "dead_letter", "entry.body", 'b""'),
    _queue("a_dead_letter_loses_its_reason", "G21", "dead_letter", "entry.body, reason,", 'entry.body, "",'),
    _queue("more_dead_letters_come_than_are_asked_for", "G21", "dead_letters", "range(limit)", "range(10**6)"),
    _queue("a_redrive_counts_what_was_not_there", "G22", "redrive", "return len(found)", "return len(letters)"),
    _queue("a_redrive_leaves_the_dead_letter", "G22", "redrive", "self._dead.pop(", "self._dead.get("),
    _queue("a_redrive_drops_the_new_body", "G22", "redrive", "Entry(letter.id, letter.body)", "Entry(letter.id, b'')"),
    _queue("a_discard_drops_nothing", "G22", "discard", "self._dead.pop(", "self._dead.get("),
    _queue("a_discard_drops_all", "G22", "discard", "return sum(", "return len(letters) if self._dead.clear() is None else sum("),
    _queue(
        "a_purge_takes_what_is_reserved",
        "G45",
        "purge",
        "self._ready.clear()",
        "self._ready.clear()\n        self._reserved.clear()",
        "F32",
    ),
    _queue("a_purge_spares_what_is_delayed", "G44", "purge", "self._delayed.clear()", "pass"),
    _queue(
        "a_purge_takes_the_dead", "G44", "purge", "self._delayed.clear()", "self._delayed.clear()\n        self._dead.clear()"
    ),
    _queue("a_purge_counts_what_is_ready_alone", "G44", "purge", " + len(self._delayed)", ""),
    _queue(
        "what_is_reserved_counts_as_ready",
        "G46",
        "size",
        "ready=len(self._ready)",
        "ready=len(self._ready) + len(self._reserved)",
        "F42",
    ),
    _queue("what_is_delayed_is_not_counted", "G46", "size", "delayed=len(self._delayed)", "delayed=0", "F42"),
    _queue("what_is_dead_is_not_counted", "G46", "size", "dead=len(self._dead)", "dead=0"),
)

_STORES = (
    _stores("names_are_not_remembered", "G23", "MemoryDedup.take", "if key in self.taken:", "if False:"),
    _stores("names_are_never_free", "G24", "MemoryDedup.take", "self.taken.get(old) == until", "False"),
    _stores(
        "names_are_free_too_soon",
        "G24",
        "MemoryDedup.take",
        "now + ttl\n    heapq.heappush(self.expiry, (now + ttl, key))",
        "now + ttl / 2\n    heapq.heappush(self.expiry, (now + ttl / 2, key))",
    ),
    _queue(
        "a_name_is_taken_by_what_is_refused",
        "G27",
        "_add",
        "if self._max_size is not None",
        "if claim:\n        self._broker.dedup.take(claim.key, claim.ttl, 0.0)\n    if self._max_size is not None",
        "F4",
    ),
    _stores("locks_are_everybodys", "G34", "MemoryLocks.acquire", "if holder != owner and until > now:", "if False:"),
    _stores("a_dead_owners_lock_never_ends", "G34", "MemoryLocks.acquire", " and until > now", ""),
    _stores("a_lock_is_not_freed", "G34", "MemoryLocks.unlock", "== owner", "is None"),
)

_PLAIN = (
    _queue(
        "what_was_due_for_a_while_is_forgotten",
        "G13",
        "_promote",
        "self._delayed[0][0] <= now:",
        "self._delayed[0][0] <= now < self._delayed[0][0] + 3:",
    ),
    _queue("what_is_given_back_at_once_waits", "G38", "release", "copy=entry.copy), delay)", "copy=entry.copy), delay or 4.0)"),
    _queue(
        "the_last_that_is_ready_is_not_counted", "G46", "size", "ready=len(self._ready)", "ready=max(0, len(self._ready) - 1)"
    ),
    _queue("an_empty_queue_counts_one", "G47", "size", "ready=len(self._ready)", "ready=len(self._ready) or 1"),
    _queue(
        "a_purge_drops_one_at_least",
        "G44",
        "purge",
        "len(self._ready) + len(self._delayed)",
        "(len(self._ready) + len(self._delayed) or 1)",
    ),
    _queue(
        "a_large_body_is_refused",
        "G54",
        "_add",
        "self._max_size is not None and len(outgoing.body) > self._max_size",
        "len(outgoing.body) > 1_000_000",
    ),
    _queue(
        "equal_messages_are_duplicates",
        "G23",
        "_add",
        "claim = outgoing.claim",
        "from taskq.core.dedup import Claim\n    claim = outgoing.claim or Claim(outgoing.body[-12:], 60.0)",
    ),
    Mutant("it_declares_no_order", "G54", (Attribute("taskq.backends.memory:MemoryBackend.capabilities", _without_order),)),
)

MUTANTS = _DELAYS + _QUEUEING + _OWNERSHIP + _LOOKING_AFTER + _STORES + _PLAIN
