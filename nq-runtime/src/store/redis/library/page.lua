-- The run that is open while an act changes it: one at a time. `open` reads its record, what an act does changes the page,
-- and `close` writes it: first its new entries as one pack, which is the only write that may fail, then all the rest.
-- So an act whose timeline is damaged leaves nothing behind.
--
-- A record is a head, its gathers and the lines of its unfinished jobs:
-- `<ms> <n> <pending> <status>[s] <flow> <started µs>[ <name>=<value>]…`, then `\n<step> <job>` for each job and a `\n` at
-- the end. Where there are many jobs, the letter `s` says so, and they are fields of the hash `jobs:<run>`; dead ones are
-- in any case.

local HEAD = '^(%d+) (%d+) (%d+) (%l)(s?) ()'

-- `pack` holds the arguments of the XADD of the new entries, of which so many are set. Both are used again and again: to
-- make tables, and to let them grow, takes a good part of the time of a short act. What a page does not have is false.
local page, pack, packed, packed_bytes = {}, { 'XADD' }, 3, 0
-- What every act asks for stands by itself: its id, last position and moment, unfinished steps, status, flow, the lines of its
-- jobs, whether these are in the hash instead, and whether the act has changed anything.
local run_id, run_ms, run_n, run_pending, run_status, run_flow, run_body, run_spilled, run_changed
-- The jobs that it has made or brought back, what the turn is given of it, and the buckets that its jobs have left: so many
-- are set of each.
local made, made_count, given, given_count, left, left_count = {}, 0, {}, 0, {}, 0

-- `more` is when it began, in µs, and what only some runs have: words, each behind a space.
local function new_page(id, ms, n, pending, status, flow, more)
  packed, packed_bytes, made_count, given_count, left_count = 3, 0, 0, 0, 0
  run_id, run_ms, run_n, run_pending, run_status, run_flow, page.more = id, ms, n, pending, status, flow, more
  run_spilled, run_body, page.gathers, page.gathers_text = false, '\n', false, ''
  run_changed, page.write, page.declared, page.queued, page.lines, page.fields = false, false, false, false, false, false
  page.places, page.pushes, page.ended, page.left_over, page.gathers_changed = false, false, false, false, false
  page.pack_id, page.pack_fields = false, false
end

-- Opens the run of this id. False if there is none.
local function open(id)
  local record = call('GET', P .. 'run:' .. id)
  if not record then return false end
  local ms, n, pending, status, spilled, flow_at = match(record, HEAD)
  local more_at = flow_at and find(record, ' ', flow_at, true)
  local from = more_at and find(record, '\n', more_at, true)
  if not from or not STATUS[status] then error({ err = 'the record of the run is damaged' }) end
  new_page(id, ms, number(n), number(pending), status, sub(record, flow_at, more_at - 1), sub(record, more_at, from - 1))
  run_spilled, run_body = spilled == 's', sub(record, from)
  if sub(record, from, from + 1) == '\n\t' then
    local last = from
    while sub(record, last, last + 1) == '\n\t' do last = find(record, '\n', last + 1, true) end
    page.gathers_text, run_body = sub(record, from, last - 1), sub(record, last)
    page.gathers = parsed_gathers(page.gathers_text)
  end
  return true
end

-- The same where one call is about many runs: false also where what is stored cannot be read.
local function open_sound(id)
  local sound, there = pcall(open, id)
  if not sound then failed(id, there) end
  return sound and there
end

-- The key of something of the run.
local function key_of(kind) return P .. kind .. run_id end

-- When the run began, in µs.
local function began() return match(page.more, '^ (%d+)') end

local function last_id() return run_ms .. '-' .. text(run_n) end

-- Adds an entry to the timeline. Its moment is that of the act, and never before the last one's.
local function append(words)
  if packed == 3 and run_ms ~= now_text and now > tonumber(run_ms) then run_ms = now_text end
  pack[packed + 1], pack[packed + 2] = 'e', words
  packed, packed_bytes = packed + 2, packed_bytes + #words
  run_n = run_n + 1
end

-- Writes the new entries: as one pack, or as several where there are very many. Only the first can fail.
local function write_pack()
  if packed == 3 then return end
  local stream, most = key_of('flow:'), 2 * LIMIT.pack_entries
  local from, upto, n = 4, packed, run_n - (packed - 3) / 2
  if packed_bytes <= LIMIT.pack_bytes and packed <= most then
    pack[2], pack[3], packed, packed_bytes = stream, last_id(), 3, 0
    call(unpack(pack, 1, upto))
    return
  end
  local entries = pack
  pack, packed, packed_bytes = { 'XADD' }, 3, 0
  while from < upto do
    local to, bytes = from + 1, #entries[from + 1]
    while to < upto and to - from < most and bytes + #entries[to + 2] <= LIMIT.pack_bytes do
      to, bytes = to + 2, bytes + #entries[to + 2]
    end
    n = n + (to - from + 1) / 2
    call('XADD', stream, run_ms .. '-' .. text(n), unpack(entries, from, to))
    from = to + 1
  end
