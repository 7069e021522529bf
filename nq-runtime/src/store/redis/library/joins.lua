-- Joins: what waits at them stands in the sorted set `join:<run>`, by name: `<worker> <side> <by> <position> <id> <key>`.
-- They are written at once, so the entries of the act that brings an event are written before.

-- The name of an event that waits.
local function arrival(worker, side, by, n, id, key)
  return format('%s %d %s %012d %s %s', worker, side, by, n, id, key)
end

-- A value by which events pair, short enough for a name.
local function paired_by(by)
  return #by > 64 and '#' .. redis.sha1hex(by) or by
end

-- An event arrives at a join: the step runs if every other side has a partner, else it waits there. `input` is its entry.
local function arrive(worker, spec, sides, side, by, id, key, input)
  local zset, n = key_of('join:'), number(id_parts(id))
  by = paired_by(by)
  local taken, inputs = {}, {}
  for other = 0, sides - 1 do
    if other == side then
      inputs[#inputs + 1] = id .. ' ' .. key
    else
      local from = worker .. ' ' .. other .. ' ' .. by .. ' '
      local member = listed('joins=1') and call('ZRANGEBYLEX', zset, '[' .. from, '(' .. from .. '~', 'LIMIT', 0, 1)[1]
      if not member then
        call('ZADD', zset, 0, arrival(worker, side, by, n, id, key))
        return list('joins=1')
      end
      taken[#taken + 1] = member
      inputs[#inputs + 1] = match(member, '(%S+ %S+)$')
    end
  end
  if #taken > 0 then call('ZREM', zset, unpack(taken)) end
  -- What waited under another name of the join may be older than what it pairs with.
  local cause, newest = id, n
  for _, words in ipairs(inputs) do
    local other = match(words, '^%S+')
    local position = number(id_parts(other))
    if position > newest then cause, newest = other, position end
  end
  enqueue(worker, spec, cause, concat(inputs, ' '), #inputs == 1 and input or nil)
end

-- The first unpaired event, or all of them, of a join. Nil or nothing if there are none.
local function waiting_at(worker, all)
  if not listed('joins=1') then return all and {} or nil end
  local found = call('ZRANGEBYLEX', key_of('join:'), '[' .. worker .. ' ', '(' .. worker .. '!', 'LIMIT', 0, all and -1 or 1)
  if all then return found end
  return found[1]
end
