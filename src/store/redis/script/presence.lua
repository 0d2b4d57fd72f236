-- Notes that a replica is there, forgets those long gone, and tells of all others.
-- KEYS: replicas
-- ARGV: replica, its presence without the end, how long a presence counts in ms
-- Returns the presences, the replica's own among them.
local replica, presence, expiry = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local own = presence .. string.format('%.0f', now) .. '}'
local present = { own }
local known = redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  local seen = tonumber(string.match(known[i + 1], '"seen_at":(%d+)}$'))
  if not seen or now - seen > expiry then
    redis.call('HDEL', KEYS[1], known[i])
  elseif known[i] ~= replica then
    present[#present + 1] = known[i + 1]
  end
end
redis.call('HSET', KEYS[1], replica, own)
return present
