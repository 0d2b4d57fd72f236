-- Notes that a replica is there, and forgets those long gone.
-- KEYS: replicas
-- ARGV: replica, its presence without the end, how long a presence counts in ms
local replica, presence, expiry = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known = redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  local seen = tonumber(string.match(known[i + 1], '"seen_at":(%d+)}$'))
  if not seen or now - seen > expiry then
    redis.call('HDEL', KEYS[1], known[i])
  end
end
return redis.call('HSET', KEYS[1], replica, presence .. string.format('%.0f', now) .. '}')
