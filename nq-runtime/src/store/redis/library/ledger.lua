-- What turns, acts and ticks share: the rules of `nq_core::ledger`, said again in Lua.

-- What every job has stands in words of its own; what only some have follows as words that are kept as they are.
local JOB = '^(%a) (%d+) (%d+) (%d+) (%d+) (%S+) (%d+) (%S+) (%S+)([^\t]*)\t([^\t]*)\t(.*)$'

-- What is left of a job whose record cannot be read: enough to make a dead letter of it.
local function broken(run, step, text)
  local spec = match(text, '\t(%d+ %a %S+[^\t]*)\t') or '1 f ' .. run.flow .. '/' .. (match(step, '^(.*)@') or step)
  return { broken = true, step = step, was = false, state = '?', fence = '0', earlier = '0', failures = '0',
    crashes = '0', read = '-', recorded = '0', at = '0', who = '-', more = '', spec = spec, inputs = '' }
end

-- A job that was given and not heard of since is `g` in its record, and leased like any other.
local function parsed(run, step, text)
  local state, fence, earlier, failures, crashes, read, recorded, at, who, more, spec, inputs = match(text, JOB)
  if not state or not spec_of(spec) or (state ~= 'q' and not tonumber(at)) then return broken(run, step, text) end
  local is_given = state == 'g'
  if is_given then state = 'l' end
  return { step = step, was = state, state = state, fence = fence, earlier = earlier, failures = failures,
    crashes = crashes, read = read, recorded = recorded, at = at, who = who, more = more, spec = spec,
    inputs = inputs, given = is_given }
end

-- The run of this id and, if one is named, the unfinished job of this step. Nil where there is none.
local function load(id, step)
  local run = runs[id]
  if not run then
    local key = P .. 'run:' .. id
    local h = call('HMGET', key, 'status', 'flow', 'started', 'ms', 'n', 'pending', 'gathers', 'lists',
      step and 'j:' .. step or 'j:')
    if not h[1] then return nil end
    if not h[5] then
      -- The position is kept beside the timeline; should it be gone, the timeline tells it.
      local last = call('XREVRANGE', P .. 'flow:' .. id, '+', '-', 'COUNT', 1)[1]
      if last then h[4], h[5] = match(last[1], '(%d+)-(%d+)') end
      h[4], h[5] = h[4] or '0', h[5] or '0'
    end
    if not (h[2] and tonumber(h[3]) and tonumber(h[6])) then error({ err = 'the record of the run is damaged' }) end
    run = opened(id, h)
    run.last = h[4] .. '-' .. h[5]
    runs[id] = run
    if step then run.jobs[step] = h[9] and parsed(run, step, h[9]) or false end
  end
  if not step then return run end
  local job = run.jobs[step]
  if job == nil then
    local text = call('HGET', run.key, 'j:' .. step)
    job = text and parsed(run, step, text) or false
    run.jobs[step] = job
  end
  return run, job or nil
end

