-- Which commands the user may not call, and whether scripts can count subscribers.
-- KEYS: replicas, the only one that every user may write to
-- ARGV: a channel to count the subscribers of, or '', then each command as the number of its words and the words
-- Returns the positions of the commands that are denied, counted from 1, and 1 or 0 for counting.
local denied = {}
local at, number = 2, 1
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  -- Fails for a command that the server does not have.
  local known, allowed = pcall(redis.acl_check_cmd, unpack(ARGV, at + 1, at + words))
  if not known or not allowed then
    denied[#denied + 1] = number
  end
  at, number = at + words + 1, number + 1
end
local counted = ARGV[1] ~= '' and redis.pcall('PUBSUB', 'NUMSUB', ARGV[1])
return { denied, (not counted or counted.err) and 0 or 1 }
