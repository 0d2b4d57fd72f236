-- Gives the lease back, takes it out of the record, and tells everybody.
-- KEYS: lease, leader, timeline
-- ARGV: lease value, lease in hex, term, replica, why, entries kept, channel, announcement
-- Returns 1 where the lease was still this one.
local lease, leader, timeline = KEYS[1], KEYS[2], KEYS[3]
local value, lease_hex, term, replica, cause = unpack(ARGV, 1, 5)
local kept, channel, announcement = unpack(ARGV, 6)

local held = 0
if redis.call('GET', lease) == value then
  held = redis.call('DEL', lease)
end
local record = redis.call('HMGET', leader, 'term', 'lease')
if record[1] == term and record[2] == lease_hex then
  redis.call('HSET', leader, 'lease', '', 'alive', '')
  redis.call('XADD', timeline, 'MAXLEN', '~', kept, '*', 'event', 'released', 'replica', replica,
    'term', term, 'cause', cause, 'gap', '0')
  redis.call('PUBLISH', channel, announcement)
end
return held
