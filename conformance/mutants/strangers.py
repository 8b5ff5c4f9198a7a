"""Bugs by people who knew the contract and neither the scenarios nor these tables; those of eighty that the suite did not see.

Each was the reason for a scenario.
"""

from __future__ import annotations

from conformance.mutants.mutant import Mutant, rewriting
from conformance.mutants.patches import Lua, Rewrite

__all__ = ["MUTANTS"]

_memory = rewriting("taskq.backends.memory:MemoryBackend.", "memory")
_package = rewriting("taskq.", "memory")
_redis = rewriting("taskq.backends.redis.", "fakeredis")
_polls = rewriting("taskq.backends.sqs.polls:Polls.", "moto")
_sqs = rewriting("taskq.backends.sqs.queue:SqsBackend.", "moto")
_ironmq = rewriting("taskq.backends.ironmq.", "ironmq")

_DROP = "self._delayed.clear()"
_NOTHING = '"""Do nothing: the messages live as long as the broker."""'
_EXPIRES = "entry.expires_at = self._monotonic() + by"
_AGAIN = "self._put(Entry(entry.id, reservation.body, copy=entry.copy), delay)"
_IN_LINE = (
    "self._put(Entry(entry.id, reservation.body), delay and max([delay, *(row[0] - self._monotonic() for row in self._delayed)]))"
)
_ACK = "self._reserved.pop(reservation.receipt, None) is not None"
_BY_COUNT = """any(
                self._reserved.pop(receipt) is not None
                for receipt, entry in list(self._reserved.items())
                if (entry.id, entry.deliveries) == (reservation.id, reservation.deliveries)
            )"""

