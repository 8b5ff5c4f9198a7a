"""Bugs of the Redis adapter and its scripts, looked for on fakeredis."""

from __future__ import annotations

from conformance.mutants.mutant import Mutant, rewriting
from conformance.mutants.patches import Lua

__all__ = ["MUTANTS"]

_backend = rewriting("taskq.backends.redis.queue:RedisBackend.", "fakeredis")
_sender = rewriting("taskq.backends.redis.queue:_Sender.", "fakeredis")
_sending = rewriting("taskq.backends.redis.sending:", "fakeredis")
_stores = rewriting("taskq.backends.redis.stores:", "fakeredis")
_deployment = rewriting("taskq.backends.redis.deployment:Deployment.", "fakeredis")
_keys = rewriting("taskq.backends.redis.keys:Keys.", "fakeredis")

_OWNED = "if not one or one[2] ~= ARGV[2] then return 0 end\n"


def _script(name: str, guarantee: str, script: str, old: str, new: str, flaw: str = "") -> Mutant:
    """Return one row."""
    return Mutant(name, guarantee, (Lua(script, old, new),), flaw, "fakeredis")


_SCRIPTS = (
    _script("redis_forgets_names", "G23", "SEND", "'NX', 'PX', ttl)", "'PX', ttl)"),
    _script("redis_remembers_names_for_ever", "G24", "SEND", "'', 'NX', 'PX', ttl)", "'', 'NX')"),
    _script(
        "redis_cuts_delays_to_seconds", "G12", "SEND", "math.ceil(now + delay)", "math.floor((now + delay) / 1000) * 1000", "F21"
    ),
    _script("redis_forgets_delays", "G12", "SEND", "if delay == '' then", "if true then"),
    _script(
        "redis_adds_what_is_a_duplicate",
        "G23",
        "SEND",
        "  if answer == '' then\n    local done",
        "  if true then\n    local done",
    ),
    _script(
        "redis_stops_a_batch_at_a_duplicate",
        "G3",
        "SEND",
        "  if answer == '' then\n    local done",
        "  if answers then answer = '=' end\n  if answer == '' then\n    local done",
    ),
    _script("redis_acknowledges_whatever_it_is_given", "G37", "ACK", "if count < #ARGV - 1 then", "if false then"),
    _script("redis_acknowledges_and_keeps_the_entry", "G46", "ACK", "redis.call('XDEL', KEYS[1], unpack(ARGV, 2))", ""),
    _script("redis_releases_whoever_owns_it", "G37", "RELEASE", _OWNED, "", "F15"),
    _script("redis_releases_without_an_end", "G38", "RELEASE", "redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])\n", ""),
    _script("redis_releases_at_once", "G16", "RELEASE", "if delay > 0 then", "if false then"),
    _script("redis_buries_whoever_owns_it", "G37", "BURY", _OWNED, ""),
    _script("redis_buries_a_copy", "G21", "BURY", "redis.call('XDEL', KEYS[1], ARGV[3])\n", ""),
    _script("redis_extends_for_anybody", "G37", "EXTEND", _OWNED, ""),
    _script(
        "redis_extends_nothing",
        "G36",
        "EXTEND",
        "redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[4], 'JUSTID')",
        "",
    ),
    _script(
        "redis_promotes_twice",
        "G38",
        "PROMOTE",
        "  redis.call('ZREM', KEYS[2], body)\n",
        "  if due[2] then redis.call('ZREM', KEYS[2], body) else redis.call('ZADD', KEYS[2], now + 5000, body) end\n",
        "F17",
    ),
    _script("redis_promotes_too_soon", "G12", "PROMOTE", "'-inf', now,", "'-inf', now + 1500,"),
    _script("redis_promotes_too_late", "G13", "PROMOTE", "'-inf', now,", "'-inf', now - 3000,"),
    _script(
        "redis_loses_one_of_many_that_are_due",
        "G1",
        "PROMOTE",
        "  redis.call('XADD', KEYS[1], '*', 'body', body)\n",
        "  if #due < 20 or _ > 1 then redis.call('XADD', KEYS[1], '*', 'body', body) end\n",
    ),
    _script(
        "redis_recovers_by_the_age_of_an_entry",
        "G35",
        "RECOVER",
        "'IDLE', ARGV[2], '-', '+', ARGV[3]",
        "'-', string.format('%.0f', redis.call('TIME')[1] * 1000 - tonumber(ARGV[2])), ARGV[3]",
        "F13",
    ),
    _script("redis_recovers_what_is_not_idle", "G35", "RECOVER", "'IDLE', ARGV[2],", "'IDLE', 0,"),
    _script("redis_recovers_nothing", "G39", "RECOVER", "for _, one in ipairs(pending) do", "for _, one in ipairs({}) do"),
    _script(
        "redis_recovers_one_at_a_time",
        "G39",
        "RECOVER",
        "for _, one in ipairs(pending) do",
        "for _, one in ipairs({pending[1]}) do",
        "F9",
    ),
    _script("redis_does_not_count_deliveries", "G40", "RECOVER", "'deliveries', deliveries,", "'deliveries', 0,", "F27"),
    _script(
        "redis_counts_deliveries_from_the_last",
        "G40",
        "RECOVER",
        "deliveries = deliveries + (tonumber(entry[2][i + 1]) or 0)",
        "deliveries = 1",
    ),
    _script(
        "redis_counts_the_reserved_as_ready",
        "G46",
        "SIZE",
        "redis.call('XLEN', KEYS[1]) - reserved",
        "redis.call('XLEN', KEYS[1])",
        "F42",
    ),
    _script("redis_purges_what_is_reserved", "G45", "PURGE", "if summary.err then", "if true then", "F32"),
    _script("redis_purges_no_delayed", "G44", "PURGE", "redis.call('DEL', KEYS[2])\n", ""),
    _script("redis_purges_what_was_delivered_last", "G45", "PURGE", "'(' .. facts", "facts"),
    _script(
        "redis_redrives_what_is_not_there",
        "G22",
        "REDRIVE",
        "if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then",
        "redis.call('XDEL', KEYS[1], ARGV[i])\n  if true then",
    ),
    _script(
        "redis_deletes_a_consumer_that_owns_something",
        "G49",
        "LEAVE",
        "if pending.err or #pending > 0 then return 0 end",
        "",
        "F1",
    ),
    _script("redis_sweeps_consumers_that_own_something", "G35", "SWEEP", "facts['pending'] == 0 and ", "", "F2"),
    _script("redis_locks_belong_to_all", "G34", "LOCK", "if owner then return 0 end", ""),
    _script("redis_locks_are_not_renewed", "G34", "LOCK", "return redis.call('PEXPIRE', KEYS[1], ARGV[2])", "return 1", "F25"),
    _script("redis_frees_locks_of_others", "G34", "UNLOCK", "redis.call('GET', KEYS[1]) == ARGV[1]", "true"),
    _script("redis_swaps_rates_unseen", "G33", "SWAP", "~= ARGV[1] then return 0 end", "== nil then return 0 end"),
)

