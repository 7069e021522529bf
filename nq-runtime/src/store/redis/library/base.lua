-- What the functions of the library share. Keys and fields are those of the table in mod.rs. A function reads and
-- checks, then writes; of each act only the first XADD can fail, so a refused act leaves nothing behind.
--
-- The library lives as long as the server knows it, and one call follows another: what belongs to a call is set
-- by `begin`, so that a call makes no functions and few tables.

-- What there is only while a call runs, and what that came with.
local call, match, format, floor, ARGV, P
-- The time, in milliseconds and as text: what is written often is text from the first, since Lua takes its time
-- to make text of a number.
local now, now_text, micros, micros_id
-- What a call remembers of runs, of where members of sorted sets end up, of queues, and of what failed;
-- in a turn, the jobs that come to each queue by it and have no ticket yet, and the runs to write back at its end.
local runs, places, known, failures, retention, queued, touched
-- What lasts: specs by their text, and names of keys, which go with the prefix.
local specs, spec_count, indexes = {}, 0, {}
-- Text of small numbers by that of the number before: to print one takes longer than to find it.
local next_of, before_of = {}, {}
for n = 0, 999 do
  next_of[n .. ''], before_of[n + 1 .. ''] = n + 1 .. '', n .. ''
end

local function enter()
  call, match, format, floor = redis.call, string.match, string.format, math.floor
end

local function begin(keys, argv)
  enter()
  ARGV = argv
  if P ~= argv[1] then
    P = argv[1]
    indexes = { l = {}, d = {}, x = {} }
  end
  if spec_count > 1000 then specs, spec_count = {}, 0 end
  runs, places, known, failures = {}, {}, {}, {}
  retention, queued, touched = nil, nil, nil
  local seconds, fraction
  if keys[2] then
    -- The clock of a test.
    seconds, fraction = match(keys[2], '(%d+) (%d+)')
  else
    local clock = call('TIME')
    seconds, fraction = clock[1], clock[2]
  end
  micros = seconds .. string.sub('000000' .. fraction, -6)
  micros_id = micros .. '-*'
  now_text = string.sub(micros, 1, -4)
  now = tonumber(now_text)
  -- That of a test may begin at nothing.
  if keys[2] then now_text = format('%.0f', now) end
end

-- Makes a function known that writes, or one that only reads and asks for no time. One that `frees` goes on where the
-- memory of the server is full: it only removes.
local function writes(name, f, frees)
  redis.register_function({ function_name = NAME .. name, flags = frees and { 'allow-oom' } or {}, callback = function(keys, argv)
    begin(keys, argv)
    local reply = f()
    -- What came with it may be large.
    ARGV, runs = nil, nil
    return reply
  end })
end
local function reads(name, f)
  redis.register_function({ function_name = NAME .. name, flags = { 'no-writes' }, callback = function(_, argv)
    enter()
    return f(argv)
  end })
end

-- The moment so long after now, none later than what every store can hold; as text, since Lua shortens
-- numbers of more than 14 digits.
local function after(ms)
  return format('%.0f', math.min(now + ms, 9007199254740991))
end

-- Where members of sorted sets end up is written once, at the end: the last word wins. False takes one out.
local function place(key, member, score)
  local set = places[key]
  if not set then
    set = {}
    places[key] = set
  end
  set[member] = score
end

