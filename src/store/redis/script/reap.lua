-- Takes the lease away from a leader that nobody hears any more, and tells everybody.
-- KEYS: lease, leader, timeline
-- ARGV: lease value, then the record as it was when its leader was last missed: term, lease in hex,
--       sequence, liveness channel, run id; then its replica, entries kept, channel, announcement
-- Returns 1 where the lease was taken away; 0 where anything differs, or the leader is back.
local lease, leader, timeline = KEYS[1], KEYS[2], KEYS[3]
local value, term, lease_hex, sequence, alive, run_id = unpack(ARGV, 1, 6)
local replica, kept, channel, announcement = unpack(ARGV, 7)

local record = redis.call('HMGET', leader, 'term', 'lease', 'sequence', 'alive', 'run_id')
local same = record[1] == term and record[2] == lease_hex and record[3] == sequence
  and record[4] == alive and record[5] == run_id
if not same or redis.call('GET', lease) ~= value then
  return 0
end
local counted = redis.pcall('PUBSUB', 'NUMSUB', alive)
if counted.err or counted[2] ~= 0 then
  return 0
end
redis.call('DEL', lease)
redis.call('XADD', timeline, 'MAXLEN', '~', kept, '*', 'event', 'reaped', 'replica', replica,
  'term', term, 'cause', '', 'gap', '0')
redis.call('PUBLISH', channel, announcement)
return 1
