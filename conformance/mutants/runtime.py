"""Bugs of a message's way through a worker, from the reserve to the outcome."""

from __future__ import annotations

from conformance.mutants.mutant import rewriting

__all__ = ["MUTANTS"]

_worker = rewriting("taskq.runtime.worker:Worker.", "memory")
_shop = rewriting("taskq.runtime.worker:Workshop.", "memory")
_admit = rewriting("taskq.runtime.admit:", "memory")
_late = rewriting("taskq.runtime.admit:", "moto")
_settle = rewriting("taskq.runtime.settle:", "memory")
_fetch = rewriting("taskq.runtime.fetcher:", "memory")
_extend = rewriting("taskq.runtime.extend:", "memory")
_leases = rewriting("taskq.runtime.leases:Leases.", "memory")
_buffer = rewriting("taskq.runtime.state:Buffer.", "memory")

_ADMITTING = (
    _admit(
        "a_corrupt_body_is_deleted", "G42", "admit", "state.outbox.leave(delivery, message)", "state.outbox.ack(delivery)", "F45"
    ),
    _admit(
        "a_corrupt_body_stops_its_consumer",
        "G42",
        "_read",
        "except DecodeError as error:",
        "except ZeroDivisionError as error:",
        "F9",
    ),
    _admit(
        "a_corrupt_body_is_tried_for_ever",
        "G42",
        "admit",
        "state.outbox.leave(delivery, message)",
        "state.outbox.leave(delivery, Release(1.0))",
    ),
    _admit(
        "what_kills_its_worker_is_run_for_ever",
        "G40",
        "_read",
        "if reservation.deliveries > options.poison_limit:",
        "if False:",
        "F27",
    ),
    _admit(
        "poison_is_given_up_too_soon",
        "G40",
        "_read",
        "if reservation.deliveries > options.poison_limit:",
        "if reservation.deliveries > 1:\n        options = msgspec.structs.replace(options, poison_limit=1)",
    ),
    _admit(
        "an_unknown_task_is_acknowledged",
        "G41",
        "admit",
        "state.outbox.leave(delivery, retry.decide_unknown(message.attempt, state.options))",
        "state.outbox.ack(delivery)",
    ),
    _admit(
        "waiting_for_a_pause_costs_an_attempt", "G30", "_put_back", "delivery.message.attempt - 1", "delivery.message.attempt"
    ),
    _admit("a_paused_task_is_run", "G30", "admit", "if paused > 0:", "if False:"),
    _admit(
        "messages_of_a_paused_task_are_dropped",
        "G30",
        "admit",
        "if paused > 0:",
        "if paused > 0:\n        state.outbox.ack(delivery)\n        return None\n    if False:",
    ),
    _late(
        "waiting_for_a_long_delay_costs_an_attempt",
        "G14",
        "_put_back",
        "delivery.message.attempt - 1",
        "delivery.message.attempt",
    ),
    _late("a_long_delay_is_run_where_it_comes_first", "G14", "admit", "if rest > 0:", "if False:", "F20"),
    _admit("a_message_without_an_id_is_refused", "G43", "_read", "message.id or reservation.id", "message.id or 1 // 0"),
)

_RUNNING = (
    _worker(
        "an_exit_counts_as_a_success",
        "G16",
        "_attempt",
        "except BaseException as error:  # noqa: BLE001 - SystemExit from a "
        "handler fails its message, not the consumer\n        return error",
        "except Exception as error:\n        return error\n    except BaseException:\n        return None",
        "F23",
    ),
    _worker("an_exit_ends_the_consumer", "G16", "_attempt", "except BaseException as error:", "except Exception as error:"),
    _worker(
        "a_failure_counts_as_a_success",
        "G16",
        "_attempt",
        "handler fails its message, not the consumer\n        return error",
        "handler fails its message, not the consumer\n        return None",
    ),
    _worker("a_failing_fallback_drops_its_message", "G21", "_fall_back", "if error is None:", "if True:", "F28"),
    _worker(
        "a_fallback_runs_twice",
        "G20",
        "_fall_back",
        "if error is None:",
        "error = await self._attempt(delivery, prepare, context, fallback=True)\n    if error is None:",
    ),
    _worker("a_fallback_leaves_a_dead_letter", "G20", "_fall_back", "return ACK", "return DeadLetter(decision.reason)"),
    _worker(
        "a_fallback_is_skipped",
        "G20",
        "_fall_back",
        "error = await self._attempt(delivery, prepare, context, fallback=True)",
        "error = None",
    ),
    _buffer("a_worker_that_waits_spins", "G10", "wait", "await _join(self._idle)", "pass", "F31"),
    _worker("a_run_that_was_lost_still_counts", "G37", "_conclude", "if delivery.cancelled:", "if False:"),
    _worker("a_success_is_put_back", "G38", "_conclude", "state.outbox.ack(delivery)", "state.outbox.leave(delivery, GIVE_BACK)"),
    _worker(
        "a_batch_fails_the_wrong_message",
        "G53",
        "_run_batch",
        "failures.get(index)",
        "failures.get(len(deliveries) - 1 - index)",
        "F16",
    ),
    _worker(
        "one_failure_fails_its_whole_batch",
        "G53",
        "_run_batch",
        "error or failures.get(index)",
        "error or next(iter(failures.values()), None)",
    ),
    _worker("failures_in_a_batch_are_ignored", "G53", "_run_batch", "error or failures.get(index)", "error"),
    _worker("a_failing_batch_handler_is_ignored", "G53", "_run_batch", "error or failures.get(index)", "failures.get(index)"),
    _worker("arguments_that_do_not_fit_are_tried_again", "G42", "_decide", "isinstance(error, DecodeError)", "False"),
    _worker(
        "a_pause_is_told_to_nobody", "G51", "_decide", "state.hooks.tell(state.hooks.on_pause,", "id((state.hooks.on_pause),"
    ),
    _worker("the_start_of_a_run_is_told_to_nobody", "G51", "_tell", "context.run(", "id and (lambda *_: None)("),
    _worker("failures_do_not_count_for_pauses", "G30", "_decide", "state.pause.failed(task.name, state.monotonic())", "0.0"),
    _worker("retries_are_not_counted", "G52", "_decide", "state.recorder.retries += 1", "pass"),
    _worker("successes_are_counted_twice", "G52", "_conclude", "state.recorder.processed += 1", "state.recorder.processed += 2"),
    _shop("a_batch_never_gets_old", "G53", "collect", "task.options.batch.age,", "1e9,"),
    _shop("a_batch_waits_twice_as_long", "G53", "collect", "task.options.batch.age,", "task.options.batch.age * 2,"),
)

