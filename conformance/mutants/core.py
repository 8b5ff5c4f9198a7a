"""Bugs of the decisions: backoff, giving up, delays, pauses, rate limits, batches. One line each."""

from __future__ import annotations

from conformance.mutants.mutant import Mutant, rewriting
from conformance.mutants.patches import Rewrite

__all__ = ["MUTANTS"]

_retry = rewriting("taskq.core.retry:", "memory")
_delay = rewriting("taskq.core.delay:", "moto")
_moment = rewriting("taskq.core.delay:", "memory")
_pause = rewriting("taskq.core.pause:Pause.", "memory")
_rate = rewriting("taskq.core.rate_limit:", "memory")
_batch = rewriting("taskq.core.batching:Accumulator.", "memory")
_extension = rewriting("taskq.core.extension:", "memory")
_stats = rewriting("taskq.core.stats:Recorder.", "memory")

_RETRIES = (
    _retry("a_backoff_does_not_grow", "G16", "backoff", "math.ldexp(min_backoff, doublings)", "min_backoff"),
    _retry("a_backoff_triples", "G16", "backoff", "math.ldexp(min_backoff, doublings)", "min_backoff * 3**min(doublings, 99)"),
    Mutant(
        "a_backoff_has_no_cap",
        "G16",
        (
            Rewrite(
                "taskq.core.retry:backoff",
                "math.ldexp(min_backoff, doublings), max_backoff",
                "math.ldexp(min_backoff, doublings), 1e9",
            ),
            Rewrite("taskq.core.retry:decide", "options.jitter * draw), options.max_backoff", "options.jitter * draw), 1e9"),
        ),
    ),
    _retry("an_unknown_task_waits_without_a_cap", "G41", "decide_unknown", "options.unknown_max_delay", "1e9"),
    _retry(
        "a_backoff_overflows_from_retry_30",
        "G16",
        "backoff",
        "min(attempt - 1, 1023 - math.frexp(min_backoff)[1])",
        "(attempt - 1) % 30",
        "F22",
    ),
    _retry(
        "a_backoff_starts_one_step_ahead",
        "G16",
        "backoff",
        "if attempt <= 1 or min_backoff <= 0:\n        return min(min_backoff, max_backoff)",
        "attempt += 1",
    ),
    _retry("one_attempt_too_many", "G19", "decide", "attempt >= options.max_attempts", "attempt > options.max_attempts"),
    _retry("one_attempt_too_few", "G16", "decide", "attempt >= options.max_attempts", "attempt + 1 >= options.max_attempts"),
    _retry("attempts_never_end", "G19", "decide", "attempt >= options.max_attempts", "False"),
    _retry("a_requested_delay_is_not_asked_for", "G17", "decide", "if delay is None:", "if True:"),
    _retry(
        "a_requested_delay_is_cut_to_the_cap",
        "G17",
        "decide",
        "return Release(delay)",
        "return Release(min(delay, options.max_backoff))",
    ),
    _retry("a_requested_delay_of_nothing_is_ignored", "G17", "decide", "if delay is None:", "if not delay:"),
    _retry(
        "an_errors_own_delay_is_not_asked_for",
        "G17",
        "requested_delay",
        "error.after if isinstance(error, Retry) else error.delay()",
        "error.after",
    ),
    _retry(
        "a_fallback_runs_on_every_failure",
        "G20",
        "decide",
        "return Release(delay)",
        "return Fallback('failed') if has_fallback else Release(delay)",
    ),
    _retry(
        "a_fallback_is_never_asked_for",
        "G20",
        "decide",
        "Fallback(reason) if has_fallback else DeadLetter(reason)",
        "DeadLetter(reason)",
    ),
    _retry("a_reason_does_not_tell_the_error", "G21", "decide", "{describe(error)}", ""),
    _retry(
        "what_failed_for_good_is_dropped",
        "G21",
        "decide",
        "Fallback(reason) if has_fallback else DeadLetter(reason)",
        "Fallback(reason) if has_fallback else ACK",
    ),
    _retry("an_unknown_task_is_given_up_at_once", "G41", "decide_unknown", "attempt >= options.unknown_attempts", "True"),
    _retry("an_unknown_task_is_never_given_up", "G41", "decide_unknown", "attempt >= options.unknown_attempts", "False"),
    _retry("an_unknown_task_is_dropped", "G41", "decide_unknown", "return Release(", "return ACK or Release("),
    _retry("an_unknown_task_comes_back_at_once", "G41", "decide_unknown", "return Release(", "return Release(0.0) or Release("),
    _retry("poison_is_never_given_up", "G40", "decide_poison", "return DeadLetter(", "return ACK or DeadLetter(", "F27"),
)

