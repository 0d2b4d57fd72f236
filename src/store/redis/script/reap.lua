-- Takes the lease away from a leader that nobody hears any more, and tells everybody.
-- KEYS: lease, leader
-- ARGV: lease value, then the record as it was when its leader was last missed: term, lease in hex,
--       sequence, liveness channel, run id; then channel, announcement
-- Returns 1 where the lease was taken away; 0 where anything differs, or the leader is back.
local lease, leader = KEYS[1], KEYS[2]
local value, term, lease_hex, sequence, alive, run_id, channel, announcement = unpack(ARGV)

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
redis.call('PUBLISH', channel, announcement)
return 1