end

-- What the record says of these steps, of a run with many jobs: read at once.
local function look_up(steps)
  page.lines = page.lines or {}
  for from = 1, #steps, 1000 do
    local upto = math.min(from + 999, #steps)
    local found = call('HMGET', key_of('jobs:'), unpack(steps, from, upto))
    for i = from, upto do page.lines[steps[i]] = found[i - from + 1] end
  end
end

-- Where in the record the line of a step was found, as long as that is its body.
local found_body, found_step, found_from, found_to, found_rest

local function find_line(step)
  local body = run_body
  if found_step == step and found_body == body then return found_from end
  local from, to = find(body, '\n' .. step .. ' ', 1, true)
  found_body, found_step, found_from, found_to = body, step, from, to
  found_rest = from and find(body, '\n', to, true)
  return from
end

-- Who holds the job of this step by this lease, and its spec. Nil where the record is not one of few jobs, or does not say
-- so: what it says then is for `line_of` to find.
local function held_by(step, fence)
  local body = run_body
  local from, to = find(body, '\n' .. step .. ' l ' .. fence .. ' ', 1, true)
  if not from then return nil end
  found_body, found_step, found_from, found_to, found_rest = body, step, from, from + #step + 1, find(body, '\n', to, true)
  return match(body, '^%d+ %d+ %d+ %d+ %d+ %d+ (%S+)[^\t\n]*\t([^\t\n]*)\t', to + 1)
end

-- What the record says of a step. Nil where it has no job.
local function line_of(step)
  if not run_spilled then return find_line(step) and sub(found_body, found_to + 1, found_rest - 1) end
  if not page.lines or page.lines[step] == nil then look_up({ step }) end
  return page.lines[step] or nil
end

-- Writes a field of the hash, or removes it, when the page is closed.
local function set_field(step, line)
  page.fields = page.fields or {}
  page.fields[step] = line or false
end

-- Changes what the record says of a step; nil removes it.
local function set_line(step, line)
  if run_spilled then
    page.lines = page.lines or {}
    page.lines[step] = line or false
    return set_field(step, line)
  end
  local body, from = run_body, find_line(step)
  if from then
    run_body = line and sub(body, 1, from) .. step .. ' ' .. line .. sub(body, found_rest)
      or sub(body, 1, from - 1) .. sub(body, found_rest)
  elseif line then
    run_body = body .. step .. ' ' .. line .. '\n'
  end
end

-- The job of a step. Nil where there is none that is to be done.
local function job_of(step)
  local line = line_of(step)
  return line and parsed_job(run_flow, step, line)
end

-- The dead letter of a step.
local function dead_job(step)
  local line = call('HGET', key_of('jobs:'), step)
  local job = line and parsed_job(run_flow, step, line)
  return job and (job.state == 'x' or job.broken) and job or nil
end

-- Says where a job ends up in an index of its queue.
local function place_job(state, job, score)
  local key = index(state, spec_of(job.spec).queue)
  if not key then return end
  local places = page.places or {}
  page.places, places[#places + 1] = places, { key, run_id .. ' ' .. job.step, score }
end

-- A job that was leased by this holder is no longer in its bucket.
local function leave_bucket(who)
  if turn and find(who, turn.mark, 1, true) == 1 then
    left_count = left_count + 1
    left[left_count] = sub(who, #turn.mark + 1)
  end
end

-- Writes a job whose state, or what else is known of it, has changed. One that becomes queued gets its ticket when the
-- page is closed.
local function put(job)
  local state, was = job.state, job.was
  if was ~= state then
    if was == 'd' or was == 'x' then place_job(was, job, false) end
    if was == 'l' then leave_bucket(job.who) end
    if was == 'x' then set_field(job.step, nil) end
  end
  if state == 'q' then
    job.who = '-'
    made_count, page.queued = made_count + 1, true
    made[made_count] = job
  elseif state == 'd' or state == 'x' then
    know(spec_of(job.spec).queue)
    place_job(state, job, job.at)
  end
  if state == 'x' then
    if not run_spilled then set_line(job.step, nil) end
    set_field(job.step, job_line(job))
    if page.lines then page.lines[job.step] = false end
  else
    set_line(job.step, job_line(job))
  end
  job.was = state
end

-- Removes a job.
local function remove(job)
  local was = job.was
  if was == 'd' or was == 'x' then place_job(was, job, false) end
  if was == 'l' then leave_bucket(job.who) end
  if was == 'q' then try('XDEL', P .. 'queue:' .. spec_of(job.spec).queue, job.at) end
  if was == 'x' then set_field(job.step, nil) else set_line(job.step, nil) end
end
