"""Bugs of producers and consumers: enqueueing, starting, stopping, draining, hooks, figures."""

from __future__ import annotations

from conformance.mutants.mutant import Mutant, rewriting
from conformance.mutants.patches import Rewrite

__all__ = ["MUTANTS"]

_consumer = rewriting("taskq.consumer:Consumer.", "memory")
_module = rewriting("taskq.consumer:", "memory")
_queue = rewriting("taskq.queue:Queue.", "memory")
_hooks = rewriting("taskq.hooks.base:Hooks.", "memory")
_delay = rewriting("taskq.core.delay:", "memory")
_batch = rewriting("taskq.message:MessageBatch.", "memory")
_message = rewriting("taskq.message:Message.", "memory")
_context = rewriting("taskq.context:Context.", "memory")

_STOPPING = (
    _consumer("a_stop_does_not_wait_for_what_runs", "G49", "_drain", "if not state.owned:", "if True:"),
    _consumer("a_stop_claims_on", "G49", "_stop_fetching", "state.draining = True\n    await self._end_fetchers()", "pass"),
    _consumer(
        "what_a_stop_leaves_is_not_given_back",
        "G49",
        "_give_back",
        "state.outbox.leave(delivery, GIVE_BACK)",
        "state.owned.pop(key)",
    ),
    _consumer(
        "what_a_stop_leaves_is_acknowledged",
        "G49",
        "_give_back",
        "state.outbox.leave(delivery, GIVE_BACK)",
        "state.outbox.ack(delivery)",
        "F1",
    ),
    _consumer("a_stop_does_not_say_what_it_gave_back", "G49", "stop", "return self._left", "return 0", "F39"),
    _consumer("a_stop_takes_no_timeout", "G49", "stop", "if timeout is not None:", "if False:"),
    _consumer(
        "a_stop_waits_for_a_pause",
        "G32",
        "_stop_fetching",
        "state.draining = True",
        "state.draining = True\n    await asyncio.sleep("
        "min(60.0, max(self._pause.paused(state.monotonic()).values(), default=0.0)))",
        "F30",
    ),
    Mutant(
        "a_scaler_starts_fetchers_after_a_stop",
        "G49",
        (
            Rewrite("taskq.consumer:Consumer._start_helpers", "< count and not state.draining:", "< max(1, count):"),
            Rewrite("taskq.runtime.fetcher:fetch_forever", "while not state.draining:", "while True:"),
        ),
        "F40",
    ),
    _consumer(
        "workers_are_not_limited",
        "G34",
        "_start_helpers",
        "if len(shop.workers) < shop.most and not state.aborting:",
        "shop.allowed = 10**6\n        if not state.aborting:",
    ),
    _consumer(
        "a_stopped_consumer_cannot_start_again",
        "G49",
        "_started",
        "self._state = self._shop = self._stop_requested = self._ended = None",
        "self._shop = self._stop_requested = self._ended = None",
    ),
    _consumer("figures_forget_who_is_buffered", "G52", "stats", "buffered=self.buffered,", "buffered=0,"),
    _consumer(
        "a_stop_takes_its_time",
        "G49",
        "_stop_fetching",
        "state.draining = True",
        "await asyncio.sleep(5)\n    state.draining = True",
    ),
    _module(
        "a_stop_gives_up_what_it_gives_back",
        "G49",
        "_settle_all",
        "if await flush(state) and not state.owned:",
        "if True:",
        "F18",
    ),
)

