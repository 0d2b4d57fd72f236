-- Extends the acquired lease to its full duration and writes the claim into the record.
-- KEYS: lease, leader, timeline
-- ARGV: see below; the announcement comes in two parts with the term between them, since a script
-- sees every number as a double and would print a term in exponents.
-- Returns nothing where the lease is not this one, else term, sequence, base, ms, cause.
local lease, leader, timeline = KEYS[1], KEYS[2], KEYS[3]
local value, lease_hex, duration, seen = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local alive, replica, address, gap = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local reinstate, run_id, kept = ARGV[9] == '1', ARGV[10], ARGV[11]
local channel, head, tail = ARGV[12], ARGV[13], ARGV[14]

local record = redis.call('HMGET', leader, 'term', 'lease', 'sequence', 'base', 'run_id')
local term, claimed_with, sequence, base = record[1], record[2], record[3], record[4]
local same_server = term and record[5] == run_id

local holder = redis.call('GET', lease)
if not holder and reinstate and not same_server then
  redis.call('SET', lease, value, 'PX', duration)
  holder = value
end
if holder ~= value then
  return false
end
-- First of all writes: it works on a full server, and after it so do the others.
redis.call('PEXPIRE', lease, duration)

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local now_text = string.format('%.0f', now)
if same_server and claimed_with == lease_hex then
  return { term, sequence, base, now_text, 'restarted' }
end

-- Whether the last thing that happened is that the leader of this term was found dead.
local function was_reaped(dead)
  local last = redis.call('XREVRANGE', timeline, '+', '-', 'COUNT', '1')[1]
  return last and last[2][2] == 'reaped' and last[2][6] == dead
end

local cause = 'expired'
if not term then
  cause = 'first'
elseif claimed_with == lease_hex then
  cause = 'restarted'
elseif claimed_with == '' then
  cause = 'released'
elseif was_reaped(term) then
  cause = 'crashed'
end

local stored = tonumber(term) or 0
term = string.format('%.0f', math.max(stored + 1, seen + 1, now))
-- A server that is behind what was seen elsewhere has lost publications, whatever its run id.
if not same_server or not base or seen > stored then
  base = term
end
local counted = redis.pcall('PUBSUB', 'NUMSUB', alive)
if counted.err or counted[2] == 0 then
  alive = ''
end
redis.call('HSET', leader, 'term', term, 'lease', lease_hex, 'sequence', '0', 'base', base,
  'run_id', run_id, 'alive', alive, 'replica', replica, 'address', address, 'since', now_text,
  'format', '1')
redis.call('XADD', timeline, 'MAXLEN', '~', kept, '*', 'event', 'claimed', 'replica', replica,
  'term', term, 'cause', cause, 'gap', gap)
redis.call('PUBLISH', channel, head .. term .. tail)
return { term, '0', base, now_text, cause }
