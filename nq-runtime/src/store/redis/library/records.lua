-- How records are written as text; codec.rs says the same in Rust. What every record has stands in words of its own,
-- what only some have follows as words `<name>=<value>`; whoever does not know one keeps it.

-- An entry as its timeline holds it. Data are JSON, and may hold spaces.
local function entry(kind, step, attempt, data)
  return kind .. ' ' .. step .. ' ' .. attempt .. ' ' .. data
end

-- An entry of a run, and of no step.
local function run_entry(kind, data) return kind .. ' - - ' .. data end

-- The position and the moment of an id, as text.
local function id_parts(id)
  local ms, n = match(id, '^(%d+)-(%d+)$')
  return n, ms
end

-- A spec is `<max crashes> <f|c> <queue>` and a word `hold=<gather>` for each gather that it holds; what other words
-- say is kept. Nil where it is no spec. Many jobs have the same: each is read once.
local specs, spec_count = {}, 0
local function spec_of(words)
  local spec = specs[words]
  if not spec then
    local crashes, failure, queue, rest = match(words, '^(%d+) (%a) (%S+)(.*)$')
    if not crashes then return nil end
    spec = { crashes = tonumber(crashes), fails = failure == 'f', queue = queue, holds = {}, more = '' }
    for word in gmatch(rest, '%S+') do
      local held = match(word, '^hold=(.*)$')
      if held then
        spec.holds[#spec.holds + 1] = held
      else
        spec.more = spec.more .. ' ' .. word
      end
    end
    if spec_count >= 1000 then specs, spec_count = {}, 0 end
    specs[words], spec_count = spec, spec_count + 1
  end
  return spec
end

-- A spec that is this one but for what it holds.
local function spec_holding(spec, holds)
  local words = { spec.crashes .. ' ' .. (spec.fails and 'f' or 'c') .. ' ' .. spec.queue }
  for _, worker in ipairs(holds) do words[#words + 1] = ' hold=' .. worker end
  return concat(words) .. spec.more
end

-- What stands behind the step of a job:
-- `<state> <fence> <earlier> <failures> <crashes> <read> <recorded> <at> <who>[ <name>=<value>]…⇥<spec>⇥<inputs>`, and
-- `⇥<error as JSON>` for a dead one. A leased job is with `<instance>#<bucket>`. Numbers stay text.
local JOB = '^(%a) (%d+) (%d+) (%d+) (%d+) (%S+) (%d+) (%S+) ([^ \t]+)()'

local function job_line(job)
  local line = job.state .. ' ' .. job.fence .. ' ' .. job.earlier .. ' ' .. job.failures .. ' ' .. job.crashes .. ' '
    .. job.read .. ' ' .. job.recorded .. ' ' .. job.at .. ' ' .. job.who .. job.more .. '\t' .. job.spec .. '\t' .. job.inputs
  return job.error and line .. '\t' .. job.error or line
end

-- What is left of a job whose record cannot be read: enough to make a dead letter of it.
local function broken_job(flow, step, line)
  local spec = match(line, '\t(%d+ %a %S+[^\t]*)\t') or '1 f ' .. flow .. '/' .. (match(step, '^(.*)@') or step)
  return { broken = true, step = step, was = '?', state = '?', fence = '0', earlier = '0', failures = '0', crashes = '0',
    read = '-', recorded = '0', at = '0', who = '-', more = '', spec = spec, inputs = '' }
end

-- A job that was given and not heard of since is `g` in its record, and leased like any other.
local function parsed_job(flow, step, line)
  local state, fence, earlier, failures, crashes, read, recorded, at, who, more_at = match(line, JOB)
  local spec_at = state and find(line, '\t', more_at, true)
  local inputs_at = spec_at and find(line, '\t', spec_at + 1, true)
  if not inputs_at then return broken_job(flow, step, line) end
  local more, spec = sub(line, more_at, spec_at - 1), sub(line, spec_at + 1, inputs_at - 1)
  local error_at = state == 'x' and find(line, '\t', inputs_at + 1, true)
  local inputs, error = sub(line, inputs_at + 1, (error_at or 0) - 1), error_at and sub(line, error_at + 1)
  if not spec_of(spec) or (state ~= 'q' and not tonumber(at)) then return broken_job(flow, step, line) end
  local is_given = state == 'g'
  if is_given then state = 'l' end
  return { step = step, was = state, state = state, fence = fence, earlier = earlier, failures = failures,
    crashes = crashes, read = read, recorded = recorded, at = at, who = who, more = more, spec = spec,
    inputs = inputs, error = error, given = is_given }
end

-- The instance that a leased job is with, and its bucket there.
local function holder_of(who)
  return match(who, '^(.*)#(%w+)$')
end

-- The number of the attempt that runs or comes next.
local function attempt(job)
  if job.earlier == '0' and job.failures == '0' and job.crashes == '0' then return '1' end
  return format('%d', 1 + job.earlier + job.failures + job.crashes)
end

local function add(words, by)
  return format('%d', words + by)
end

-- Gathers stand before the jobs of a record, by rank, each behind a tab, with which no step begins:
-- `⇥<rank> <count> <fired> <worker>[ <name>=<value>]…⇥<spec>`. `fired` is 1 if it has fired, 2 if it has not and is newer
-- than the run, 3 if it is part of another, whose name stands in place of the spec.
local function parsed_gathers(lines)
  local list = {}
  for rank, count, fired, worker, more, spec in gmatch(lines, '\n\t(%d+) (%d+) (%d) (%S+)([^\t\n]*)\t([^\n]*)') do
    list[#list + 1] =
      { rank = tonumber(rank), count = tonumber(count), fired = fired == '1' or fired == '3', late = fired == '2',
        worker = worker, more = more, spec = spec, part_of = fired == '3' and spec }
  end
  return list
end

local function gather_lines(list)
  local lines = {}
  for i, g in ipairs(list) do
    local fired = g.part_of and 3 or g.fired and 1 or g.late and 2 or 0
    lines[i] = format('\n\t%d %d %d %s%s\t%s', g.rank, g.count, fired, g.worker, g.more, g.spec)
  end
  return concat(lines)
end

-- The data of an entry that says that a step is dead.
local function dead_data(message)
  return '{' .. FIELD.error .. cjson.encode(message) .. '}'
end

-- The data of an entry that says why another attempt follows at once: an error, or another reason.
local function again_data(field, why, job)
  return '{' .. field .. cjson.encode(why) .. ',' .. FIELD.nextAttempt .. attempt(job) .. ',' .. FIELD.delayMs .. '0}'
end
