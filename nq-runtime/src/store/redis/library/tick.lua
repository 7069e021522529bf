-- What time brings. ARGV: prefix, lease in ms, most jobs and runs, most runs to look over, retention of completed and of
-- other runs in ms or -1, epoch, then the queues that the caller takes jobs from. `remove` takes the same and does the
-- part that only removes: a server whose memory is full allows that.
local function tick(removes)
  local lease_ms, left = tonumber(ARGV[2]), tonumber(ARGV[3])
  local meta = P .. 'meta'
  local h = call('HMGET', meta, 'epoch', 'tick', 'spared', 'sweep', 'keepCompleted', 'keepFailed')
  if h[1] ~= ARGV[7] then return { 'epoch', h[1] or '' } end

  local before, spared = tonumber(h[2] or 0), tonumber(h[3] or 0)
  local one_lease = tonumber(after(lease_ms))
  if now - before > floor(lease_ms / 3) or now < before then
    spared = one_lease
  else
    spared = math.min(spared, one_lease)
  end
  local queues, more = {}, false
  if not removes then
    call('HSET', meta, 'tick', now, 'spared', format('%.0f', spared))
    if h[5] ~= ARGV[5] or h[6] ~= ARGV[6] then call('HSET', meta, 'keepCompleted', ARGV[5], 'keepFailed', ARGV[6]) end

    local served = {}
    for i = 8, #ARGV do
      served[#served + 1] = ARGV[i]
      served[#served + 1] = after(lease_ms)
    end
    many('HSET', P .. 'served', served)

    queues = call('SMEMBERS', P .. 'queues')
    more = backlog(200) >= 200
  end

  -- The jobs of every queue that were due by now, first come first; one more than may be taken.
  local function past(kind)
    local found = {}
    for _, queue in ipairs(queues) do
      local key = P .. kind .. queue
      local members = redis.pcall('ZRANGEBYSCORE', key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, left + 1)
      if members.err then
        failures[#failures + 1] = key .. ': ' .. members.err
        members = {}
      end
      for i = 1, #members, 2 do
        local id, step = match(members[i], '^(%S+) (%S+)$')
        if id then
          found[#found + 1] = { at = tonumber(members[i + 1]), id = id, step = step, key = key, member = members[i] }
        else
          place(key, members[i], false)
        end
      end
    end
    table.sort(found, function(a, b)
      if a.at ~= b.at then return a.at < b.at end
      return a.member < b.member
    end)
    return found
  end

  local function end_broken(run, job)
    condemn(run, job)
    done(run)
    return 1
  end

  local function due(item)
    local run, job = load(item.id, item.step)
    if job and job.broken then return end_broken(run, job) end
    if not job or job.state ~= 'd' or tonumber(job.at) > now then
      place(item.key, item.member, false)
      return 0
    end
    job.state = 'q'
    put(run, job)
    close(run)
    return 1
  end

  local function expire(item)
    local run, job = load(item.id, item.step)
    if job and job.broken then return end_broken(run, job) end
    if not job or job.state ~= 'l' or tonumber(job.at) > now then
      place(item.key, item.member, job and job.state == 'l' and job.at or false)
      return 0
    end
    -- An instance that is gone does not read what it was given.
    call('UNLINK', P .. 'given:' .. job.who)
    if run.status ~= 'running' then
      remove(run, job)
      close(run)
      return 1
    end
    -- It was given to an instance that may have been dead by then, and has never begun as far as anybody knows.
    if job.given then
      job.state = 'q'
      put(run, job)
      close(run)
      return 1
    end
    local why, was = 'instance `' .. job.who .. '` stopped without finishing it', attempt(job)
    job.crashes = add(job.crashes, 1)
    if tonumber(job.crashes) >= spec_of(job.spec).crashes then
      local message = why .. ', for the ' .. job.crashes .. '. time: it seems to take its process down'
      append(run, TYPE.StepFailed, job.step, was, dead_data(message))
      die(run, job, message)
    else
      append(run, TYPE.StepRetrying, job.step, was, again_data(FIELD.error, why, job))
      job.state = 'q'
      put(run, job)
    end
    done(run)
    return 1
  end

  local function each(found, f)
    local did = 0
    for _, item in ipairs(found) do
      if left == 0 then
        more = true
        break
      end
      left = left - 1
      did = did + (alone(item.id, f, item) or 0)
    end
    return did
  end

  local went = each(past('delayed:'), due)
  local expired = now >= spared and each(past('leased:'), expire) or 0

  -- Removes a run with all that belongs to it. Tickets of its queued jobs lead to nothing and go when leased.
  local function forget(id, flow, status)
    local sound, run = pcall(load, id)
    if not sound then
      call('UNLINK', P .. 'run:' .. id, P .. 'flow:' .. id, P .. 'join:' .. id)
    elseif run then
      for _, field in ipairs(call('HKEYS', run.key)) do
        local step = match(field, '^j:(.*)$')
        local _, job = load(id, step)
        if job then
          if job.was == 'l' then call('UNLINK', P .. 'given:' .. job.who) end
          if job.was == 'q' then call('XDEL', P .. 'queue:' .. spec_of(job.spec).queue, job.at) end
          remove(run, job)
        end
      end
      each_key(run, 'UNLINK')
      runs[id] = nil
    end
    place(P .. 'runs:' .. status .. ':' .. flow, id, false)
    return 1
  end

  local dropped = 0
  local ending = call('HRANDFIELD', P .. 'ending', 10, 'WITHVALUES')
  for i = 1, #ending, 2 do
    local sound, run = pcall(load, ending[i])
    if not sound or not run then
      call('HDEL', P .. 'ending', ending[i])
    elseif dropped < 1000 then
      dropped = dropped + (alone(run.id, drop_jobs, run, ending[i + 1]) or 0)
    end
  end
  if ending[1] and call('EXISTS', P .. 'ending') == 1 then more = true end

  local removed = 0
  for list, keep in pairs({ completed = tonumber(ARGV[5]), failed = tonumber(ARGV[6]) }) do
    local key = P .. 'finished:' .. list
    -- Earlier versions kept a list.
    for _, line in ipairs(redis.pcall('LPOP', P .. 'ended:' .. list, 100) or {}) do
      local ended, member = match(line, '^(%S+) (.*)$')
      call('ZADD', key, ended, member)
    end
    -- The clock has gone back since these ended: they would be kept until it comes to where it was.
    for _, member in ipairs(call('ZRANGEBYSCORE', key, '(' .. now_text, '+inf', 'LIMIT', 0, 100)) do
      local run_key = P .. 'run:' .. match(member, '^%S+')
      if redis.pcall('HEXISTS', run_key, 'ended') == 1 then call('HSET', run_key, 'ended', now_text) end
      call('ZADD', key, now_text, member)
    end
    local over = keep >= 0 and call('ZRANGEBYSCORE', key, '-inf', format('%.0f', now - keep), 'LIMIT', 0, left + 1) or {}
    for _, member in ipairs(over) do
      if left == 0 then
        more = true
        break
      end
      local id, flow, status = match(member, '^(%S+) (%S+) (%S+)$')
      -- One whose jobs are still being dropped has too much to go at once.
      if not id or call('HEXISTS', P .. 'ending', id) == 0 then
        left = left - 1
        call('ZREM', key, member)
        removed = removed + (id and alone(id, forget, id, flow, status) or 0)
      end
    end
  end

  if removes then
    flush()
    return { 'ok', 0, 0, removed, more and 1 or 0, -1, 0, 0, failures }
  end

  -- The reconciler looks over the running runs, a page at a time, for jobs that are in no queue or index; over
  -- all of them at once when a queue is not the stream that the tickets went to.
  local function repair(id)
    local run, repaired, looked = load(id), 0, 1
    if not run or run.status ~= 'running' then return 0, looked end
    local fields = call('HKEYS', run.key)
    for _, field in ipairs(fields) do
      local step = match(field, '^j:(.*)$')
      local _, job = load(id, step)
      if job and job.broken then
        condemn(run, job)
        repaired = repaired + 1
      elseif job then
        looked = looked + 1
        local queue, member = spec_of(job.spec).queue, id .. ' ' .. step
        if job.state == 'q' then
          if not call('XRANGE', P .. 'queue:' .. queue, job.at, job.at)[1] then
            put(run, job)
            repaired = repaired + 1
          end
        elseif not call('ZSCORE', index(job.state, queue), member) then
          put(run, job)
          repaired = repaired + 1
        end
      end
    end
    if repaired > 0 then done(run) end
    return repaired, looked
  end

  flush()
  local sweep, repaired = h[4] or '', 0
  local lost = false
  for _, queue in ipairs(queues) do
    local key = P .. 'queue:' .. queue
    local ok, groups = pcall(call, 'XINFO', 'GROUPS', key)
    if not ok or type(groups) ~= 'table' or groups.err or #groups == 0 then
      lost = true
      pcall(call, 'XGROUP', 'CREATE', key, 'mark', '0', 'MKSTREAM')
    end
  end
  if lost then sweep = '!' end
  -- `<! or .> <flow> <score> <run>`: where the sweep is, and whether it hurries.
  local hurry, place_flow, score, after = match(sweep, '^(%S?) ?(%S*) ?(%S*) ?(%S*)$')
  if hurry == '' then hurry = '.' end
  local budget = tonumber(ARGV[4])
  if hurry == '!' then budget = budget * 5 end
  local flows = call('SMEMBERS', P .. 'flows')
  table.sort(flows)
  local finished = true
  for _, flow in ipairs(flows) do
    if flow >= place_flow then
      local from = flow == place_flow and score ~= '' and score or '-inf'
      local offset = 0
      while finished do
        local page = call('ZRANGEBYSCORE', P .. 'runs:running:' .. flow, from, '+inf', 'WITHSCORES', 'LIMIT', offset, 50)
        for i = 1, #page, 2 do
          if from == '-inf' or page[i + 1] ~= score or page[i] > after then
            if budget <= 0 then
              finished = false
              break
            end
            local ok, fixed, looked = pcall(repair, page[i])
            -- What was mended before something failed stays.
            if not ok and runs[page[i]] then pcall(close, runs[page[i]]) end
            repaired = repaired + (ok and fixed or 0)
            budget = budget - (ok and looked or 1)
            sweep = hurry .. ' ' .. flow .. ' ' .. page[i + 1] .. ' ' .. page[i]
          end
        end
        offset = offset + 50
        if #page < 100 then break end
      end
    end
    if not finished then break end
  end
  if finished then sweep = '' end
  if sweep ~= (h[4] or '') then call('HSET', meta, 'sweep', sweep) end
  flush()

  local next_due = -1
  for _, queue in ipairs(queues) do
    -- A run whose keys expired by themselves leaves its dead letters in the index.
    for _, member in ipairs(redis.pcall('ZRANGE', P .. 'dead:' .. queue, 0, 4)) do
      if call('EXISTS', P .. 'run:' .. match(member, '^%S+')) == 0 then call('ZREM', P .. 'dead:' .. queue, member) end
    end
    local first = redis.pcall('ZRANGE', P .. 'delayed:' .. queue, 0, 0, 'WITHSCORES')
    if first[2] then
      local wait = math.max(tonumber(first[2]) - now, 0)
      if next_due < 0 or wait < next_due then next_due = wait end
    end
  end
  if more or (hurry == '!' and not finished) then more = 1 else more = 0 end
  return { 'ok', went, expired, removed, more, next_due, repaired, lost and 1 or 0, failures }
end

writes('tick', function() return tick(false) end)
writes('remove', function() return tick(true) end, true)