_DELAYS = (
    _delay(
        "the_rest_of_a_long_delay_is_forgotten", "G14", "split", "return maximum, delay - maximum", "return maximum, 0.0", "F20"
    ),
    _delay("the_rest_of_a_long_delay_is_the_whole", "G14", "split", "return maximum, delay - maximum", "return maximum, delay"),
    _delay(
        "a_long_delay_forgets_its_rest_on_the_way", "G14", "rest_of", "return min(rest, MAX_DELAY)", "return min(rest, 900.0)"
    ),
    _moment("a_moment_is_taken_for_now", "G12", "delay_of", "message.run_at.timestamp() - now", "0.0"),
    _moment(
        "a_moment_is_an_hour_off",
        "G12",
        "delay_of",
        "message.run_at.timestamp() - now",
        "message.run_at.timestamp() - now - 3600",
    ),
)

_PAUSES = (
    _pause("a_pause_counts_all_tasks_together", "G31", "__init__", 'options.pause_scope == "task"', "False", "F29"),
    _pause("a_pause_never_stops_the_whole_queue", "G31", "__init__", 'options.pause_scope == "task"', "True"),
    _pause("a_pause_comes_one_failure_late", "G30", "failed", "if count < self._threshold:", "if count <= self._threshold:"),
    _pause("a_pause_comes_one_failure_early", "G30", "failed", "if count < self._threshold:", "if count + 1 < self._threshold:"),
    _pause("a_success_does_not_reset_the_count", "G30", "succeeded", "if self._failures:", "if False:"),
    _pause("a_pause_never_ends", "G30", "failed", "= now + self._period", "= float('inf')"),
    _pause("a_pause_is_half_as_long", "G30", "failed", "= now + self._period", "= now + self._period / 2"),
    _pause("there_is_no_pause", "G30", "failed", "if not self._threshold:", "if True:"),
    _pause("a_pause_by_hand_does_nothing", "G32", "pause", "self._until[task] = now + period", "pass"),
    _pause("a_pause_by_hand_is_over_soon", "G32", "pause", "now + period", "now + min(period, 5.0)"),
    _pause(
        "resuming_does_nothing", "G32", "resume", "if task == EVERYTHING:", "if True:\n        return\n    if task == EVERYTHING:"
    ),
    _pause("a_task_paused_by_hand_stops_all", "G31", "pause", "self._until[task]", "self._until[EVERYTHING]"),
    _pause(
        "a_catch_all_that_fails_stops_all",
        "G31",
        "remaining",
        "self._left(task, now),",
        "self._left(task, now), self._left('*', now),",
    ),
    _pause("a_catch_all_that_is_resumed_resumes_all", "G31", "resume", "if task == EVERYTHING:", "if task in (EVERYTHING, '*'):"),
    _pause("figures_do_not_tell_of_pauses", "G32", "paused", "> 0}", "> 1e9}"),
)

_LIMITS = (
    _rate(
        "refunds_grow",
        "G33",
        "refund",
        "return tat - min(unused * limit.interval, max(0.0, left))",
        "return tat - 5 * grant.allowed * limit.interval",
        "F24",
    ),
    _rate("refunds_are_lost", "G33", "refund", "return tat - min(unused * limit.interval, max(0.0, left))", "return tat"),
    _rate("a_burst_is_twice_as_large", "G33", "take", "limit.capacity * interval", "2 * limit.capacity * interval"),
    _rate("a_rate_is_twice_as_high", "G33", "take", "base + allowed * interval", "base + allowed * interval / 2"),
    _rate("a_rate_is_half_as_high", "G33", "take", "base + allowed * interval", "base + allowed * interval * 2"),
    _rate(
        "a_limited_consumer_waits_too_long", "G33", "take", "base + interval - burst - now", "(base + interval - burst - now) * 9"
    ),
    _rate("a_burst_is_forgotten", "G33", "take", "limit.capacity * interval", "interval"),
)

_BATCHES = (
    _batch(
        "a_batch_is_one_too_large", "G53", "add", "len(self._items) >= self._limits.size", "len(self._items) > self._limits.size"
    ),
    _batch("a_batch_has_no_limit_of_bytes", "G53", "add", "limit = self._limits.bytes", "limit = None"),
    _batch(
        "a_batch_hands_over_its_first_alone",
        "G53",
        "close",
        "items, self._items",
        "items, self._items = self._items[:1], []; _, self._items",
    ),
)

_REST = (
    _extension("nothing_is_due_for_extension", "G36", "due", "expires_at - now < timeout * (1.0 - share)", "False", "F14"),
    _extension("an_extension_is_due_too_late", "G36", "due", "expires_at - now < timeout * (1.0 - share)", "expires_at < now"),
    _stats("a_handler_that_ended_still_counts_as_running", "G52", "ended", "self.in_flight -= 1", "pass"),
    _stats("figures_mix_up_retries_and_failures", "G52", "snapshot", "fails=self.fails", "fails=self.retries"),
    _stats("figures_do_not_tell_of_the_dead", "G52", "snapshot", "dead=self.dead", "dead=0"),
    _stats("figures_do_not_tell_how_long_it_took", "G52", "timed", "self.mean_s += ", "_ = "),
)

MUTANTS = _RETRIES + _DELAYS + _PAUSES + _LIMITS + _BATCHES + _REST
