"""Bugs of the SQS adapter, looked for on moto."""

from __future__ import annotations

from conformance.mutants.mutant import rewriting

__all__ = ["MUTANTS"]

_backend = rewriting("taskq.backends.sqs.queue:SqsBackend.", "moto")
_letters = rewriting("taskq.backends.sqs.letters:Letters.", "moto")
_texts = rewriting("taskq.backends.sqs.texts:", "moto")
_trips = rewriting("taskq.backends.sqs.trips:", "moto")
_receipts = rewriting("taskq.backends.sqs.receipts:Receipt.", "moto")
_polls = rewriting("taskq.backends.sqs.polls:Polls.", "moto")
_lanes = rewriting("taskq.backends.sqs.lanes:", "moto")

MUTANTS = (
    _backend(
        "sqs_confirms_before_it_sends",
        "G5",
        "send",
        "answers = await self._lane.sends.send([self._outbound(each.id, each.body, each.delay, until) for each in batch])",
        "loads = [self._outbound(each.id, each.body, each.delay, until) for each in batch]\n"
        "    answers = [None] * len(batch)\n    asyncio.ensure_future(self._lane.sends.send(loads))",
        "F6",
    ),
    _trips(
        "sqs_counts_what_is_too_large_as_sent", "G5", "send", "else MessageTooLarge(load.size, place.largest)", "else None", "F8"
    ),
    _texts("sqs_cuts_delays_to_whole_seconds", "G12", "whole_seconds", "math.ceil(round(seconds, 6))", "int(seconds)", "F21"),
    _texts(
        "sqs_rounds_delays_up_to_minutes", "G13", "whole_seconds", "math.ceil(round(seconds, 6))", "math.ceil(seconds / 60) * 60"
    ),
    _backend("sqs_sends_a_retry_and_keeps_the_old_message", "G38", "_replace", "await self._delete([receipt])", "pass", "F19"),
    _backend("sqs_deletes_a_retry_before_it_sends_it", "G16", "_replace", 'if receipt.state == "held":', "if False:", "F19"),
    _backend(
        "sqs_retries_at_once",
        "G16",
        "release",
        'self._outbound(b"", reservation.body, delay,',
        'self._outbound(b"", reservation.body, 0.0,',
    ),
    _backend("sqs_gives_back_late", "G49", "release", "await self._show(receipt, 0)", "await self._show(receipt, 40)"),
    _backend("sqs_extends_by_a_second", "G36", "extend", "min(max(1, whole_seconds(by)), int(left))", "1", "F14"),
    _backend("sqs_extends_without_end", "G35", "extend", "min(max(1, whole_seconds(by)), int(left))", "int(left)"),
    _receipts("sqs_owns_what_has_run_out", "G37", "owned", "if now >= self.expires_at:", "if False:"),
    _backend("sqs_acknowledges_whatever_it_is_given", "G37", "ack", 'receipt.state == "deleted" for', "True for"),
    _backend(
        "sqs_acknowledges_the_first_of_many",
        "G38",
        "ack",
        "await self._delete([receipt for receipt in receipts if",
        "await self._delete([receipt for receipt in receipts[:1] if",
        "F16",
    ),
    _backend(
        "sqs_does_not_count_deliveries", "G40", "_reservation", 'int(attributes.get("ApproximateReceiveCount", 1))', "1", "F27"
    ),
    _backend(
        "sqs_needs_attributes",
        "G42",
        "_reservation",
        'message.get("MessageAttributes", {})',
        'message["MessageAttributes"]',
        "F47",
    ),
    _backend("sqs_takes_all_waiting_for_over", "G14", "_reservation", "now - sent_at - longest", "now - sent_at"),
    _letters("sqs_drops_the_reason", "G21", "burial", "attribute(reason_of(reason))", 'attribute("(none)")'),
    _letters(
        "sqs_lists_more_dead_letters_than_asked_for",
        "G21",
        "find",
        "messages = self._receive(self._dead, limit)",
        "messages = self._receive(self._dead, limit := limit + 7)",
    ),
    _letters("sqs_hides_the_dead_letters_it_has_shown", "G22", "find", "self._let_go(messages)", "pass"),
    _letters("sqs_redrives_and_keeps_the_letter", "G22", "redrive", "self._delete(self._dead, sent)", "self._let_go(sent)"),
    _letters("sqs_discards_all_that_it_finds", "G22", "_pick", 'messages if message["MessageId"] in wanted]', "messages]"),
    _letters("sqs_counts_no_delayed", "G46", "size", "delayed=delayed", "delayed=0", "F42"),
    _letters("sqs_counts_no_dead", "G46", "size", "sum(self._count(self._dead))", "0"),
    _letters("sqs_purges_what_is_reserved", "G45", "purge", "if delayed and reserved:", "if False:", "F32"),
    _letters("sqs_purges_without_counting", "G44", "purge", "count += len(messages)", "count += 1"),
    _polls("sqs_takes_more_than_was_asked_for", "G9", "_first", "min(n, self._at_once)", "self._at_once"),
    _lanes(
        "sqs_loses_the_last_of_a_trip",
        "G1",
        "Lane._travel",
        "await self._carry([load for load, _, _ in cargo])",
        "[*await self._carry([load for load, _, _ in cargo[:9]]), *[None] * len(cargo[9:])]",
    ),
)
