-- Runs, newest first. ARGV: prefix, most, score and run of where the page before ended or two empty strings, flow or
-- empty, then statuses. Replies run, score, status, flow, started, ended, ms, n, pending and more of each. Every flow and status has an index of its own; this merges
-- them, a few of each at a time.
reads('runs', function(ARGV)
  local P, most, score, before = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
  local flows = ARGV[5] ~= '' and { ARGV[5] } or call('SMEMBERS', P .. 'flows')
  local PAGE = 20

  local function newer(a, b)
    if a.score ~= b.score then return a.score > b.score end
    return a.id > b.id
  end

  -- Brings the next run of an index to its head.
  local function advance(source)
    while true do
      source.at = source.at + 2
      if source.at > #source.page then
        if source.page[1] and #source.page < 2 * PAGE then return false end
        source.page = call('ZREVRANGEBYSCORE', source.key, score ~= '' and score or '+inf', '-inf', 'WITHSCORES',
          'LIMIT', source.offset, PAGE)
        source.offset, source.at = source.offset + PAGE, 1
        if not source.page[1] then return false end
      end
      source.id, source.text, source.score = source.page[source.at], source.page[source.at + 1], tonumber(source.page[source.at + 1])
      if score == '' or source.score < tonumber(score) or source.id < before then return true end
    end
  end

  local sources = {}
  for _, flow in ipairs(flows) do
    for i = 6, #ARGV do
      local source = { key = P .. 'runs:' .. ARGV[i] .. ':' .. flow, page = {}, at = -1, offset = 0 }
      if advance(source) then sources[#sources + 1] = source end
    end
  end

  local reply, taken = {}, 0
  while taken < most and #sources > 0 do
    local best = 1
    for i = 2, #sources do
      if newer(sources[i], sources[best]) then best = i end
    end
    local source = sources[best]
    local h = redis.pcall('HMGET', P .. 'run:' .. source.id, 'status', 'flow', 'started', 'ended', 'ms', 'n', 'pending', 'more')
    if h[1] then
      taken = taken + 1
      reply[#reply + 1] = source.id
      reply[#reply + 1] = source.text
      for i = 1, 8 do reply[#reply + 1] = h[i] or '' end
    end
    if not advance(source) then table.remove(sources, best) end
  end
  return reply
end)