-- The same where one call is about many runs: nothing is found where what is stored cannot be read.
local function load_sound(id, step)
  local sound, run, job = pcall(load, id, step)
  if sound then return run, job end
  failures[#failures + 1] = id .. ': ' .. (type(run) == 'table' and run.err or tostring(run))
  return nil
end

-- What a start replies whose run is there: its flow, and id and data of its first entry, if that can be found. Whoever
-- waits for replicas or a disk after this waits for a write of this connection, which `touch` asks for.
local function existing(id, flow, touch)
  if touch == '1' then call('HSET', P .. 'meta', 'touched', now) end
  local first = call('XRANGE', P .. 'flow:' .. id, '-', '+', 'COUNT', 1)[1]
  if not first then return { 'existing', flow, '', '' } end
  return { 'existing', flow, first[1], first[2][8] or '' }
end

local function attempt(job)
  if job.earlier == '0' and job.failures == '0' and job.crashes == '0' then return '1' end
  return format('%d', 1 + job.earlier + job.failures + job.crashes)
end

-- The data of an entry that says that a step is dead.
local function dead_data(message)
  return '{' .. FIELD.error .. cjson.encode(message) .. '}'
end

-- The data of an entry that says why another attempt follows at once: an error, or another reason.
local function again_data(field, why, job)
  return '{' .. field .. cjson.encode(why) .. ',' .. FIELD.nextAttempt .. attempt(job) .. ',' .. FIELD.delayMs .. '0}'
end

-- Leases a queued job. Its ticket, if it has one, is for the caller to remove.
local function give(run, job, instance, until_ms, started_data)
  local read = job.read == '-' and run.n or job.read
  append(run, TYPE.StepStarted, job.step, attempt(job), started_data)
  job.fence, job.read = add(job.fence, 1), read
  job.state, job.at, job.who = 'l', until_ms, instance
  put(run, job)
end

-- Appends a leased job to the reply as its instance gets it, with the ticket that it came by. It comes after writes,
-- so it does not fail: an input that is not there is without type and data.
local function view(reply, run, job, came_by, kind, data)
  local at = #reply + 1
  reply[at] = came_by
  reply[at + 1], reply[at + 2], reply[at + 3] = run.id, run.flow, job.step
  reply[at + 4], reply[at + 5], reply[at + 6] = spec_of(job.spec).queue, job.fence, attempt(job)
  reply[at + 7], reply[at + 8], reply[at + 9] = job.failures, job.read, job.recorded
  at = at + 10
  local inputs = 0
  for id, key in string.gmatch(job.inputs, '(%S+) (%S+)') do
    local k, d = kind, data
    if not d then
      local found = redis.pcall('XRANGE', run.stream, id, id)
      local entry = not found.err and found[1]
      k, d = entry and entry[2][2] or '', entry and entry[2][8] or ''
    end
    inputs = inputs + 1
    reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = id, k, d, key
    at = at + 4
  end
  if inputs == 0 and job.inputs ~= '' then
    inputs = 1
    reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = '0-0', '', '', '-'
    at = at + 4
  end
  reply[at - 4 * inputs] = inputs
end

-- Ends the offer of an instance: the run and step of the job that it has brought, if any.
local function end_offer(instance)
  local was = redis.pcall('GETDEL', P .. 'offer:' .. instance)
  return match(type(was) == 'string' and was or '', '^given (%S+) (%S+)$')
end

-- What was given to an instance and is still its own. Nil if it is not.
local function given(instance, id, step)
  if not id then return nil end
  local run, job = load_sound(id, step)
  if job and job.state == 'l' and job.fence == '1' and job.who == instance then return run, job end
end

-- Remembers a field to remove.
local function drop(run, field)
  local gone = run.gone
  if gone then gone[#gone + 1] = field else run.gone = { field } end
end

local function remove(run, job)
  local key = index(job.was, spec_of(job.spec).queue)
  if key then place(key, run.id .. ' ' .. job.step, false) end
  drop(run, 'j:' .. job.step)
  if job.was == 'x' then drop(run, 'e:' .. job.step) end
  run.jobs[job.step] = false
end

-- Whether the run has this key beside its hash and its timeline: `join`, or `g:` and the name of a gather.
local function listed(run, name)
  return run.lists and string.find(' ' .. run.lists .. ' ', ' ' .. name .. ' ', 1, true)
end

local function list(run, name)
  if listed(run, name) then return end
  run.lists = (run.lists and run.lists .. ' ' or '') .. name
  set(run, 'lists', run.lists)
end

-- The unpaired events of the joins of a run, by worker and position; at most 100.
local function unpaired(run)
  local found = {}
  if not listed(run, 'join') then return found end
  local members = call('ZRANGE', P .. 'join:' .. run.id, 0, -1)
  for _, member in ipairs(members) do
    local worker, id = match(member, '^(%S+) %S+ %S+ %S+ (%S+)')
    found[#found + 1] = { worker, id, tonumber(match(id, '-(%d+)')) }
  end
  table.sort(found, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[3] < b[3]) end)
  for i = #found, 101, -1 do found[i] = nil end
  return found
end

-- Calls a command with each key of a run and one argument more, if there is one.
local function each_key(run, command, argument)
  local function one(key)
    if argument then call(command, key, argument) else call(command, key) end
  end
  one(run.key)
  one(run.stream)
  for name in string.gmatch(run.lists or '', '%S+') do
    one(name == 'join' and P .. 'join:' .. run.id or P .. 'gather:' .. run.id .. ' ' .. string.sub(name, 3))
  end
end

-- A finished run goes by the tick; its keys expire an hour later by themselves, should nobody tick.
local function expire_keys(run)
  if not retention then
    retention = call('HMGET', P .. 'meta', 'keepCompleted', 'keepFailed')
  end
  local keep = tonumber(retention[run.status == 'completed' and 1 or 2] or -1)
  if keep < 0 then return end
  each_key(run, 'PEXPIRE', format('%.0f', keep + 3600000))
end

-- Appends the one terminal entry. `data` begins an object of JSON and ends in a comma, or is `{`.
local function finish(run, status, data)
  local ended = math.max(tonumber(run.ms), now)
  local lasted = format('%d', math.max(ended - floor(run.started / 1000), 0))
  append(run, ENDS[status], '', '', data .. FIELD.durationMs .. lasted .. '}')
  ended = run.ms
  place(P .. 'runs:running:' .. run.flow, run.id, false)
  place(P .. 'runs:' .. status .. ':' .. run.flow, run.id, run.started)
  place(P .. (status == 'completed' and 'finished:completed' or 'finished:failed'),
    run.id .. ' ' .. run.flow .. ' ' .. status, ended)
  -- A hint to those who wait: should it fail, they look for themselves.
  redis.pcall('XADD', P .. 'ended', 'MAXLEN', '~', 10000, '*', 'r', run.id)
  -- Its other jobs go when it is written back.
  run.left_over = run.pending ~= '0'
  run.status, run.pending, run.ended = status, '0', true
  set(run, 'status', status)
  set(run, 'ended', ended)
end

-- What follows when a job no longer counts: gathers that nothing holds any more fire, by rank; then a run
-- without pending steps completes.
local function settle(run, cause)
  if run.gathers then
    -- One that is newer than the run fires when the run has nothing else to do.
    local again = true
    while again do
      again = false
      for _, gather in ipairs(gathers(run)) do
        if not gather.fired and gather.count == 0 and (not gather.late or run.pending == '0') then
          gather.fired, run.changed, again = true, true, true
          enqueue(run, gather.worker, gather.spec, cause, '')
          break
        end
      end
    end
  end
  if run.pending == '0' then
    local list = {}
    for i, found in ipairs(unpaired(run)) do
      list[i] = '{' .. FIELD.stepName .. cjson.encode(found[1]) .. ',' .. FIELD.event .. '"' .. found[2] .. '"}'
    end
    finish(run, 'completed', #list > 0 and '{' .. FIELD.unpaired .. '[' .. table.concat(list, ',') .. '],' or '{')
  end
end

-- A job is dead: it is kept with its error, and the run fails unless the worker says otherwise.
local function die(run, job, message)
  local spec = spec_of(job.spec)
  count(run, spec.holds, -1)
  job.state, job.at, job.who = 'x', now_text, '-'
  put(run, job)
  set(run, 'e:' .. job.step, message)
  if spec.fails then
    local worker = cjson.encode(match(job.step, '^(.*)@'))
    finish(run, 'failed', '{' .. FIELD.error .. cjson.encode(message) .. ',' .. FIELD.failedStep .. worker .. ',')
  else
    settle(run, run.last)
  end
end

-- A job that cannot be read is a dead letter that says why.
local function condemn(run, job)
  local queue, member = spec_of(job.spec).queue, run.id .. ' ' .. job.step
  place(index('l', queue), member, false)
  place(index('d', queue), member, false)
  if run.status ~= 'running' then return remove(run, job) end
  local message = 'step `' .. job.step .. '` of run `' .. run.id .. '` cannot be read from the store: its record is damaged'
  append(run, TYPE.StepFailed, job.step, '', dead_data(message))
  job.failures = '1'
  die(run, job, message)
end

-- Removes unfinished jobs of a run that has ended and is written back, from where `cursor` says; dead letters stay.
-- A run may have very many, and nobody is to wait for them: the hash `ending` says where the next tick goes on.
-- Returns how many it has looked at.
local function drop_jobs(run, cursor)
  local looked, first = 0, cursor == '0'
  repeat
    local page = call('HSCAN', run.key, cursor, 'MATCH', 'j:*', 'COUNT', 100)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      local job = parsed(run, string.sub(page[2][i], 3), page[2][i + 1])
      looked = looked + 1
      if job.state ~= 'x' then
        if job.state == 'q' then redis.pcall('XDEL', P .. 'queue:' .. spec_of(job.spec).queue, job.at) end
        remove(run, job)
      end
    end
  until cursor == '0' or looked >= 500
  if run.gone then many('HDEL', run.key, run.gone) end
  run.gone, run.jobs = false, {}
  if cursor ~= '0' then
    call('HSET', P .. 'ending', run.id, cursor)
  elseif not first then
    call('HDEL', P .. 'ending', run.id)
  end
  return looked
end

local function done(run)
  close(run)
  if run.ended then
    if run.left_over then drop_jobs(run, '0') end
    expire_keys(run)
    run.ended = false
  end
end

-- As `done`, at the end of the turn.
local function touch(run)
  if not run.open then
    run.open = true
    touched[#touched + 1] = run
  end
end

-- Jobs that a commit or the start of a rerun with too many of them has left for later, in pages. `#<ms> <n>` says before
-- which entry the causes of those behind it are counted. Returns how many it enqueued.
local function backlog(limit)
  local moved = 0
  while moved < limit do
    local id = call('SRANDMEMBER', P .. 'backlog')
    if not id then return moved end
    local key = P .. 'backlog:' .. id
    local run = load_sound(id)
    local page = run and run.status == 'running' and call('LPOP', key, limit - moved + 1)
    if page then
      local head, ms, n
      for _, line in ipairs(page) do
        local new_ms, new_n = match(line, '^#(%d+) (%d+)$')
        local step, earlier, read, recorded, again, inputs = match(line, '^%+([^\t]*)\t(%d+) (%S+) (%d+)\t([^\t]*)\t(.*)$')
        if new_ms then
          head, ms, n = line, new_ms, new_n
        elseif step then
          local job = fresh(step, again, inputs)
          job.earlier, job.read, job.recorded = earlier, read, recorded
          put(run, job)
          moved = moved + 1
        else
          local worker, spec, at, input = match(line, '^([^\t]*)\t([^\t]*)\t(%d+) (.*)$')
          local cause = ms .. '-' .. format('%d', n + at)
          put(run, fresh(worker .. '@' .. cause, spec, cause .. ' ' .. input))
          moved = moved + 1
        end
      end
      if touched then touch(run) else done(run) end
      if call('EXISTS', key) == 0 then
        page = false
      elseif head then
        call('LPUSH', key, head)
      end
    end
    if not page then
      call('SREM', P .. 'backlog', id)
      call('UNLINK', key)
    end
  end
  return moved
end

-- Calls one act on its own. What fails here fails at its first write: nothing was written, and what was read
-- may be wrong.
local function alone(id, f, ...)
  local ok, answer = pcall(f, ...)
  if ok then return answer end
  local run = runs[id]
  if run and not run.open then runs[id], run.lost = nil, true end
  failures[#failures + 1] = id .. ': ' .. (type(answer) == 'table' and answer.err or tostring(answer))
  return nil
end
