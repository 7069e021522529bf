-- The writes of a turn. Those of one run come as a group: its record is read once, and written once.

-- `<outcome> <entries> <former> <gathers> <gathered> <jobs> <holds> <joins>`: how a write ends, and how much of each thing
-- comes with it. `jobs` is `+` and a number where they follow later. Many writes have the same: each is read once.
local shapes, shape_count = {}, 0
local function shape_of(words)
  local shape = shapes[words]
  if not shape then
    local outcome, entries, former, gathers, gathered, later, jobs, holds, joins =
      match(words, '^(%u) (%d+) (%d+) (%d+) (%d+) (%+?)(%d+) (%d+) (%d+)$')
    shape = { outcome = outcome, entries = tonumber(entries), former = tonumber(former), gathers = tonumber(gathers),
      gathered = tonumber(gathered), later = later == '+', jobs = tonumber(jobs), holds = tonumber(holds),
      joins = tonumber(joins), value = outcome ~= 'D' and outcome ~= 'L' }
    -- What such a write does, it does at once, and so behind its entries: only these may fail.
    shape.at_once = shape.former > 0 or shape.joins > 0 or shape.later
    shape.arguments = (shape.value and 1 or 0) + shape.entries + 3 * (shape.former + shape.gathers) + 2 * shape.gathered
      + (shape.later and shape.jobs or 4 * shape.jobs) + 2 * shape.holds + 7 * shape.joins
    if shape_count >= 1000 then shapes, shape_count = {}, 0 end
    shapes[words], shape_count = shape, shape_count + 1
  end
  return shape
end

-- The gathers that jobs of this write may arm. The run is older than those that its own job does not hold.
local function declare(count, names, job_spec)
  page.declared = {}
  for _ = 1, count do
    local rank, worker, spec = take_number(), take(), take()
    local late = true
    for _, held in ipairs(job_spec.holds) do
      if held == worker then late = false end
    end
    if not names or not names[worker] then
      page.declared[worker] = { rank = rank, spec = spec_in(names, spec), late = late }
    end
  end
end

-- Leaves the jobs of a large write for later, in pages; they are counted now.
local function leave_for_later(shape, names, before)
  for _ = 1, shape.holds do
    local worker, by = name_in(names, take()), take_number()
    arm({ worker })
    count_gather(worker, by)
  end
  run_pending = run_pending + shape.jobs
  local lines = { '#' .. run_ms .. ' ' .. text(before) }
  for i = 1, shape.jobs do
    lines[i + 1] = take()
    if names then
      local worker, spec, rest = match(lines[i + 1], '^([^\t]*)\t([^\t]*)(\t.*)$')
      lines[i + 1] = worker .. '\t' .. spec_in(names, spec) .. rest
    end
  end
  many('RPUSH', key_of('backlog:'), lines)
  call('SADD', P .. 'backlog', run_id)
  turn.left_over = true
end

-- What becomes of the job whose attempt has written.
local function end_attempt(outcome, value, step, who, spec)
  if outcome == 'D' then
    -- As `remove` does it, without reading more of the job than it takes: most writes end like this.
    set_line(step, nil)
    leave_bucket(who)
    count(spec.holds, -1)
    return settle(last_id())
  end
  local job = job_of(step)
  if outcome == 'C' then
    job.recorded = add(job.recorded, value)
  elseif outcome == 'F' then
    job.failures = add(job.failures, 1)
    return die(job, value)
  elseif outcome == 'L' then
    job.state = 'q'
  else
    if outcome == 'P' then job.earlier = add(job.earlier, 1) else job.failures = add(job.failures, 1) end
    if value == '0' then
      job.state = 'q'
    else
      job.state, job.at, job.who = 'd', after(tonumber(value)), '-'
    end
  end
  put(job)
end

-- Applies the write number `write`, whose shape is known, or says why nothing of it was. `D` where its run has ended by it.
local function commit(write, step, fence, shape)
  if run_status ~= 'r' then return 'E ' .. STATUS[run_status] end
  local who, spec = held_by(step, fence)
  local job_spec = spec and spec_of(spec)
  if not job_spec then
    local job = job_of(step)
    if job and job.broken then
      condemn(job)
      return run_status == 'r' and 'L' or 'E ' .. STATUS[run_status]
    end
    if not job or job.state ~= 'l' or job.fence ~= fence then return 'L' end
    who, job_spec = job.who, spec_of(job.spec)
  end
  local value = shape.value and take()
  if shape.outcome == 'T' then return 'T ' .. value end

  run_changed, page.write = true, write
  local before, first = run_n, at
  for _ = 1, shape.entries do append(take()) end
  local ms = run_ms
  if shape.at_once then write_pack() end
  local names, parts, apart
  if shape.former > 0 then names, parts, apart = begun(shape.former) end
  for _, pair in ipairs(parts or {}) do unite_gathers(pair[1], pair[2]) end
  if shape.gathers > 0 then declare(shape.gathers, names, job_spec) else page.declared = false end
  for _ = 1, shape.gathered do
    local worker = name_in(names, take())
    gather_event(worker, ms .. '-' .. text(before + take_number()))
  end
  if shape.later then
    leave_for_later(shape, names, before)
  else
    for _ = 1, shape.jobs do
      local worker, entry_number, spec, key = take(), take_number(), take(), take()
      local id = ms .. '-' .. text(before + entry_number)
      enqueue(worker, spec_in(names, spec), id, id .. ' ' .. key, ARGV[first + entry_number - 1], entry_number)
    end
  end
  for _ = 1, shape.joins do
    local today, spec, sides, side, by, entry_number, key = take(), take(), take_number(), take_number(), take(), take_number(), take()
    local worker = today
    if names and names[today] then
      worker, spec = names[today].worker, names[today].spec
      if apart[today] then
        unite_joins(apart[today], worker, spec_in(names, spec), sides)
        apart[today] = nil
      end
    end
    arrive(worker, spec_in(names, spec), sides, side, by, ms .. '-' .. text(before + entry_number), key, ARGV[first + entry_number - 1])
  end
  end_attempt(shape.outcome, value, step, who, job_spec)
  return (run_status == 'r' and 'C ' or 'D ') .. last_id()
end
