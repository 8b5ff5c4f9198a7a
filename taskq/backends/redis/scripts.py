"""The atomic steps, in Lua. Each touches the keys of one queue only. They move what they are told to; they decide nothing.

An entry of the stream is delivered once: whatever comes back, from a handler or from a dead consumer, gets an entry of its
own. So an entry id is a receipt that cannot be confused with a later delivery, and XACK answers whether it is still owned.
A server that has lost its group or its last writes gives entries out again; so whatever puts a message somewhere else, or
prolongs its reservation, asks whose the entry is. An acknowledgement does not: the message ran to its end, whoever owns it.
"""

from __future__ import annotations

import hashlib

import msgspec

__all__ = [
    "ACK",
    "BURY",
    "EXTEND",
    "LEAVE",
    "LOCK",
    "PROMOTE",
    "PURGE",
    "READ_RATE",
    "RECOVER",
    "REDRIVE",
    "RELEASE",
    "SEND",
    "SIZE",
    "SWAP",
    "SWEEP",
    "UNLOCK",
    "Script",
]


class Script(msgspec.Struct, frozen=True):
    """One script and the digest by which a server that has seen it runs it."""

    text: bytes
    sha: bytes


def _script(text: str) -> Script:
    data = text.strip().encode()
    return Script(data, hashlib.sha1(data, usedforsecurity=False).hexdigest().encode())


SEND = _script("""
-- KEYS: stream, delayed, sender, then one per message that claims a name
-- ARGV: number of the trip, how long it is remembered (ms), then body, delay (ms or ''), ttl of the name (ms or '') per message
-- Returns one line per message: '' added, '=' its name is taken, else why it was refused; '' alone if all were added.
-- The sender's key holds the number of its last trip, and behind a blank its answers, unless all were added.
local last = redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2], 'GET')
if last then
  local number, answers = string.match(last, '^(%d+) ?(.*)$')
  if tonumber(number) >= tonumber(ARGV[1]) then
    redis.call('SET', KEYS[3], last, 'PX', ARGV[2])
    return answers
  end
end
local answers, names, now = nil, 3, nil
for i = 3, #ARGV, 3 do
  local body, delay, ttl, name, answer = ARGV[i], ARGV[i + 1], ARGV[i + 2], nil, ''
  if ttl ~= '' then
    names = names + 1
    name = KEYS[names]
    if not redis.call('SET', name, '', 'NX', 'PX', ttl) then answer = '=' end
  end
  if answer == '' then
    local done
    if delay == '' then
      done = redis.pcall('XADD', KEYS[1], '*', 'body', body)
    else
      if not now then
        local time = redis.call('TIME')
        now = time[1] * 1000 + time[2] / 1000
      end
      done = redis.pcall('ZADD', KEYS[2], string.format('%.0f', math.ceil(now + delay)), body)
    end
    if type(done) == 'table' and done.err then
      answer = done.err
      if name then redis.call('DEL', name) end
    end
  end
  if answer ~= '' then
    answers = answers or {}
    answers[i / 3] = answer
  end
end
if not answers then return '' end
for i = 1, (#ARGV - 2) / 3 do answers[i] = answers[i] or '' end
local text = table.concat(answers, '\\n')
redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. text, 'PX', ARGV[2])
return text
""")

ACK = _script("""
-- KEYS: stream; ARGV: group, then ids. Returns those that were not owned any more.
local count, lost = redis.call('XACK', KEYS[1], unpack(ARGV)), {}
if count < #ARGV - 1 then
  -- Whatever was taken from its owner has another entry by now.
  for i = 2, #ARGV do
    if #redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i]) == 0 then lost[#lost + 1] = ARGV[i] end
  end
end
redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
return lost
""")

RELEASE = _script("""
-- KEYS: stream, delayed; ARGV: group, consumer, id, body, delay (ms). Returns whether it was still owned.
local one = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not one or one[2] ~= ARGV[2] then return 0 end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
local delay = tonumber(ARGV[5])
if delay > 0 then
  local time = redis.call('TIME')
  redis.call('ZADD', KEYS[2], string.format('%.0f', math.ceil(time[1] * 1000 + time[2] / 1000 + delay)), ARGV[4])
else
  redis.call('XADD', KEYS[1], '*', 'body', ARGV[4])
end
return 1
""")

BURY = _script("""
-- KEYS: stream, dead; ARGV: group, consumer, id, then the fields of the dead letter. Returns whether it was still owned.
local one = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not one or one[2] ~= ARGV[2] then return 0 end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 4))
return 1
""")

EXTEND = _script("""
-- KEYS: stream; ARGV: group, consumer, id, idle time from now on (ms). Returns whether it was still owned.
local one = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not one or one[2] ~= ARGV[2] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[4], 'JUSTID')
return 1
""")

