-- Who holds the lease, for how long still, and who claimed last.
-- KEYS: lease, leader
-- Fails if the lease is free and cannot be taken: the acquisition itself does not tell why.
local held_for = redis.call('PTTL', KEYS[1])
if held_for == -2 then
  -- Writes nothing where there is no key, and is refused where a write would be.
  redis.call('SET', KEYS[1], '', 'XX')
end
return { held_for, redis.call('HGETALL', KEYS[2]) }
