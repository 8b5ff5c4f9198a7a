"""Bugs of another kind, made up after the scenarios and without a look at them: the measure of what nobody thought of.

Lost wake-ups, wrong units and counts, order, swallowed errors, leaks on close, stale caches, missing escapes, the wrong queue.
"""

from __future__ import annotations

from conformance.mutants.mutant import Mutant, rewriting
from conformance.mutants.patches import Rewrite

__all__ = ["MUTANTS"]

_memory = rewriting("taskq.backends.memory:MemoryBackend.", "memory")
_stores = rewriting("taskq.backends.memory_stores:", "memory")
_core = rewriting("taskq.core.", "memory")
_runtime = rewriting("taskq.runtime.", "memory")
_package = rewriting("taskq.", "memory")
_redis = rewriting("taskq.backends.redis.", "fakeredis")
_ironmq = rewriting("taskq.backends.ironmq.", "ironmq")

MUTANTS = (
    _memory("a_waiter_that_leaves_takes_the_wake_up_along", "G10", "_wait", "self._wake_one()", "pass"),
    _memory(
        "a_batch_wakes_one_of_those_who_wait", "G10", "send_blocking", "self._pop_waiters(len(batch))", "self._pop_waiters(1)"
    ),
    _memory(
        "what_was_extended_once_never_expires", "G35", "_promote", "self._check_at(entry.expires_at, receipt, entry)", "pass"
    ),
    _memory(
        "a_reason_ends_at_its_first_quote", "G21", "dead_letter", "entry.body, reason,", "entry.body, reason.partition('\"')[0],"
    ),
    _memory("an_empty_release_is_a_dead_end", "G16", "release", "self._put(Entry(", "reservation.body and self._put(Entry("),
    Mutant(
        "queues_are_told_apart_by_three_letters",
        "G48",
        (
            Rewrite(
                "taskq.backends.memory:MemoryBroker.queue",
                "backend = self._queues.get(name)",
                "name = name[:3]\n    backend = self._queues.get(name)",
            ),
        ),
    ),
    _stores(
        "a_lock_is_renewed_without_its_time",
        "G34",
        "MemoryLocks.acquire",
        "(owner, now + ttl)",
        "(owner, max(until, now + 20.0))",
    ),
    _stores(
        "names_end_in_the_order_in_which_they_were_taken",
        "G24",
        "MemoryDedup.take",
        "heapq.heappush(self.expiry, (now + ttl, key))",
        "self.expiry.append((now + ttl, key))",
    ),
    _core("jitter_is_taken_off", "G16", "retry:decide", "1.0 + options.jitter * draw", "1.0 - options.jitter * draw"),
    _core(
        "an_error_that_fails_to_say_when_ends_the_consumer",
        "G17",
        "retry:requested_delay",
        "except Exception:",
        "except ZeroDivisionError:",
    ),
    _core(
        "a_timedelta_is_taken_for_milliseconds",
        "G17",
        "retry:requested_delay",
        "value.total_seconds()",
        "value.total_seconds() / 1000",
    ),
    _core("an_error_without_text_ends_the_consumer", "G21", "retry:describe", "except Exception:", "except ZeroDivisionError:"),
    _core("periods_are_rounded", "G25", "dedup:_identity", "int(now // once.period)", "int(now / once.period + 0.5)"),
    _runtime(
        "a_rate_is_each_consumers_own",
        "G33",
        "fetcher:_take",
        'limiter.take(f"rate:{state.queue}", limit, n)',
        'limiter.take(f"rate:{id(state)}", limit, n)',
    ),
    _runtime(
        "the_last_of_several_outcomes_is_forgotten",
        "G16",
        "settle:flush",
        "range(0, len(others), together)",
        "range(0, len(others) - (len(others) > 2), together)",
    ),
    _runtime(
        "only_the_first_that_is_owned_is_extended",
        "G36",
        "extend:_extend_forever",
        "list(state.owned.values())",
        "list(state.owned.values())[:1]",
    ),
    _runtime(
        "messages_come_back_to_the_buffer_backwards",
        "G11",
        "state:Buffer.put_back",
        "extendleft(reversed(deliveries))",
        "extendleft(deliveries)",
    ),
    _runtime(
        "a_message_is_acknowledged_before_it_runs",
        "G1",
        "worker:Worker._run",
        "began = state.monotonic()",
        "await state.backend.ack([delivery.reservation])\n    began = state.monotonic()",
    ),
    _runtime("a_poisonous_message_is_acknowledged", "G40", "admit:_read", "return poison", "raise SystemExit"),
    _runtime(
        "a_second_batch_joins_the_first",
        "G53",
        "worker:Workshop.close_batch",
        "self._batches[name].close()",
        "list(self._batches[name]._items)",
    ),
    _package("an_app_that_closes_leaves_its_consumers", "G49", "app:App.aclose", "await self.stop()", "pass"),
    _package(
        "a_stop_of_nothing_is_a_stop_of_thirty_seconds", "G49", "consumer:Consumer.stop", "if timeout is not None:", "if timeout:"
    ),
    _package(
        "what_is_enqueued_is_prepared_twice",
        "G51",
        "hooks.base:Hooks.prepare",
        "for hook in self.before_enqueue:",
        "for hook in self.before_enqueue * 2:",
    ),
    _package(
        "a_batch_that_was_not_sent_is_told_as_sent",
        "G4",
        "queue:Queue._send",
        "return await self.backend.send(batch)",
        "try:\n            return await self.backend.send(batch)\n"
        "        except BackendError:\n            return [None] * len(batch)",
    ),
    _package(
        "arguments_of_the_same_length_are_the_same",
        "G2",
        "wire.args:decode",
        "return tuple(_DECODE(data))",
        "return decode.__dict__.setdefault((len(data), data[:2]), tuple(_DECODE(data)))",
    ),
    _package("an_enqueue_that_closes_is_taken", "G4", "queue:Queue._prepare", "if owner.closed:", "if False:"),
    _redis("redis_takes_two_names_for_one", "G28", "keys:Keys.once", 'b"once:" + key', 'b"once:" + key[:4]'),
    _ironmq("ironmq_lets_two_settle_at_once", "G8", "receipt:Turns._take", "if other is not mine:", "if False:"),
)
