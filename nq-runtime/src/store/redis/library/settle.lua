-- What follows when a job no longer counts, and how a run ends: the rules of `nq_core::ledger::page`.

-- The unpaired events of the joins of a run, by worker and position; not more than its end names.
local function unpaired()
  local found = {}
  for _, member in ipairs(call('ZRANGE', key_of('join:'), 0, -1)) do
    local worker, id = match(member, '^(%S+) %S+ %S+ %S+ (%S+)')
    found[#found + 1] = { worker, id, number(id_parts(id)) }
  end
  table.sort(found, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[3] < b[3]) end)
  for i = #found, LIMIT.unpaired + 1, -1 do found[i] = nil end
  return found
end

-- Appends the one terminal entry. `data` begins an object of JSON and ends in a comma, or is `{`.
local function finish(status, data)
  local ended = math.max(tonumber(run_ms), now)
  local lasted = text(math.max(ended - floor(began() / 1000), 0))
  append(run_entry(ENDS[status], data .. FIELD.durationMs .. lasted .. '}'))
  page.more = page.more .. ' ended=' .. run_ms
  page.left_over, page.ended = run_pending > 0, run_ms
  run_status, run_pending = STATUS[status], 0
end

-- Gathers that nothing holds any more fire, by rank, each counted before the next is looked at; then a run without
-- pending steps completes.
local function settle(cause)
  local again = page.gathers
  while again do
    again = false
    for _, gather in ipairs(page.gathers) do
      -- One that is newer than the run fires when the run has nothing else to do.
      if not gather.fired and gather.count == 0 and (not gather.late or run_pending == 0) then
        gather.fired, page.gathers_changed, again = true, true, true
        enqueue(gather.worker, gather.spec, cause, '')
        break
      end
    end
  end
  if run_pending > 0 then return end
  if not listed('joins=1') then return finish('completed', '{') end
  local waiting = {}
  for i, one in ipairs(unpaired()) do
    waiting[i] = '{' .. FIELD.stepName .. cjson.encode(one[1]) .. ',' .. FIELD.event .. '"' .. one[2] .. '"}'
  end
  finish('completed', #waiting > 0 and '{' .. FIELD.unpaired .. '[' .. concat(waiting, ',') .. '],' or '{')
end

-- A job is dead: it is kept with its error, and the run fails unless the worker says otherwise.
local function die(job, message)
  local spec = spec_of(job.spec)
  count(spec.holds, -1)
  job.state, job.at, job.who, job.error = 'x', now_text, '-', cjson.encode(message)
  put(job)
  if spec.fails then
    local worker = cjson.encode(match(job.step, '^(.*)@'))
    finish('failed', '{' .. FIELD.error .. cjson.encode(message) .. ',' .. FIELD.failedStep .. worker .. ',')
  else
    settle(last_id())
  end
end

-- A job that cannot be read is a dead letter that says why. The page is to be closed after this.
local function condemn(job)
  run_changed = true
  place_job('d', job, false)
  if run_status ~= 'r' then return remove(job) end
  local message = format(SAYS.unreadable, job.step, run_id)
  append(entry(TYPE.StepFailed, job.step, '-', dead_data(message)))
  job.failures = '1'
  die(job, message)
end
