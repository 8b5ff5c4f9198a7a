"""Bugs of names: what makes two messages the same, for how long, and whose the name is then."""

from __future__ import annotations

from conformance.mutants.mutant import Mutant, rewriting
from conformance.mutants.patches import Rewrite

__all__ = ["MUTANTS"]

_dedup = rewriting("taskq.core.dedup:", "memory")
_store = rewriting("taskq.queue:Queue.", "ironmq")
_names = rewriting("taskq.backends.memory_stores:MemoryDedup.", "ironmq")

_TTL = "max(delay + (once.period or 0.0), window)"

MUTANTS = (
    Mutant(
        "names_are_joined_without_separators",
        "G28",
        (
            Rewrite("taskq.core.dedup:claim", 'digest.update(len(part).to_bytes(8, "big"))', "pass"),
            Rewrite("taskq.core.dedup:_identity", '(b"name", once.name if', '(b"", once.name if'),
        ),
        "F36",
    ),
    _dedup("names_of_two_queues_meet", "G28", "claim", "_utf8(queue),", "b'',"),
    _dedup("names_of_two_tasks_meet", "G28", "claim", "_utf8(message.task),", "b'',"),
    _dedup("the_order_of_a_map_counts", "G25", "_canonical", "pairs = sorted((", "pairs = list((", "F35"),
    _dedup("a_window_ends_before_a_long_delay", "G29", "claim", _TTL, "window", "F37"),
    _dedup("a_window_is_the_delay_alone", "G24", "claim", _TTL, "delay + (once.period or 0.0) or 1.0"),
    _dedup("all_periods_are_one", "G25", "_identity", "canonical(int(now // once.period))", "canonical(0)"),
    _dedup("a_period_begins_with_the_message", "G25", "_identity", "canonical(int(now // once.period))", "canonical(now)"),
    _dedup(
        "the_key_of_a_period_is_ignored", "G25", "_identity", "once.key if once.key is not None else message.args", "message.args"
    ),
    _dedup(
        "arguments_are_not_told_apart", "G25", "_identity", "once.key if once.key is not None else message.args", "once.key or ()"
    ),
    _dedup("text_and_case_are_not_told_apart", "G28", "_identity", "_utf8(once.name))", "_utf8(once.name.lower()))"),
    _store("a_failed_send_keeps_its_name", "G27", "_unclaim", "if outgoing.claim is not None:", "if False:", "F4"),
    _store("a_refused_message_keeps_its_name", "G27", "_send", "if answers[index] is not None)", "if False)", "F4"),
    _store(
        "a_duplicate_frees_the_name",
        "G23",
        "_send",
        "answers[index] = DuplicateMessageError(claim.key.hex())",
        "answers[index] = DuplicateMessageError(claim.key.hex())\n                await store.unclaim(claim.key)",
    ),
    _store("an_accepted_message_frees_its_name", "G23", "_send", "if answers[index] is not None)", "if True)"),
    _store(
        "a_duplicate_is_sent_all_the_same",
        "G23",
        "_send",
        "    answers[index] = DuplicateMessageError(claim.key.hex())",
        "    claimed.append(index)",
    ),
    _names("a_store_never_frees_a_name", "G27", "unclaim", "self.taken.pop(key, None)", "pass"),
)