-- Calls a command with many arguments, in pieces that Lua can unpack.
local function many(command, key, args)
  for from = 1, #args, 1000 do
    call(command, key, unpack(args, from, math.min(from + 999, #args)))
  end
end

local function flush()
  for key, set in pairs(places) do
    local adds, gone = {}, {}
    for member, score in pairs(set) do
      if score then
        adds[#adds + 1] = score
        adds[#adds + 1] = member
      else
        gone[#gone + 1] = member
      end
    end
    many('ZADD', key, adds)
    many('ZREM', key, gone)
  end
  places = {}
end

-- A queue is known from its first ticket on. The group `mark` is made with the stream: a stream without it is
-- not the one that the tickets went to, and the tick looks for the jobs that it has lost.
local function know(queue)
  if known[queue] then return end
  known[queue] = true
  if call('SISMEMBER', P .. 'queues', queue) == 0 then
    call('SADD', P .. 'queues', queue)
    pcall(call, 'XGROUP', 'CREATE', P .. 'queue:' .. queue, 'mark', '0', 'MKSTREAM')
  end
end

-- Puts a ticket at the end of a queue. Its id begins with the time in microseconds, by which the queues of two
-- partitions can be merged. A small input goes with it, so that the lease need not look it up.
local function ticket(queue, run, step, kind, data)
  know(queue)
  local key, words = P .. 'queue:' .. queue, { 'r', run, 's', step }
  if data and #data <= 1024 then words = { 'r', run, 's', step, 't', kind, 'd', data } end
  local id = redis.pcall('XADD', key, micros_id, unpack(words))
  -- The clock went back: the id goes on from the last one.
  if type(id) == 'table' then id = redis.pcall('XADD', key, '*', unpack(words)) end
  if type(id) == 'table' then
    -- Something else is in its place. The tick finds the job when that is gone.
    failures[#failures + 1] = 'queue ' .. queue .. ': ' .. id.err
    id = '0-0'
  end
  return id
end

-- A run as this call sees it. What changes is written back by `close`. `ms`, `n` and `pending` are text.
local function opened(id, h)
  return {
    id = id, key = P .. 'run:' .. id, stream = P .. 'flow:' .. id,
    status = h[1], flow = h[2], started = h[3], ms = h[4], n = h[5], pending = h[6],
    gathers = h[7], lists = h[8], jobs = {}, last = false, sets = false, gone = false, changed = false, ended = false,
  }
end

-- Remembers a field to write.
local function set(run, field, value)
  local sets = run.sets
  if not sets then
    run.sets = { field, value }
    return
  end
  sets[#sets + 1] = field
  sets[#sets + 1] = value
end

local function append(run, kind, step, attempt, data)
  local ms = run.ms
  if ms ~= now_text and now > tonumber(ms) then ms = now_text end
  local n = next_of[run.n] or format('%d', run.n + 1)
  local id = ms .. '-' .. n
  call('XADD', run.stream, id, 't', kind, 's', step, 'a', attempt, 'd', data)
  run.ms, run.n, run.last = ms, n, id
  return id
end

-- Appends several entries, whose types and data are in ARGV; they have one time and follow each other.
local function append_all(run, step, attempt, from, entries)
  append(run, ARGV[from], step, attempt, ARGV[from + 1])
  local stream, next_id = run.stream, run.ms .. '-*'
  for at = from + 2, from + 2 * entries - 2, 2 do
    call('XADD', stream, next_id, 't', ARGV[at], 's', step, 'a', attempt, 'd', ARGV[at + 1])
  end
  run.n = format('%d', run.n + entries - 1)
  run.last = run.ms .. '-' .. run.n
end

-- A spec is `<max crashes> <f|c> <queue>` and a word `hold=<gather>` for each gather that it holds; what other words
-- say is kept. A word without `=` is a held gather, as format 1 wrote it. Nil where it is no spec.
local function spec_of(text)
  local spec = specs[text]
  if not spec then
    local crashes, failure, queue, rest = match(text, '^(%d+) (%a) (%S+)(.*)$')
    if not crashes then return nil end
    spec = { crashes = tonumber(crashes), fails = failure == 'f', queue = queue, holds = {}, more = '' }
    for word in string.gmatch(rest, '%S+') do
      local name, value = match(word, '^([^=]*)=(.*)$')
      if not name or name == 'hold' then
        spec.holds[#spec.holds + 1] = value or word
      else
        spec.more = spec.more .. ' ' .. word
      end
    end
    specs[text], spec_count = spec, spec_count + 1
  end
  return spec
end

-- A spec that is this one but for what it holds.
local function spec_holding(spec, holds)
  local words = { spec.crashes .. ' ' .. (spec.fails and 'f' or 'c') .. ' ' .. spec.queue }
  for _, worker in ipairs(holds) do words[#words + 1] = ' hold=' .. worker end
  return table.concat(words) .. spec.more
end

-- A gather is a line `<rank> <count> <fired> <worker>[ <more>]\t<spec>` of the field `gathers`, by rank. `fired` is 1 if it has
-- fired, 2 if it has not and is newer than the run, 3 if it is part of another, whose name stands in place of the spec.
local function gathers(run)
  if type(run.gathers) ~= 'table' then
    local list = {}
    for rank, count, fired, worker, more, spec in
      string.gmatch(run.gathers or '', '(%d+) (%d+) (%d) (%S+)([^\t\n]*)\t([^\n]*)\n') do
      list[#list + 1] =
        { rank = tonumber(rank), count = tonumber(count), fired = fired == '1' or fired == '3', late = fired == '2',
          worker = worker, more = more, spec = spec, part_of = fired == '3' and spec }
    end
    run.gathers = list
  end
  return run.gathers
end

-- Arms the gathers that a job holds and no job has held before. What is only declared, by a join that stays
-- half filled, is not armed. `late` are those that the job does not hold which commits: the run is older than they.
local function arm(run, holds)
  for _, worker in ipairs(holds) do
    local declared, list = run.declared and run.declared[worker], gathers(run)
    for _, gather in ipairs(list) do
      if gather.worker == worker then declared = nil end
    end
    if declared then
      local at = #list + 1
      while at > 1 and list[at - 1].rank > declared.rank do at = at - 1 end
      table.insert(list, at, { rank = declared.rank, count = 0, fired = false, late = declared.late, worker = worker,
        more = '', spec = declared.spec })
      run.changed = true
    end
  end
end

-- The gather that this name stands for. Nil if no job has held it.
local function gather_of(run, worker)
  for _ = 1, #gathers(run) do
    local found
    for _, gather in ipairs(run.gathers) do
      if gather.worker == worker then found = gather end
    end
    if not found or not found.part_of then return found end
    worker = found.part_of
  end
end

-- Counts a gather up or down, unless it has fired.
local function count_gather(run, worker, by)
  local gather = gather_of(run, worker)
  if gather and not gather.fired then
    gather.count = math.max(gather.count + by, 0)
    run.changed = true
  end
end

-- Counts a job in or out: for the run, and for the gathers that it holds.
local function count(run, holds, by)
  local known = by == 1 and next_of[run.pending] or by == -1 and before_of[run.pending]
  run.pending = known or format('%d', math.max(run.pending + by, 0))
  for _, worker in ipairs(holds) do count_gather(run, worker, by) end
end

-- The index of a queue that holds the jobs of this state; nil for queued ones, which have tickets.
local index_names = { l = 'leased:', d = 'delayed:', x = 'dead:' }
local function index(state, queue)
  local keys = indexes[state]
  if not keys then return nil end
  local key = keys[queue]
  if not key then
    key = P .. index_names[state] .. queue
    keys[queue] = key
  end
  return key
end

-- Remembers the record of a job to write.
local function record(run, job)
  set(run, 'j:' .. job.step, job.state .. ' ' .. job.fence .. ' ' .. job.earlier .. ' ' .. job.failures .. ' '
    .. job.crashes .. ' ' .. job.read .. ' ' .. job.recorded .. ' ' .. job.at .. ' ' .. job.who .. job.more .. '\t' .. job.spec
    .. '\t' .. job.inputs)
end

-- Writes a job, new or known. One that becomes queued goes to the end of its queue; a turn does that at its end.
local function put(run, job, kind, data)
  local queue, state, was = spec_of(job.spec).queue, job.state, job.was
  if was and was ~= state and was ~= 'q' then place(index(was, queue), run.id .. ' ' .. job.step, false) end
  if state == 'q' and queued then
    local list = queued[queue] or { next = 1 }
    queued[queue], run.jobs[job.step] = list, job
    list[#list + 1] = { run = run, job = job, kind = kind, data = data }
    return
  end
  if state == 'q' then
    job.at, job.who = ticket(queue, run.id, job.step, kind, data), '-'
  else
    know(queue)
    place(index(state, queue), run.id .. ' ' .. job.step, job.at)
  end
  job.was = state
  run.jobs[job.step] = job
  record(run, job)
end

-- Numbers of a job are text.
local function fresh(step, spec, inputs)
  return { step = step, spec = spec, inputs = inputs, state = 'q', was = false, fence = '0', earlier = '0',
    failures = '0', crashes = '0', read = '-', recorded = '0', at = '0', who = '-', more = '' }
end

local function add(text, by)
  return format('%d', text + by)
end

-- The step that `cause` makes, counted and not yet in its queue.
local function step_of(run, worker, spec, cause, inputs)
  local holds = spec_of(spec).holds
  arm(run, holds)
  count(run, holds, 1)
  return fresh(worker .. '@' .. cause, spec, inputs)
end

-- Enqueues the step that `cause` makes of this job.
local function enqueue(run, worker, spec, cause, inputs, kind, data)
  put(run, step_of(run, worker, spec, cause, inputs), kind, data)
end

-- Writes the run back.
local function close(run)
  if run.changed then
    local lines = {}
    for _, g in ipairs(run.gathers) do
      local fired = g.part_of and 3 or g.fired and 1 or g.late and 2 or 0
      lines[#lines + 1] = format('%d %d %d %s%s\t%s\n', g.rank, g.count, fired, g.worker, g.more, g.spec)
    end
    set(run, 'gathers', table.concat(lines))
  end
  local sets = run.sets
  if not sets then
    call('HSET', run.key, 'ms', run.ms, 'n', run.n, 'pending', run.pending)
  elseif #sets == 2 then
    call('HSET', run.key, 'ms', run.ms, 'n', run.n, 'pending', run.pending, sets[1], sets[2])
  else
    set(run, 'ms', run.ms)
    set(run, 'n', run.n)
    set(run, 'pending', run.pending)
    many('HSET', run.key, sets)
  end
  -- What is gone may have been written before in the same call.
  if run.gone then many('HDEL', run.key, run.gone) end
  run.sets, run.gone, run.changed = false, false, false
end
