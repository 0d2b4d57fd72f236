-- Who holds the lease, for how long still, and who claimed last.
-- KEYS: lease, leader
return { redis.call('PTTL', KEYS[1]), redis.call('HGETALL', KEYS[2]) }