PROMOTE = _script("""
-- KEYS: stream, delayed, and on a single server the lock that Go's scheduler holds while it does the same; ARGV: at most so many.
-- Returns how many were due, and the milliseconds until the next is (-1: none).
if KEYS[3] and redis.call('EXISTS', KEYS[3]) == 1 then return {0, -1} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, body in ipairs(due) do
  redis.call('XADD', KEYS[1], '*', 'body', body)
  redis.call('ZREM', KEYS[2], body)
end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if first[2] then return {#due, math.max(0, math.ceil(tonumber(first[2]) - now))} end
return {#due, -1}
""")

RECOVER = _script("""
-- KEYS: stream; ARGV: group, then either idle time (ms) and at most so many, or 'ids' and ids.
-- Makes ready what dead consumers owned, and counts its deliveries; returns how many it looked at.
local pending
if ARGV[2] == 'ids' then
  pending = {}
  for i = 3, #ARGV do
    local one = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
    if one[1] then pending[#pending + 1] = one[1] end
  end
else
  pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[2], '-', '+', ARGV[3])
end
for _, one in ipairs(pending) do
  local entry = redis.call('XRANGE', KEYS[1], one[1], one[1])[1]
  redis.call('XACK', KEYS[1], ARGV[1], one[1])
  if entry then
    local fields, deliveries = {}, tonumber(one[4])
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'deliveries' then
        deliveries = deliveries + (tonumber(entry[2][i + 1]) or 0)
      else
        fields[#fields + 1] = entry[2][i]
        fields[#fields + 1] = entry[2][i + 1]
      end
    end
    redis.call('XDEL', KEYS[1], one[1])
    redis.call('XADD', KEYS[1], '*', 'deliveries', deliveries, unpack(fields))
  end
end
return #pending
""")

SIZE = _script("""
-- KEYS: stream, delayed, dead; ARGV: group. Returns ready, delayed, reserved, dead.
local summary = redis.pcall('XPENDING', KEYS[1], ARGV[1])
local reserved = summary.err and 0 or summary[1]
return {redis.call('XLEN', KEYS[1]) - reserved, redis.call('ZCARD', KEYS[2]), reserved, redis.call('XLEN', KEYS[3])}
""")

PURGE = _script("""
-- KEYS: stream, delayed; ARGV: group, at most so many. Returns how many were dropped, and whether there may be more.
local dropped = redis.call('ZCARD', KEYS[2])
redis.call('DEL', KEYS[2])
local summary = redis.pcall('XPENDING', KEYS[1], ARGV[1])
if summary.err then
  dropped = dropped + redis.call('XLEN', KEYS[1])
  redis.call('DEL', KEYS[1])
  return {dropped, 0}
end
local after = '-'
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local facts = {}
  for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
  if facts['name'] == ARGV[1] then after = '(' .. facts['last-delivered-id'] end
end
local ready = redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', ARGV[2])
local ids = {}
for i, entry in ipairs(ready) do ids[i] = entry[1] end
if #ids > 0 then redis.call('XDEL', KEYS[1], unpack(ids)) end
return {dropped + #ids, #ids == tonumber(ARGV[2]) and 1 or 0}
""")

REDRIVE = _script("""
-- KEYS: dead, stream; ARGV: id and body of each. Returns how many still were there.
local found = 0
for i = 1, #ARGV, 2 do
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
    redis.call('XADD', KEYS[2], '*', 'body', ARGV[i + 1])
    found = found + 1
  end
end
return found
""")

LEAVE = _script("""
-- KEYS: stream; ARGV: group, consumer. Deletes a consumer, but only if it owns nothing.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if pending.err or #pending > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
""")

SWEEP = _script("""
-- KEYS: stream; ARGV: group, idle time (ms). Deletes consumers that have been away so long, but only those that own nothing.
local consumers, gone = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1]), 0
if consumers.err then return 0 end
for _, consumer in ipairs(consumers) do
  local facts = {}
  for i = 1, #consumer, 2 do facts[consumer[i]] = consumer[i + 1] end
  if facts['pending'] == 0 and facts['idle'] >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], facts['name'])
    gone = gone + 1
  end
end
return gone
""")

LOCK = _script("""
-- KEYS: lock; ARGV: owner, ttl (ms). Takes or renews it; returns whether the owner has it.
local owner = redis.call('GET', KEYS[1])
if owner == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if owner then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

UNLOCK = _script("""
-- KEYS: lock; ARGV: owner.
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")

READ_RATE = _script("""
-- KEYS: rate. Returns what is stored and the server's time.
local time = redis.call('TIME')
return {redis.call('GET', KEYS[1]), time[1], time[2]}
""")

SWAP = _script("""
-- KEYS: rate; ARGV: what was read ('' for nothing), what replaces it, ttl (ms), the server's time when it was read (s).
-- Returns whether nobody was faster. Where nothing is stored, something may have been since: what replaces it counts from now.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
local following = ARGV[2]
if ARGV[1] == '' then
  local time = redis.call('TIME')
  following = string.format('%.6f', following + (time[1] - ARGV[4]) + time[2] / 1000000)
end
redis.call('SET', KEYS[1], following, 'PX', ARGV[3])
return 1
""")