_SETTLING = (
    _settle(
        "a_retry_does_not_count", "G18", "_release", "attempt=delivery.message.attempt + 1", "attempt=delivery.message.attempt"
    ),
    _settle(
        "a_retry_counts_twice", "G18", "_release", "attempt=delivery.message.attempt + 1", "attempt=delivery.message.attempt + 2"
    ),
    _settle("what_is_given_back_counts_as_an_attempt", "G49", "_release", "if decision is GIVE_BACK:", "if False:"),
    _settle(
        "a_batch_of_acks_loses_one",
        "G38",
        "_ack",
        "[delivery.reservation for delivery in deliveries]",
        "[delivery.reservation for delivery in deliveries[:2]]) + [True] * len(deliveries[2:]",
    ),
    _settle(
        "a_dead_letter_is_acknowledged_instead",
        "G21",
        "_settle",
        "await state.backend.dead_letter(delivery.reservation, decision.reason)",
        "await state.backend.ack([delivery.reservation])",
    ),
    _settle("what_was_lost_is_not_counted", "G52", "_ack", "state.recorder.lost += 1", "pass"),
    _settle(
        "a_failed_ack_is_not_tried_again",
        "G38",
        "_ack",
        "if _worth_another_try(state, delivery, error):",
        "state.disown(delivery)\n            if False:",
    ),
    _settle(
        "a_failed_release_is_not_tried_again", "G16", "_settle", "if _worth_another_try(state, delivery, error):", "if False:"
    ),
)

_FETCHING = (
    _fetch("process_one_takes_two", "G9", "fetch_one", "_reserve(state, 1, ", "_reserve(state, 2, "),
    _fetch("unused_starts_are_not_given_back", "G33", "_reserve", "and taken < n", "and taken < 0"),
    _fetch("a_rate_limit_is_not_asked", "G33", "_take", "limit is not None:\n        while", "False:\n        while"),
    _fetch("a_limit_of_one_start_fetches_all", "G33", "_take", "n = grant.allowed", "pass"),
    _fetch(
        "a_backend_that_is_away_ends_the_consumer",
        "G50",
        "fetch_forever",
        "except BackendError as error:",
        "except ZeroDivisionError as error:",
    ),
    _extend("what_is_owned_is_not_extended", "G36", "_extend", "await delivery.extend(None)", "pass", "F14"),
    _extend("a_run_goes_on_though_it_was_lost", "G37", "_lose", "state.loop.call_soon_threadsafe(delivery.cancel)", "pass"),
    _leases(
        "a_worker_lock_is_not_renewed",
        "G34",
        "renew",
        "extension.due(expires_at, now, self._ttl, share) and not",
        "False and not",
        "F25",
    ),
    _leases("a_worker_runs_without_a_lock", "G34", "hold", "if self.limit is None or worker in self._held:", "if True:"),
    _leases("a_worker_limit_is_one_too_high", "G34", "_acquire_one", "% self.limit}", "% (self.limit + 1)}"),
    _leases("an_idle_worker_keeps_its_lock", "G34", "drop", "held = self._held.pop(worker, None)", "held = None"),
    _buffer("a_worker_that_is_free_is_not_woken", "G1", "put", "self.hand_over()", "pass"),
)

MUTANTS = _ADMITTING + _RUNNING + _SETTLING + _FETCHING
