-- What is read of runs.

do
  -- A page of large packs must not be much larger than what is asked for.
  local PAGE = 16

  -- The moment of the entry at this position, found by halving: the ids of packs are `<ms>-<position>`, and neither part
  -- ever falls.
  local function moment_of(stream, n, last_ms)
    -- Not from the start of the run on: a rerun starts later than its first entries were written.
    local found = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    local from, to = found and tonumber(match(found[1], '^%d+')) or last_ms, last_ms
    while from < to do
      local middle = math.ceil((from + to) / 2)
      local one = call('XRANGE', stream, text(middle), '+', 'COUNT', 1)[1]
      if one and ends_of(one[1], one[2]) <= n then from = middle else to = middle - 1 end
    end
    return text(from)
  end

  -- Reads entries of a run by position. Arguments: run, after, upto or -1, most, most bytes, 1 for last first, the
  -- id of an entry that the reader has seen or nothing, then types. Replies how far it has looked, whether that is the
  -- end, and id and text of each entry; or `lost` and the last id, if the reader is ahead.
  reads('read', function()
    if not open(take()) then return false end
    local stream, last = key_of('flow:'), run_n
    local low, high, most, most_bytes, reverse, seen =
      take_number() + 1, take_number(), take_number(), take_number(), take() == '1', take()
    if high < 0 or high > last then high = last end
    local seen_n = id_parts(seen)
    seen_n = seen_n and tonumber(seen_n)
    local there = low - 1 <= last
    if seen_n == last then
      there = there and seen == last_id()
    elseif seen_n then
      there = there and seen_n < last and entry_at(stream, seen) ~= nil
    end
    if not there then return { 'lost', last_id() } end
    if low > high or most <= 0 then return { last, 1 } end

    local types
    while at <= #ARGV do
      types = types or {}
      types[take()] = true
    end

    -- Where the packs begin that hold these positions; in the other direction, the pack that holds the last of them.
    local from, to = '-', '+'
    if not reverse then
      if seen_n == low - 1 then
        from = '(' .. seen
      elseif low > 1 then
        from = moment_of(stream, low, tonumber(run_ms)) .. '-' .. text(low)
      end
    elseif high < last then
      local found = call('XRANGE', stream, moment_of(stream, high, tonumber(run_ms)) .. '-' .. text(high), '+', 'COUNT', 1)[1]
      to = found and found[1] or '+'
    end

    local reply, bytes, taken, looked, way = { 0, 0 }, 0, 0, 0, reverse and -1 or 1
    -- The position that was looked at last.
    local n = reverse and high + 1 or low - 1
    while looked < 2000 do
      local packs
      if reverse then
        packs = call('XREVRANGE', stream, to, from, 'COUNT', PAGE)
      else
        packs = call('XRANGE', stream, from, to, 'COUNT', PAGE)
      end
      for _, one in ipairs(packs) do
        local first, pack_last, ms = ends_of(one[1], one[2])
        local begin, over = math.max(first, low), math.min(pack_last, high)
        if reverse then begin, over = over, begin end
        for position = begin, over, way do
          local words = one[2][2 * (position - first) + 2]
          if not types or types[match(words, '^%S*')] then
            bytes = bytes + #words
            if taken == most or (bytes > most_bytes and taken > 0) then
              reply[1] = n
              return reply
            end
            taken = taken + 1
            reply[2 * taken + 1], reply[2 * taken + 2] = ms .. '-' .. text(position), words
          end
          n, looked = position, looked + 1
        end
      end
      if #packs < PAGE or n == (reverse and low or high) then
        reply[2] = 1
        break
      end
      if reverse then to = '(' .. packs[PAGE][1] else from = '(' .. packs[PAGE][1] end
    end
    reply[1] = n
    return reply
  end)

  -- The events that a gather has got. Arguments: run, worker, upto, from, most, most bytes, the id of an entry that
  -- the reader has seen or nothing. Replies `ok` and id and text of each entry, which is empty where it is missing; or
  -- `lost` and the last id, if the entry that was seen is not there.
  reads('gathered', function()
    if not open(take()) then return false end
    local key, stream = gathered_key(take()), key_of('flow:')
    local upto, from, most, most_bytes, seen = take_number(), take_number(), take_number(), take_number(), take()
    if seen ~= '' and not entry_at(stream, seen) then return { 'lost', last_id() } end
    local reply, bytes, pack_id, fields = { 'ok' }, 0, nil, nil
    if most <= 0 then return reply end
    for _, id in ipairs(call('LRANGE', key, text(from), text(from + most - 1))) do
      if number(id_parts(id)) > upto then break end
      local words
      words, pack_id, fields = entry_at(stream, id, pack_id, fields)
      words = words or ''
      bytes = bytes + #words
      if bytes > most_bytes and #reply > 1 then break end
      reply[#reply + 1] = id
      reply[#reply + 1] = words
    end
    return reply
  end)
end

-- Runs, newest first. Arguments: most, score and run of where the page before ended or two empty strings, flow or
-- empty, then statuses. Replies run, score and the head of the record of each. Every flow and status has an index of its
-- own; this merges them, a few of each at a time.
do
  local PAGE = 20

  local function newer(a, b)
    if a.score ~= b.score then return a.score > b.score end
    return a.id > b.id
  end

  -- Brings the next run of an index to its head: one behind the place where the page before ended.
  local function advance(source, score, before)
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

  reads('runs', function()
    local most, score, before, flow = take_number(), take(), take(), take()
    local flows, statuses_at = flow ~= '' and { flow } or call('SMEMBERS', P .. 'flows'), at
    local sources = {}
    for _, one in ipairs(flows) do
      for i = statuses_at, #ARGV do
        local source = { key = P .. 'runs:' .. ARGV[i] .. ':' .. one, page = {}, at = -1, offset = 0 }
        if advance(source, score, before) then sources[#sources + 1] = source end
      end
    end
    local reply, taken = {}, 0
    while taken < most and #sources > 0 do
      local best = 1
      for i = 2, #sources do
        if newer(sources[i], sources[best]) then best = i end
      end
      local source = sources[best]
      local record = try('GET', P .. 'run:' .. source.id)
      if type(record) == 'string' then
        taken = taken + 1
        reply[#reply + 1] = source.id
        reply[#reply + 1] = source.text
        reply[#reply + 1] = match(record, '^[^\n]*')
      end
      if not advance(source, score, before) then table.remove(sources, best) end
    end
    return reply
  end)
end
