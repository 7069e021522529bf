-- A turn: renewals, writes, leases. ARGV: prefix, instance, number, lease in ms, data of flow.step.started, touch,
-- part; the number of renewals and for each run, step, fence; the number of writes and for each its length and
-- what `commit` reads; then queue and most of each want.
--
-- Part 0 is all of it. Where there are partitions, a turn comes to each in two parts: part 1 writes, and says
-- what there is to lease; part 2 leases what the partition is chosen for. A partition that was away has missed turns:
-- part `1 <number>` says which of them it has answered last, and `1 <number> u` that what the second part of that
-- turn leased was not heard of, and goes back.

do
  local LANE_MS = 604800000
  -- Of the call.
  local instance, until_ms, started_data

  local function renew(id, step, fence)
    local run, job = load(id, step)
    -- The job of a run that is gone is nobody's either.
    if not run then return 'L' end
    -- Every end but one has dropped the jobs that it left.
    if run.status == 'completed' and not job then return 'L' end
    if run.status ~= 'running' then return 'E' end
    if not job or job.state ~= 'l' or job.fence ~= fence then return 'L' end
    job.at = until_ms
    put(run, job)
    touch(run)
    return 'R'
  end

  -- Gives a job back that was leased and nobody was told.
  local function hand_back(id, step, fence)
    local run, job = load(id, step)
    if not job or job.state ~= 'l' or job.fence ~= fence or job.who ~= instance then return end
    job.state = 'q'
    put(run, job)
    touch(run)
  end

  -- An event arrives at a join: the step runs if every other side has a partner, else it waits there.
  local function arrive(run, worker, spec, sides, side, by, id, key, kind, data)
    local zset = P .. 'join:' .. run.id
    if #by > 64 then by = '#' .. redis.sha1hex(by) end
    local taken, inputs = {}, {}
    for other = 0, sides - 1 do
      if other == side then
        inputs[#inputs + 1] = id .. ' ' .. key
      else
        local from = worker .. ' ' .. other .. ' ' .. by .. ' '
        local member = run.lists and call('ZRANGEBYLEX', zset, '[' .. from, '(' .. from .. '~', 'LIMIT', 0, 1)[1]
        if not member then
          local n = match(id, '-(%d+)')
          call('ZADD', zset, 0, format('%s %d %s %012d %s %s', worker, side, by, tonumber(n), id, key))
          list(run, 'join')
          return
        end
        taken[#taken + 1] = member
        inputs[#inputs + 1] = match(member, '(%S+ %S+)$')
      end
    end
    if #taken > 0 then call('ZREM', zset, unpack(taken)) end
    -- What waited under another name of the join may be older than what it pairs with.
    local cause = id
    for _, input in ipairs(inputs) do
      local other = match(input, '^%S+')
      if tonumber(match(other, '-(%d+)')) > tonumber(match(cause, '-(%d+)')) then cause = other end
    end
    enqueue(run, worker, spec, cause, table.concat(inputs, ' '), #inputs == 1 and kind or nil, #inputs == 1 and data or nil)
  end

  -- The first unpaired event, or all of them, of a join. Nil or nothing if there are none.
  local function waiting(run, worker, all)
    if not listed(run, 'join') then return all and {} or nil end
    local found = call('ZRANGEBYLEX', P .. 'join:' .. run.id, '[' .. worker .. ' ', '(' .. worker .. '!', 'LIMIT', 0,
      all and -1 or 1)
    if all then return found end
    return found[1]
  end

  -- Joins and gathers that the run has begun under a former name: for the name of today the former one and its spec.
  -- Nil if there are none. ARGV has name, former name and spec of each that may be one.
  --
  -- A run may have begun one under two names: a version that had the new name and did not know the former one has
  -- worked on it. Then also, for the name of a gather that becomes part of another, that one; and for the name of today
  -- of a join, its other names.
  local function begun(run, from, count)
    local names, parts, apart = {}, nil, {}
    for i = from, from + 3 * count - 1, 3 do
      local worker, was, spec = ARGV[i], ARGV[i + 1], ARGV[i + 2]
      local before = gather_of(run, was)
      if before then
        local whole = gather_of(run, names[worker] and names[worker].worker or worker)
        if not whole then
          names[worker] = { worker = before.worker, spec = spec }
        elseif whole ~= before and not whole.fired and not before.fired then
          parts = parts or {}
          parts[#parts + 1] = { before, whole }
        end
      elseif waiting(run, was) then
        if not names[worker] then
          names[worker] = { worker = was, spec = spec }
          apart[worker] = waiting(run, worker) and { worker } or {}
        elseif apart[worker] then
          table.insert(apart[worker], was)
        end
      end
    end
    return next(names) and names, parts, apart
  end

  -- Makes a gather part of another, which then waits for what holds either, and gets what either has got.
  local function unite_gathers(run, part, whole)
    local key = P .. 'gather:' .. run.id .. ' '
    if listed(run, 'g:' .. part.worker) then
      local seen, ids = {}, {}
      for _, worker in ipairs({ part.worker, whole.worker }) do
        for _, id in ipairs(call('LRANGE', key .. worker, 0, -1)) do
          if not seen[id] then
            seen[id] = tonumber(match(id, '-(%d+)'))
            ids[#ids + 1] = id
          end
        end
      end
      table.sort(ids, function(a, b) return seen[a] < seen[b] end)
      call('UNLINK', key .. part.worker, key .. whole.worker)
      many('RPUSH', key .. whole.worker, ids)
      list(run, 'g:' .. whole.worker)
    end
    -- Where one of them was there from the first, whatever leads to the gather holds one of the two.
    whole.count, whole.late = whole.count + part.count, whole.late and part.late
    part.count, part.fired, part.part_of, part.spec = 0, true, whole.worker, whole.worker
    run.changed = true
  end

  -- What waits at a join under these names arrives under the name that the run goes on with.
  local function unite_joins(run, others, worker, spec, sides)
    for _, other in ipairs(others) do
      local found, zset = {}, P .. 'join:' .. run.id
      for i, member in ipairs(waiting(run, other, true)) do
        local side, by, n, id, key = match(member, '^%S+ (%d+) (%S+) (%d+) (%S+) (%S+)$')
        found[i] = { tonumber(side), by, tonumber(n), id, key }
        call('ZREM', zset, member)
      end
      table.sort(found, function(a, b) return a[3] < b[3] or (a[3] == b[3] and a[1] < b[1]) end)
      for _, one in ipairs(found) do arrive(run, worker, spec, sides, one[1], one[2], one[4], one[5]) end
    end
  end

  -- A name, and the names of the gathers that a spec holds, as the run knows them.
  local function name_in(names, worker)
    return names and names[worker] and names[worker].worker or worker
  end
  local function spec_in(names, spec)
    if not names then return spec end
    local known, holds = spec_of(spec), {}
    for i, worker in ipairs(known.holds) do holds[i] = name_in(names, worker) end
    return spec_holding(known, holds)
  end

  -- Applies one write, or says why nothing of it was. `D` where the run has ended by it.
  local function commit(at)
    local id, step = ARGV[at], ARGV[at + 1]
    local run, job = load(id, step)
    if not run then return 'G' end
    if run.status ~= 'running' then return 'E ' .. run.status end
    if job and job.broken then
      condemn(run, job)
      touch(run)
      return run.status == 'running' and 'L' or 'E ' .. run.status
    end
    if not job or job.state ~= 'l' or job.fence ~= ARGV[at + 2] then return 'L' end
    local outcome = ARGV[at + 5]
    if outcome == 'T' then return 'T ' .. ARGV[at + 6] end

    local former = tonumber(ARGV[at + 7])
    local before, from = run.n, at + 8 + 3 * former
    local names, parts, apart
    if former > 0 then names, parts, apart = begun(run, at + 8, former) end
    local entries = tonumber(ARGV[from])
    if entries > 0 then append_all(run, step, ARGV[at + 3], from + 1, entries) end
    for _, pair in ipairs(parts or {}) do unite_gathers(run, pair[1], pair[2]) end
    -- The id, type and data of an entry of this write.
    local function cause(i)
      local e = from + 2 * i
      return run.ms .. '-' .. format('%d', before + i), ARGV[e - 1], ARGV[e]
    end
    local p = from + 2 * entries + 1

    local gather_specs = tonumber(ARGV[p])
    run.declared = {}
    for i = p + 1, p + 3 * gather_specs, 3 do
      local worker, late = ARGV[i + 1], true
      for _, held in ipairs(spec_of(job.spec).holds) do
        if held == worker then late = false end
      end
      if not names or not names[worker] then
        run.declared[worker] = { rank = tonumber(ARGV[i]), spec = spec_in(names, ARGV[i + 2]), late = late }
      end
    end
    p = p + 3 * gather_specs + 1

    local arrivals = tonumber(ARGV[p])
    if arrivals > 0 then
      local lists = {}
      for i = p + 1, p + 2 * arrivals, 2 do
        local worker = name_in(names, ARGV[i])
        local whole = gather_of(run, worker)
        if whole then worker = whole.worker end
        if not lists[worker] then lists[worker] = {} end
        table.insert(lists[worker], (cause(ARGV[i + 1])))
      end
      for worker, arrived in pairs(lists) do
        many('RPUSH', P .. 'gather:' .. id .. ' ' .. worker, arrived)
        -- One that no job has held is armed by what arrives.
        arm(run, { worker })
        list(run, 'g:' .. worker)
      end
    end
    p = p + 2 * arrivals + 1

    local jobs = tonumber(ARGV[p])
    if jobs > 500 then
      -- They are counted now and follow in pages.
      local holds = tonumber(ARGV[p + 1])
      p = p + 2
      for i = p, p + 2 * holds - 1, 2 do
        local worker = name_in(names, ARGV[i])
        arm(run, { worker })
        count_gather(run, worker, tonumber(ARGV[i + 1]))
      end
      p = p + 2 * holds
      run.pending = add(run.pending, jobs)
      local key = P .. 'backlog:' .. id
      call('RPUSH', key, '#' .. run.ms .. ' ' .. before)
      for i = p, names and p + jobs - 1 or 0 do
        local worker, spec, rest = match(ARGV[i], '^([^\t]*)\t([^\t]*)(\t.*)$')
        ARGV[i] = worker .. '\t' .. spec_in(names, spec) .. rest
      end
      for i = p, p + jobs - 1, 1000 do call('RPUSH', key, unpack(ARGV, i, math.min(i + 999, p + jobs - 1))) end
      call('SADD', P .. 'backlog', id)
      p = p + jobs
    else
      for i = p + 1, p + 4 * jobs, 4 do
        local c, kind, data = cause(ARGV[i + 1])
        enqueue(run, ARGV[i], spec_in(names, ARGV[i + 2]), c, c .. ' ' .. ARGV[i + 3], kind, data)
      end
      p = p + 4 * jobs + 1
    end

    local joins = tonumber(ARGV[p])
    for i = p + 1, p + 7 * joins, 7 do
      local c, kind, data = cause(ARGV[i + 5])
      local worker, spec = ARGV[i], ARGV[i + 1]
      if names and names[worker] then
        local others = apart[worker]
        worker, spec = names[worker].worker, names[worker].spec
        if others then
          unite_joins(run, others, worker, spec_in(names, spec), tonumber(ARGV[i + 2]))
          apart[ARGV[i]] = nil
        end
      end
      arrive(run, worker, spec_in(names, spec), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), ARGV[i + 4], c, ARGV[i + 6], kind, data)
    end

    if outcome == 'C' then
      job.recorded = add(job.recorded, ARGV[at + 4])
      put(run, job)
    elseif outcome == 'D' then
      remove(run, job)
      count(run, spec_of(job.spec).holds, -1)
      settle(run, run.last)
    elseif outcome == 'R' or outcome == 'P' then
      if outcome == 'P' then job.earlier = add(job.earlier, 1) else job.failures = add(job.failures, 1) end
      local delay = tonumber(ARGV[at + 6])
      if delay == 0 then
        job.state = 'q'
      else
        job.state, job.at, job.who = 'd', after(delay), '-'
      end
      put(run, job)
    elseif outcome == 'F' then
      job.failures = add(job.failures, 1)
      die(run, job, ARGV[at + 6])
    else
      job.state = 'q'
      put(run, job)
    end
    touch(run)
    return (run.status == 'running' and 'C ' or 'D ') .. run.last
  end

  -- Gives a queued job to the instance; drops it if its run has ended. Nil if the ticket leads to no queued job.
  local function lease(reply, leased, came_by, id, step, kind, data)
    local run, job = load(id, step)
    if job and job.broken then
      condemn(run, job)
      touch(run)
      return false
    end
    if not job or job.state ~= 'q' then return nil end
    if run.status ~= 'running' then
      remove(run, job)
      touch(run)
      return false
    end
    give(run, job, instance, until_ms, started_data)
    touch(run)
    view(reply, run, job, came_by, kind, data)
    local at = #leased
    leased[at + 1], leased[at + 2], leased[at + 3], leased[at + 4] = id, step, job.fence, came_by
    return true
  end

  -- Leases what an offer has brought and no turn has told of. Whether there is any.
  local function take_given(leases, leased, id, step)
    local run, job = given(instance, id, step)
    if not job then return false end
    job.at = until_ms
    put(run, job)
    touch(run)
    view(leases, run, job, '0-0')
    for _, value in ipairs({ id, step, job.fence, '0-0' }) do leased[#leased + 1] = value end
    return true
  end

  -- How many tickets there are and the first ten that lead to a job; those before them that do not are dropped.
  local function sound(stream)
    local found, from = { 0 }, '-'
    for _ = 1, 20 do
      local page = call('XRANGE', stream, from, '+', 'COUNT', 10)
      for _, entry in ipairs(page) do
        local id, step = entry[2][2], entry[2][4]
        local run, job
        if step then run, job = load_sound(id, step) end
        if job and job.state == 'q' and run.status == 'running' then
          found[#found + 1] = entry[1]
        else
          call('XDEL', stream, entry[1])
          if job and job.broken then
            condemn(run, job)
            touch(run)
          elseif job and job.state == 'q' then
            remove(run, job)
            close(run)
          end
        end
      end
      if #page < 10 or #found > 10 then break end
      from = '(' .. page[10][1]
    end
    found[1] = call('XLEN', stream)
    return found
  end

  -- Leases what an offer has brought and what the turn asks for, from where its arguments say; `first` only says
  -- what there is.
  local function lease_all(p, first, second, given_id, given_step, leases, leased, paused, ready)
    if p <= #ARGV and not second then backlog(200) end
    -- What was given and not heard of takes the place that it was offered.
    local surprised, tickets = take_given(leases, leased, given_id, given_step), 0
    while p < #ARGV do
      -- The jobs of ended runs are dropped here, and there may be many: what is left waits for the next turn.
      local queue, left, looks, more = ARGV[p], tonumber(ARGV[p + 1]), 500, true
      local stream = P .. 'queue:' .. queue
      if call('SISMEMBER', P .. 'paused', queue) == 1 then
        paused[#paused + 1] = queue
        left = 0
      end
      if surprised then left = 0 end
      if first then
        ready[#ready + 1] = left > 0 and sound(stream) or { 0 }
        left = 0
      end
      while left > 0 and looks > 0 and tickets < 2000 do
        local page = call('XRANGE', stream, '-', '+', 'COUNT', math.min(left, looks))
        if #page == 0 then
          more = false
          break
        end
        tickets = tickets + #page
        for _, entry in ipairs(page) do
          local f, got = entry[2], nil
          if f[4] then got = alone(f[2], lease, leases, leased, entry[1], f[2], f[4], f[6], f[8]) end
          if got then left = left - 1 end
          if got ~= nil then looks = looks - 1 end
        end
        local from, n = match(page[#page][1], '(%d+)-(%d+)')
        call('XTRIM', stream, 'MINID', from .. '-' .. (n + 1))
      end
      -- Where nobody came before it, what comes by the turn itself needs no ticket.
      local list = queued and not more and queued[queue]
      while list and left > 0 and list.next <= #list do
        local item = list[list.next]
        list.next = list.next + 1
        local id, step = item.run.id, item.job.step
        local got = not item.run.lost and alone(id, lease, leases, leased, '0-0', id, step, item.kind, item.data)
        if got then left = left - 1 end
      end
      p = p + 2
    end
  end

  writes('turn', function()
    local number = tonumber(ARGV[3])
    instance, until_ms, started_data = ARGV[2], after(tonumber(ARGV[4])), ARGV[5]
    local part, answered, unheard = match(ARGV[7], '^(%d) ?(%d*) ?(u?)$')
    local first, second = part == '1', part == '2'
    local lane_key = P .. 'lane:' .. instance
    -- A lane is number, answers, renewed, leased by the first part, number and leased of the last second part.
    local lane = call('GET', lane_key)
    lane = lane and cmsgpack.unpack(lane) or { 0, {}, {}, {}, 0, {} }
    local last = lane[1]
    if second and number ~= last then return { 'lane', last } end
    local follows = number == last or number == last + 1 or number > last and last == tonumber(answered)
    if not second and not follows or number == 0 then return { 'lane', last } end

    local p, failed = 9, failures
    if number == last and (not second or lane[5] == number) then
      -- The answers of the last turn, its leases as they stand now.
      if ARGV[6] == '1' then call('PEXPIRE', lane_key, LANE_MS) end
      local leases, n = {}, 0
      for part = second and 6 or 4, lane[5] == number and 6 or 4, 2 do
        local leased = lane[part]
        for i = 1, #leased, 4 do
          local run, job = load_sound(leased[i], leased[i + 1])
          if job and job.fence == leased[i + 2] and job.state == 'l' then
            view(leases, run, job, leased[i + 3])
            n = n + 1
          end
        end
      end
      return { 'ok', lane[2], lane[3], n, leases, {}, {}, failed }
    end

    touched = {}
    if not first and not second then queued = {} end
    -- This ends the offer of the instance, which may know what that has brought.
    local given_id, given_step, told
    if not first and not second then given_id, given_step = end_offer(instance) end
    if unheard == 'u' and lane[5] == last then
      local leased = lane[6]
      for i = 1, #leased, 4 do alone(leased[i], hand_back, leased[i], leased[i + 1], leased[i + 2]) end
    end
    local renewed, answers = {}, {}
    for i = 1, tonumber(ARGV[8]) do
      renewed[i] = alone(ARGV[p], renew, ARGV[p], ARGV[p + 1], ARGV[p + 2]) or 'L'
      told = told or (ARGV[p] == given_id and ARGV[p + 1] == given_step)
      p = p + 3
    end
    local transactions = tonumber(ARGV[p])
    p = p + 1
    for i = 1, transactions do
      answers[i] = alone(ARGV[p + 1], commit, p + 1) or 'G'
      told = told or (ARGV[p + 1] == given_id and ARGV[p + 2] == given_step)
      p = p + 1 + tonumber(ARGV[p])
    end

    local leases, leased, paused, ready = {}, {}, {}, {}
    if told then given_id = nil end
    -- Whatever becomes of it: what was committed is written back.
    local ok, failure = pcall(lease_all, p, first, second, given_id, given_step, leases, leased, paused, ready)
    local rest = queued or {}
    queued = nil
    for _, list in pairs(rest) do
      for _, item in ipairs(list) do
        local run, job = item.run, item.job
        if job.state == 'q' and run.jobs[job.step] == job and not run.lost and run.status == 'running' then
          put(run, job, item.kind, item.data)
          touch(run)
        end
      end
    end
    for _, run in ipairs(touched) do done(run) end
    flush()
    -- Its text is what it was, where a position would come before it.
    if not ok then error(type(failure) == 'string' and { err = failure } or failure) end
    if second then
      lane[5], lane[6] = number, leased
    else
      lane = { number, answers, renewed, leased, 0, {} }
    end
    call('SET', lane_key, cmsgpack.pack(lane), 'PX', LANE_MS)
    return { 'ok', answers, renewed, #leased / 4, leases, paused, ready, failed }
  end)
end
