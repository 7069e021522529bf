-- Reads entries of a run by position. ARGV: prefix, run, after, upto or -1, most, most bytes, 1 for last first, the
-- id of an entry that the reader has seen or nothing, then types. Replies how far it has looked, whether that is the
-- end, and id, type, step, attempt, data of each; or `lost` and the last id, if the reader is ahead.
-- The ids of a timeline are `<ms>-<n>` and neither part ever falls, so the moment of a position is found by halving.
reads('read', function(ARGV)
  local P, id = ARGV[1], ARGV[2]
  local h = call('HMGET', P .. 'run:' .. id, 'n', 'ms')
  if not h[1] then return false end
  local stream, last, last_ms = P .. 'flow:' .. id, tonumber(h[1]), tonumber(h[2])
  local low, high = tonumber(ARGV[3]) + 1, tonumber(ARGV[4])
  if high < 0 or high > last then high = last end
  local seen, seen_n = ARGV[8], tonumber(match(ARGV[8], '-(%d+)$'))
  local there = low - 1 <= last
  if seen_n == last then
    there = there and seen == h[2] .. '-' .. h[1]
  elseif seen_n then
    there = there and seen_n < last and call('XRANGE', stream, seen, seen)[1]
  end
  if not there then return { 'lost', h[2] .. '-' .. h[1] } end
  local most, most_bytes, reverse = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
  if low > high or most <= 0 then return { last, 1 } end

  -- The whole id of the entry at this position.
  local function id_of(n)
    if n == last then return last_ms .. '-' .. n end
    -- Not from the start of the run on: a rerun starts later than its first entries were written.
    local first = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    local from, to = first and tonumber(match(first[1], '^%d+')) or last_ms, last_ms
    while from < to do
      local middle = math.ceil((from + to) / 2)
      local entry = call('XRANGE', stream, middle, '+', 'COUNT', 1)[1]
      if entry and tonumber(match(entry[1], '-(%d+)')) <= n then from = middle else to = middle - 1 end
    end
    return from .. '-' .. n
  end

  local types
  for i = 9, #ARGV do
    types = types or {}
    types[ARGV[i]] = true
  end

  local from = low == 1 and '-' or seen_n == low - 1 and '(' .. seen or id_of(low)
  local to = high == last and '+' or id_of(high)
  local reply, bytes, taken, looked = { 0, 0 }, 0, 0, 0
  local at = reverse and high + 1 or low - 1
  -- A page of large entries must not be much larger than what is asked for.
  local PAGE = 16
  while looked < 2000 and taken < most do
    local page
    if reverse then
      page = call('XREVRANGE', stream, to, from, 'COUNT', PAGE)
    else
      page = call('XRANGE', stream, from, to, 'COUNT', PAGE)
    end
    for _, entry in ipairs(page) do
      local f = entry[2]
      if not types or types[f[2]] then
        bytes = bytes + #(f[8] or '')
        if taken == most or (bytes > most_bytes and taken > 0) then
          reply[1] = at
          return reply
        end
        taken = taken + 1
        local e = 2 + 5 * taken
        reply[e - 4], reply[e - 3], reply[e - 2], reply[e - 1], reply[e] = entry[1], f[2], f[4] or '', f[6] or '', f[8] or ''
      end
      at = tonumber(match(entry[1], '-(%d+)'))
    end
    looked = looked + #page
    if #page < PAGE then
      reply[2] = 1
      break
    end
    if reverse then to = '(' .. page[PAGE][1] else from = '(' .. page[PAGE][1] end
  end
  reply[1] = at
  return reply
end)
