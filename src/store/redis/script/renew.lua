-- Extends the lease if it is still this one, sends a pulse through the leader's liveness channel,
-- and notes in the record whether that channel is subscribed to.
-- KEYS: lease, leader
-- ARGV: lease value, lease in hex, term, duration in ms, liveness channel; then where and how to
--       announce that the channel is subscribed to again: standbys can probe from then on
-- Returns nothing where the lease is another's, else the time in ms.
local lease, leader = KEYS[1], KEYS[2]
local value, lease_hex, term, duration, alive, channel, announcement = unpack(ARGV)

if redis.call('GET', lease) ~= value then
  return false
end
redis.call('PEXPIRE', lease, duration)

local record = redis.call('HMGET', leader, 'term', 'lease', 'alive')
if record[1] == term and record[2] == lease_hex then
  local counted = redis.pcall('PUBSUB', 'NUMSUB', alive)
  if counted.err or counted[2] == 0 then
    alive = ''
  else
    redis.pcall('PUBLISH', alive, term)
  end
  if record[3] ~= alive then
    redis.call('HSET', leader, 'alive', alive)
    if alive ~= '' then
      redis.call('PUBLISH', channel, announcement)
    end
  end
end
local time = redis.call('TIME')
return string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
