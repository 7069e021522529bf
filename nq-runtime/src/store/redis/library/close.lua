-- How a page is written.

-- From here on the jobs of the run are fields of a hash.
local function spill()
  for step, line in gmatch(run_body, '\n(%S+) ([^\n]*)') do set_field(step, line) end
  run_spilled, run_body = true, '\n'
end

-- The line of a job that nobody has leased yet.
local function queued_line(id, spec, inputs)
  return 'q 0 0 0 0 - 0 ' .. id .. ' -\t' .. spec .. '\t' .. inputs
end

-- Puts the jobs into their queues that the act has made or brought back.
local function enqueue_all()
  for i = 1, made_count do
    local job = made[i]
    local line = job.line
    if job.state then
      -- One that the record has already.
      job.at = ticket(spec_of(job.spec).queue, run_id, job.step)
      set_line(job.step, job_line(job))
    else
      if not line then
        line = queued_line(ticket(spec_of(job.spec).queue, run_id, job.step, job.input), job.spec, job.inputs)
      end
      if run_spilled then set_line(job.step, line) else run_body = run_body .. job.step .. ' ' .. line .. '\n' end
    end
  end
end

-- Removes unfinished jobs of a run that has ended from its hash, and keeps dead letters. A run may have very many, and
-- nobody is to wait for them: the hash `ending` says where the next tick goes on. Returns how many it has looked at.
local function drop_fields(cursor)
  local key, looked, first, gone = key_of('jobs:'), 0, cursor == '0', {}
  repeat
    local scanned = call('HSCAN', key, cursor, 'COUNT', 100)
    cursor = scanned[1]
    for i = 1, #scanned[2], 2 do
      local job = parsed_job(run_flow, scanned[2][i], scanned[2][i + 1])
      looked = looked + 1
      if job.state ~= 'x' then
        if job.state == 'q' then try('XDEL', P .. 'queue:' .. spec_of(job.spec).queue, job.at) end
        if job.state == 'd' then place_job('d', job, false) end
        gone[#gone + 1] = job.step
      end
    end
  until cursor == '0' or looked >= LIMIT.turn_writes
  many('HDEL', key, gone)
  if cursor ~= '0' then
    call('HSET', P .. 'ending', run_id, cursor)
  elseif not first then
    call('HDEL', P .. 'ending', run_id)
  end
  return looked
end

local function write_fields()
  local sets, gone = {}, {}
  for step, line in pairs(page.fields) do
    if line then
      sets[#sets + 1] = step
      sets[#sets + 1] = line
    else
      gone[#gone + 1] = step
    end
  end
  many('HSET', key_of('jobs:'), sets)
  many('HDEL', key_of('jobs:'), gone)
  page.fields = false
end

local function write_record()
  if page.gathers_changed then page.gathers_text = gather_lines(page.gathers) end
  call('SET', P .. 'run:' .. run_id, run_ms .. ' ' .. text(run_n) .. ' ' .. text(run_pending) .. ' ' .. run_status
    .. (run_spilled and 's ' or ' ') .. run_flow .. page.more .. page.gathers_text .. run_body)
end

-- Adds one value or two to the list of a key.
local function join(lists, key, value, second)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  local count = #list
  list[count + 1] = value
  if second then list[count + 2] = second end
end

-- Hands on what is written at the end of the call.
local function hand_on()
  if page.places then
    for _, one in ipairs(page.places) do place(one[1], one[2], one[3]) end
  end
  if page.pushes then
    for key, ids in pairs(page.pushes) do
      for i = 1, #ids do join(pushes, key, ids[i]) end
    end
  end
  for i = 1, left_count do
    local bucket = left[i]
    turn.over[bucket] = (turn.over[bucket] or 0) + 1
  end
  if page.ended then
    local id, flow, status = run_id, run_flow, STATUS[run_status]
    join(leaving, P .. 'runs:running:' .. flow, id)
    join(coming, P .. 'runs:' .. status .. ':' .. flow, began(), id)
    join(coming, P .. (status == 'completed' and 'finished:completed' or 'finished:failed'), page.ended,
      id .. ' ' .. flow .. ' ' .. status)
    ended_runs[#ended_runs + 1] = 'r'
    ended_runs[#ended_runs + 1] = id
  end
  page.places, page.pushes, page.ended, left_count = false, false, false, 0
end

-- Writes what an act has changed.
local function close()
  local running = run_status == 'r'
  if running and not run_spilled and (run_pending > most_lines or #run_body > LIMIT.record_bytes) then spill() end
  write_pack()
  if running then
    if made_count > 0 then enqueue_all() end
  elseif page.ended then
    -- The jobs that the end has left are dropped; those in the hash below.
    for step, line in gmatch(run_body, '\n(%S+) ([^\n]*)') do remove(parsed_job(run_flow, step, line)) end
  end
  if page.fields then write_fields() end
  write_record()
  if page.ended and run_spilled and page.left_over then drop_fields('0') end
  made_count, page.queued, page.gathers_changed = 0, false, false
  hand_on()
end

-- Calls an act about one run on its own, where a call has several. What fails here fails at its first write: nothing was
-- written, and what was read may be wrong.
local function alone(id, f, ...)
  local sound, answer = pcall(f, ...)
  if sound then return answer end
  packed = 3
  failed(id, answer)
  return nil
end