_BACKENDS = (
    _memory(
        "a_batch_ends_after_256",
        "G4",
        "send_blocking",
        "[self._add(outgoing) for outgoing in batch]",
        "[self._add(outgoing) if number < 256 else None for number, outgoing in enumerate(batch)]",
    ),
    _memory(
        "who_closes_gives_back_what_others_own",
        "G50",
        "aclose",
        _NOTHING,
        "for receipt in list(self._reserved):\n        self._expire(receipt, self._reserved[receipt])",
    ),
    _memory("who_closes_forgets_who_waits", "G50", "aclose", _NOTHING, "self._waiters.clear()"),
    _memory(
        "a_wait_that_is_disturbed_begins_again",
        "G10",
        "reserve",
        "await self._wait(waiter, timeout)",
        "await self._wait(waiter, timeout)\n        deadline += wait if self._monotonic() < deadline - 1e-3 else 0.0",
    ),
    _memory(
        "a_delay_wakes_nobody",
        "G13",
        "send_blocking",
        "self._pop_waiters(len(batch)) if self._waiters else ()",
        "self._pop_waiters(sum(each.delay <= 0 for each in batch))",
    ),
    _memory("retries_wait_in_line", "G15", "release", _AGAIN, _IN_LINE),
    _memory(
        "a_backoff_begins_with_the_run",
        "G16",
        "release",
        _AGAIN,
        _AGAIN.replace(", delay)", ", delay + entry.expires_at - self._timeout - self._monotonic())"),
    ),
    _memory(
        "what_was_extended_is_buried_and_kept",
        "G21",
        "dead_letter",
        "del self._reserved[reservation.receipt]",
        "if entry.expires_at == entry.checked_at:\n            del self._reserved[reservation.receipt]",
    ),
    _memory(
        "a_hundred_dead_letters_are_enough",
        "G21",
        "dead_letter",
        "reason, reservation.receipt)",
        "reason, reservation.receipt)\n        if len(self._dead) > 100:\n            del self._dead[next(iter(self._dead))]",
    ),
    _memory("a_purge_frees_all_names", "G24", "purge", _DROP, f"{_DROP}\n        self._broker.dedup.taken.clear()"),
    _memory("names_are_told_apart_by_a_sum", "G28", "_add", "take(claim.key,", "take(b'%d' % (sum(claim.key) % 1021),"),
    _memory(
        "what_expired_comes_when_nothing_else_is_ready",
        "G35",
        "_promote",
        "while self._expiry and",
        "while not self._ready and self._expiry and",
    ),
    _memory(
        "extensions_end_after_twelve_hours",
        "G36",
        "extend",
        _EXPIRES,
        "begun = self._broker.__dict__.setdefault('begun', {}).setdefault(reservation.receipt, self._monotonic())\n"
        "        entry.expires_at = min(self._monotonic() + by, begun + 43200)",
    ),
    _memory("a_receipt_is_a_count_of_deliveries", "G37", "ack", _ACK, _BY_COUNT),
    _memory("an_extension_is_an_outcome", "G40", "extend", _EXPIRES, f"{_EXPIRES}\n        entry.deliveries = 0"),
    Mutant(
        "a_purge_leaves_retries",
        "G44",
        (
            Rewrite("taskq.backends.memory:MemoryBackend.release", "copy=entry.copy", "copy=1"),
            Rewrite(
                "taskq.backends.memory:MemoryBackend.purge",
                _DROP,
                "self._delayed[:] = [row for row in self._delayed if row[2].copy]",
            ),
        ),
        "",
        "memory",
    ),
    _memory("a_purge_begins_receipts_anew", "G45", "purge", _DROP, f"{_DROP}\n        self._sequence = 0"),
    _memory(
        "a_purge_is_of_all_names_that_begin_alike",
        "G48",
        "purge",
        _DROP,
        f"""{_DROP}
        own = next(name for name, queue in self._broker._queues.items() if queue is self)
        for name, queue in self._broker._queues.items():
            if name.startswith(own):
                queue._ready.clear()
                queue._delayed.clear()""",
    ),
    _redis(
        "redis_keeps_a_delayed_name_for_its_delay",
        "G24",
        "sending:sending",
        "_milliseconds(outgoing.claim.ttl)",
        "_milliseconds(outgoing.delay or outgoing.claim.ttl)",
    ),
    Mutant("redis_counts_an_extension_as_a_delivery", "G40", (Lua("EXTEND", "ARGV[4], 'JUSTID')", "ARGV[4])"),), "", "fakeredis"),
    _redis(
        "redis_forgets_what_it_extended",
        "G8",
        "queue:RedisBackend.extend",
        "self._owned[reservation.receipt] = expires_at",
        "pass",
    ),
    Mutant(
        "redis_promotes_a_thousand_and_drops_the_rest",
        "G1",
        (
            Lua(
                "PROMOTE",
                "  redis.call('ZREM', KEYS[2], body)\nend",
                "end\nif #due > 0 then redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now) end",
            ),
        ),
        "",
        "fakeredis",
    ),
    _redis("redis_believes_a_long_extension", "G36", "queue:RedisBackend.extend", "now + min(by, timeout)", "now + by"),
    _polls("sqs_brings_whole_tens", "G9", "_more", "min(self._at_once, left - start)", "self._at_once"),
    _polls("sqs_gives_up_the_last_second_of_a_wait", "G10", "_first", "left <= 0", "left < 1"),
    _sqs("sqs_takes_what_is_given_back_for_poison", "G49", "release", " and shown", ""),
    _ironmq("ironmq_puts_poison_back_as_poison", "G22", "dead:_text", "read(text) is None and ", ""),
    _ironmq(
        "ironmq_believes_a_late_acknowledgement_among_others",
        "G37",
        "queue:IronMQBackend._delete",
        " and now < receipt.expires_at",
        "",
    ),
)

_RUNTIME = (
    _package(
        "who_asks_for_another_time_gets_it_for_ever",
        "G19",
        "core.retry:decide",
        "if attempt >= options.max_attempts:",
        "if attempt >= options.max_attempts and not isinstance(error, Retry):",
    ),
    _package(
        "a_success_forgets_the_failures_of_all_tasks",
        "G30",
        "core.pause:Pause.succeeded",
        "self._failures.pop(task if self._per_task else EVERYTHING, None)",
        "self._failures.clear()",
    ),
    _package(
        "a_name_forgets_the_moment_of_its_message",
        "G29",
        "queue:Queue._prepare",
        "message, delay, now, self.options",
        "message, message.delay, now, self.options",
    ),
    _package(
        "a_fallback_is_called_as_its_task_is",
        "G20",
        "runtime.worker:Worker._attempt",
        "delivery.task.fallback_binder if fallback else delivery.task.binder",
        "delivery.task.binder",
    ),
    _package(
        "the_bytes_of_a_closed_batch_count_on",
        "G53",
        "core.batching:Accumulator.close",
        "items, self._items, self._bytes, self.deadline = self._items, [], 0, None",
        "items, self._items, self.deadline = self._items, [], None",
    ),
    _package(
        "failures_are_told_only_beside_ends",
        "G51",
        "runtime.worker:Worker._conclude",
        "state.hooks.on_settle or (error is not None and state.hooks.on_failure)",
        "state.hooks.on_settle",
    ),
)

MUTANTS = _BACKENDS + _RUNTIME
