-- Extends the lease if it is still this one, and notes in the record whether the leader's
-- liveness channel is subscribed to.
-- KEYS: lease, leader
-- ARGV: lease value, lease in hex, term, duration in ms, liveness channel
-- Returns nothing where the lease is another's, else the time in ms.
local lease, leader = KEYS[1], KEYS[2]
local value, lease_hex, term, duration, alive = unpack(ARGV)

if redis.call('GET', lease) ~= value then
  return false
end
redis.call('PEXPIRE', lease, duration)

local record = redis.call('HMGET', leader, 'term', 'lease', 'alive')
if record[1] == term and record[2] == lease_hex then
  local counted = redis.pcall('PUBSUB', 'NUMSUB', alive)
  if counted.err or counted[2] == 0 then
    alive = ''
  end
  if record[3] ~= alive then
    redis.call('HSET', leader, 'alive', alive)
  end
end
local time = redis.call('TIME')
return string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