_ENQUEUEING = (
    _queue(
        "an_empty_batch_has_an_answer",
        "G3",
        "enqueue_many_async",
        "results = self._results(prepared, answers)",
        "results = self._results(prepared, answers) or [Enqueued(message_id=b'')]",
    ),
    _delay(
        "a_moment_that_is_past_is_put_off",
        "G13",
        "delay_of",
        "max(0.0, message.run_at.timestamp() - now)",
        "abs(message.run_at.timestamp() - now)",
    ),
    _queue(
        "a_failed_send_is_taken_for_a_duplicate",
        "G4",
        "_send_one",
        "answers = await self.backend.send((outgoing,))",
        "try:\n            answers = await self.backend.send((outgoing,))\n        except BackendError:\n"
        "            answers = [DuplicateMessageError('')]",
        "F3",
    ),
    _queue(
        "a_failed_send_is_taken_for_accepted",
        "G4",
        "_send_one",
        "answers = await self.backend.send((outgoing,))",
        "try:\n            answers = await self.backend.send((outgoing,))\n"
        "        except BackendError:\n            answers = [None]",
    ),
    _queue("a_duplicate_is_told_as_accepted", "G23", "_result", "duplicate=True", "duplicate=False"),
    _queue("a_refusal_is_told_as_accepted", "G3", "_result", "error=answer)", "error=None)", "F8"),
    _queue(
        "one_refusal_fails_its_whole_batch",
        "G3",
        "_prepare_all",
        "except (MessageTooLarge, ValueError) as error:",
        "except ZeroDivisionError as error:",
    ),
    _queue(
        "answers_of_a_batch_are_shifted",
        "G3",
        "_results",
        "remaining = iter(answers)",
        "remaining = iter([*answers[1:], *answers[:1]])",
    ),
    Mutant(
        "a_message_that_is_too_large_is_taken",
        "G5",
        (
            Rewrite("taskq.queue:Queue._prepare", "if limit is not None and len(body) > limit:", "if False:"),
            Rewrite("taskq.backends.memory:MemoryBackend._add", "if self._max_size is not None and", "if False and"),
        ),
    ),
    _queue("a_redriven_message_keeps_its_attempts", "G22", "_anew", "attempt=0", "attempt=message.attempt"),
    _queue(
        "a_delay_is_not_sent",
        "G12",
        "_prepare",
        "Outgoing(message_id, body, delay, claim)",
        "Outgoing(message_id, body, 0.0, claim)",
    ),
    _queue(
        "an_id_of_ones_own_is_replaced",
        "G2",
        "_prepare",
        "message.id or owner.clock.new_id()",
        "owner.clock.new_id()\n    message = msgspec.structs.replace(message, id=message_id)",
    ),
    _message("a_delayed_message_keeps_its_moment", "G12", "delayed", "run_at=None", "run_at=self.run_at"),
    _message("a_period_runs_at_once", "G25", "once_in", "delay=length", "delay=0.0"),
    _context("an_extension_by_a_handler_is_ignored", "G36", "extend_async", "await self._run.extend(by)", "pass"),
)

_TELLING = (
    _hooks(
        "a_failing_hook_fails_its_message",
        "G51",
        "tell",
        'logger.exception("hook %r failed; the outcome stands", listener)',
        "raise",
        "F26",
    ),
    _hooks(
        "a_failing_hook_refuses_the_message",
        "G51",
        "prepare",
        'logger.exception("hook %r failed; the message is enqueued without it", hook)',
        "raise",
    ),
    _hooks("what_a_hook_returns_is_ignored", "G51", "prepare", "message = hook(queue, message)", "hook(queue, message)"),
    _hooks("failures_are_told_to_nobody", "G51", "settled", "if event.error is not None:", "if False:"),
    _hooks("successes_are_told_as_failures", "G51", "settled", "if event.error is not None:", "if True:"),
    _hooks("only_the_first_hook_is_told", "G51", "tell", "for listener in listeners:", "for listener in listeners[:1]:"),
    _hooks("ends_are_told_twice", "G51", "settled", "self.tell(self.on_settle, event)", "self.tell(self.on_settle * 2, event)"),
    _batch(
        "a_batch_fails_the_message_behind",
        "G53",
        "fail",
        "self._failures[index] = error",
        "self._failures[index + 1] = error",
        "F16",
    ),
)

MUTANTS = _STOPPING + _ENQUEUEING + _TELLING