_ADAPTER = (
    _backend("redis_rounds_a_retry_down", "G16", "release", "-int(-delay * 1000 // 1)", "int(delay) * 1000", "F21"),
    _backend("redis_extends_by_the_whole_timeout", "G35", "extend", "max(0, int((timeout - by) * 1000))", "0"),
    _backend(
        "redis_looks_for_the_delayed_too_rarely", "G13", "chores", "min(_POLL, wait / 1000 if wait >= 0 else _POLL,", "min(30.0,"
    ),
    _backend("redis_recovers_by_half_the_timeout", "G35", "_recover", "int(timeout * 1000)", "int(timeout * 500)"),
    _backend("redis_recovers_late", "G35", "_recover", "int(timeout * 1000)", "int(timeout * 2000)"),
    _backend("redis_hands_out_the_same_count", "G40", "_reservations", "deliveries + 1, expires_at", "1, expires_at", "F27"),
    _backend(
        "redis_forgets_the_rest_of_an_answer",
        "G1",
        "_reservations",
        "for receipt, fields in answer[0][1]:",
        "for receipt, fields in answer[0][1][:3]:",
    ),
    _backend("redis_lists_dead_letters_without_an_end", "G21", "dead_letters", 'b"COUNT", limit', 'b"COUNT", 10**6'),
    _backend("redis_discards_nothing", "G22", "discard", 'b"XDEL"', 'b"EXISTS"'),
    _backend("redis_drops_the_reason", "G21", "dead_letter", 'reason.encode(errors="replace")', "b''"),
    _backend(
        "redis_waits_in_seconds_where_it_should_in_milliseconds", "G10", "_reserve", "int(wait * 1000)", "int(wait * 100_000)"
    ),
    _backend("redis_does_not_wait", "G10", "_reserve", "if wait > 0 else ()", "if False else ()"),
    _sending(
        "redis_cuts_delays_to_whole_seconds",
        "G12",
        "_milliseconds",
        "math.ceil(round(seconds * 1000, 6))",
        "int(seconds) * 1000",
        "F21",
    ),
    _sending(
        "redis_reads_answers_of_others", "G3", "_answers", 'zip(text.split(b"\\n"), batch', 'zip(text.split(b"\\n")[::-1], batch'
    ),
    _deployment("redis_gives_all_consumers_one_name", "G8", "consumer_name", "+ self.clock.new_id()", "", "F41"),
    _sending("redis_loses_what_is_beyond_one_trip", "G1", "trips", "if start < len(batch):", "if start == 0:"),
    _sender(
        "redis_answers_two_senders_alike",
        "G23",
        "_follow",
        "answers[: len(batch)], answers[len(batch) :]",
        "answers[: len(batch)], answers",
    ),
    _keys(
        "redis_keeps_all_queues_in_one",
        "G48",
        "__init__",
        'queue.encode(errors="surrogateescape")',
        "queue.partition('-')[0].encode()",
    ),
    _stores(
        "redis_rates_count_in_milliseconds", "G33", "RedisRateLimiter._read", "int(microseconds) / 1e6", "int(microseconds) / 1e3"
    ),
    _stores("redis_locks_last_too_short", "G34", "RedisLocks.acquire", "math.ceil(ttl * 1000)", "math.ceil(ttl * 10)"),
)

MUTANTS = _SCRIPTS + _ADAPTER
