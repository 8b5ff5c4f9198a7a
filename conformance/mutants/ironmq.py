"""Bugs of the IronMQ adapter, looked for on our emulator of the service."""

from __future__ import annotations

from conformance.mutants.mutant import rewriting

__all__ = ["MUTANTS"]

_backend = rewriting("taskq.backends.ironmq.queue:IronMQBackend.", "ironmq")
_module = rewriting("taskq.backends.ironmq.queue:", "ironmq")
_sender = rewriting("taskq.backends.ironmq.sending:Sender.", "ironmq")
_mailbox = rewriting("taskq.backends.ironmq.mailbox:Mailbox.", "ironmq")
_receipt = rewriting("taskq.backends.ironmq.receipt:Receipt.", "ironmq")
_text = rewriting("taskq.backends.ironmq.text:", "ironmq")
_dead = rewriting("taskq.backends.ironmq.dead:", "ironmq")
_calls = rewriting("taskq.backends.ironmq.calls:Calls.", "ironmq")

MUTANTS = (
    _backend(
        "ironmq_confirms_before_it_sends",
        "G1",
        "send",
        "posted = iter(await sender.send(self._written(batch, refused)))",
        "list(self._written(batch, refused))\n    posted = iter(['1'] * len(batch))",
        "F7",
    ),
    _backend(
        "ironmq_counts_what_is_too_large_as_sent",
        "G5",
        "send",
        "refused[index] if index in refused else",
        "None if index in refused else",
        "F8",
    ),
    _module(
        "ironmq_cuts_delays_to_whole_seconds", "G12", "_whole", "max(1, math.ceil(round(seconds, 6)))", "int(seconds)", "F21"
    ),
    _module("ironmq_rounds_delays_up_twice", "G13", "_whole", "max(1, math.ceil(round(seconds, 6)))", "math.ceil(seconds) + 2"),
    _calls("ironmq_drops_delays", "G12", "post", "if each.delay else", "if False else"),
    _calls("ironmq_releases_at_once", "G49", "release", '"delay": delay}', '"delay": 45}'),
    _backend(
        "ironmq_retries_at_once",
        "G16",
        "release",
        "Draft(text_of(reservation.body), seconds)",
        "Draft(text_of(reservation.body), 0)",
    ),
    _backend(
        "ironmq_puts_the_old_body_back",
        "G18",
        "release",
        "Draft(text_of(reservation.body), seconds)",
        "Draft(receipt.text, seconds)",
    ),
    _backend(
        "ironmq_keeps_the_message_beside_its_copy",
        "G38",
        "_replace",
        "ours = await self._delete(receipts)",
        "ours = [True] * len(receipts)",
        "F19",
    ),
    _backend("ironmq_keeps_the_copy_of_what_was_lost", "G37", "_replace", "if not ok])", "if False])", "F15"),
    _backend("ironmq_settles_twice", "G38", "_settle", "if receipt.gone and not self._was_unheard(receipt):", "if False:"),
    _backend(
        "ironmq_acknowledges_whatever_it_is_given",
        "G37",
        "ack",
        "id(receipt) in removed or self._was_unheard(receipt) for",
        "True for",
    ),
    _backend("ironmq_takes_what_is_gone_for_its_own_work", "G37", "_delete", "and now < receipt.expires_at)", "or status != OK)"),
    _backend("ironmq_does_not_tell_of_a_lost_reservation", "G37", "_do_owned", "raise _lost(receipt) from None", "return {}"),
    _backend("ironmq_extends_by_a_second", "G36", "extend", "min(max(1, math.ceil(by)), LONGEST_RESERVATION)", "1", "F14"),
    _backend(
        "ironmq_extends_without_end", "G35", "extend", "min(max(1, math.ceil(by)), LONGEST_RESERVATION)", "LONGEST_RESERVATION"
    ),
    _backend(
        "ironmq_forgets_how_a_reservation_is_called_now",
        "G36",
        "_touch",
        "receipt.reservation, receipt.expires_at = str(reservation), began + seconds",
        "receipt.expires_at = began + seconds",
    ),
    _backend(
        "ironmq_reserves_for_half_the_time",
        "G35",
        "_take",
        "reserve(n, self._timeout, seconds)",
        "reserve(n, max(1, self._timeout // 2), seconds)",
    ),
    _backend("ironmq_reserves_one_message_more", "G9", "_take", "reserve(n, self._timeout", "reserve(n + 1, self._timeout"),
    _receipt("ironmq_does_not_count_deliveries", "G40", "__init__", "self.before + min(reserved, 2)", "1", "F27"),
    _backend("ironmq_takes_an_extension_for_a_delivery", "G40", "_reserve", "elif again:", "elif False:"),
    _text("ironmq_drops_the_reason", "G21", "write_dead", "record.reason[:_LONGEST_REASON]", '""'),
    _text("ironmq_cannot_read_messages_of_nothing", "G42", "read", 'return b"" if bare else None', "return None"),
    _dead("ironmq_redrives_what_is_not_there", "G22", "redrive", "if status != OK])", "if False])"),
    _dead("ironmq_counts_what_was_not_there", "G22", "discard", "count += statuses.count(OK)", "count += len(statuses)"),
    _backend("ironmq_counts_no_dead", "G46", "size", "dead=await self._dead.size() or 0", "dead=0"),
    _backend("ironmq_purges_without_a_count", "G44", "purge", "return count", "return 0"),
    _backend("ironmq_purges_nothing", "G44", "purge", "await self._live.do(self._live.calls.clear())", "pass"),
    _sender("ironmq_loses_what_one_request_does_not_carry", "G1", "_parts", "if start < len(drafts):", "if start == 0:"),
    _mailbox(
        "ironmq_takes_two_dead_letter_queues_for_one",
        "G48",
        "__init__",
        "self.calls = Calls(name)",
        'self.calls = Calls("dead" if name.endswith("-dead") else name)',
    ),
)
