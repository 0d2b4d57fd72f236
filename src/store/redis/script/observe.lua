-- Who holds the lease, for how long still, who claimed last, and who is there to hear its leader.
-- KEYS: lease, leader
-- Returns the PTTL, the lease's value, the record, and the number of subscribers of the record's
-- liveness channel: -1 where there is none, or the server does not count.
-- Fails if the lease is free and cannot be taken: the acquisition itself does not tell why.
local lease, leader = KEYS[1], KEYS[2]
local held_for = redis.call('PTTL', lease)
if held_for == -2 then
  -- Writes nothing where there is no key, and is refused where a write would be.
  redis.call('SET', lease, '', 'XX')
end
local subscribers = -1
local alive = redis.call('HGET', leader, 'alive')
if alive and alive ~= '' then
  local counted = redis.pcall('PUBSUB', 'NUMSUB', alive)
  if not counted.err then
    subscribers = counted[2]
  end
end
return { held_for, redis.call('GET', lease), redis.call('HGETALL', leader), subscribers }
