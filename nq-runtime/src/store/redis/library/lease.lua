-- Leases. All who get one get it in one form: a line
-- `<ticket> <run> <flow> <step> <fence> <attempt> <failures> <read> <recorded>⇥<spec>⇥<inputs>`, then for each of its
-- inputs the entry, or `=<write> <entry>` where the call itself has brought that.

-- The entry of this id of the open run. Many jobs run on entries of one pack.
local function input_at(id)
  local words
  words, page.pack_id, page.pack_fields = entry_at(key_of('flow:'), id, page.pack_id, page.pack_fields)
  return words
end

-- What a leased job looks like to its instance. `input` is its one input, where that is at hand. It comes after writes, so
-- it does not fail: an input that is not there is empty.
local function view(reply, job, came_by, input)
  local line = came_by .. ' ' .. run_id .. ' ' .. run_flow .. ' ' .. job.step .. ' ' .. job.fence .. ' ' .. attempt(job) .. ' '
    .. job.failures .. ' ' .. job.read .. ' ' .. job.recorded .. '\t' .. job.spec .. '\t' .. job.inputs
  reply[#reply + 1] = line
  if input then
    reply[#reply + 1] = input
    return
  end
  for id in gmatch(job.inputs, '(%S+) %S+') do reply[#reply + 1] = input_at(id) or '' end
end

-- Notes that the turn has this job: in its bucket, and in its reply when the page is closed.
local function give(job, came_by, input)
  local lines, at = turn.lines, 3 * given_count
  lines[#lines + 1] = run_id .. ' ' .. job.step .. ' ' .. job.fence .. ' ' .. came_by
  given[at + 1], given[at + 2], given[at + 3] = job, came_by, input or false
  given_count = given_count + 1
end

-- Leases a queued job. Its ticket is for the caller to remove.
local function lease(job, came_by, input)
  local read = job.read == '-' and text(run_n) or job.read
  append(entry(TYPE.StepStarted, job.step, attempt(job), turn.started))
  job.fence, job.read = add(job.fence, 1), read
  job.state, job.at, job.who = 'l', turn.until_ms, turn.who
  put(job)
  give(job, came_by, input)
end

-- Leases a job that the page has made, if there is room.
local function lease_made(job, want)
  if want.room == 0 then return end
  want.room, job.read = want.room - 1, text(run_n)
  append(entry(TYPE.StepStarted, job.step, '1', turn.started))
  job.line = 'l 1 0 0 0 ' .. job.read .. ' 0 ' .. turn.until_ms .. ' ' .. turn.who .. '\t' .. job.spec .. '\t' .. job.inputs
  give(job, '0-' .. (job.write or 0), job.entry and '=' .. job.write .. ' ' .. job.entry)
end

-- Leases jobs that the writes of this page have made: those of queues where nobody came before them. They need no
-- ticket. Jobs of one run are leased in the order of the wants, so not where the run has others in a queue.
local function follow()
  if made_count == 0 or run_status ~= 'r' or run_spilled or page.queued then return end
  if #run_body > 1 and find(run_body, ' q ', 1, true) then return end
  if made_count == 1 then
    local want = turn.open[spec_of(made[1].spec).queue]
    if want then lease_made(made[1], want) end
    return
  end
  local of = {}
  for i = 1, made_count do
    join(of, spec_of(made[i].spec).queue, made[i])
  end
  for _, want in ipairs(turn.wants) do
    local jobs = of[want.queue]
    -- Those of a queue where others wait come by their tickets, and what is wanted behind them comes after them.
    if jobs and want.room > 0 and not turn.open[want.queue] then return end
    for _, job in ipairs(jobs or {}) do lease_made(job, want) end
  end
end

-- Closes the page, and puts into the reply what the turn has leased of it.
local function deliver()
  close()
  for i = 1, 3 * given_count, 3 do view(turn.leases, given[i], given[i + 1], given[i + 2]) end
  given_count = 0
end

-- Leases the jobs of one run that these tickets lead to; each is its id, its step and, where it is small, its input.
-- Returns how many were leased, and how many it has seen to.
local function lease_run(id, tickets)
  if not open(id) then return 0, 0 end
  if run_spilled then
    local steps = {}
    for i, one in ipairs(tickets) do steps[i] = one[2] end
    look_up(steps)
  end
  local leased, seen, changed = 0, 0, false
  for _, one in ipairs(tickets) do
    local job = job_of(one[2])
    if job and (job.broken or job.state == 'q') then
      seen, changed = seen + 1, true
      if job.broken then
        condemn(job)
      elseif run_status == 'r' then
        lease(job, one[1], one[3])
        leased = leased + 1
      else
        remove(job)
      end
    end
  end
  if changed then deliver() end
  return leased, seen
end

-- Leases from a queue what a want has room for. The jobs of ended runs are dropped here, and there may be many: what is
-- left waits for the next turn.
local function lease_from(want)
  local stream, looks, budget = P .. 'queue:' .. want.queue, LIMIT.turn_writes, 2000
  while want.room > 0 and looks > 0 and budget > 0 do
    local tickets = call('XRANGE', stream, '-', '+', 'COUNT', math.min(want.room, looks))
    if #tickets == 0 then return end
    budget = budget - #tickets
    local runs, of = {}, {}
    for _, one in ipairs(tickets) do
      local words = one[2]
      local run = words[2]
      if words[4] then
        if not of[run] then
          runs[#runs + 1], of[run] = run, {}
        end
        local list = of[run]
        list[#list + 1] = { one[1], words[4], words[6] }
      end
    end
    for _, run in ipairs(runs) do
      local sound, leased, seen = pcall(lease_run, run, of[run])
      if sound then
        want.room, looks = want.room - leased, looks - seen
      else
        packed = 3
        failed(run, leased)
      end
    end
    local ms, n = match(tickets[#tickets][1], '(%d+)-(%d+)')
    call('XTRIM', stream, 'MINID', ms .. '-' .. text(n + 1))
  end
end
