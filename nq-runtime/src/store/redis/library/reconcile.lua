-- The reconciler looks over the running runs, a page at a time, for jobs that are in no queue, index or bucket; over
-- all of them at once when a queue is not the stream that the tickets went to. `sweep` in `meta` says where it is:
-- `<! or .> <flow> <score> <run>`, and whether it hurries.

-- Puts a job back to where its record says that it is. Whether it had to.
local function repair(job)
  if job.broken then
    condemn(job)
    return true
  end
  local queue, member = spec_of(job.spec).queue, run_id .. ' ' .. job.step
  if job.state == 'l' then
    if is_kept(run_id, job) then return false end
    local instance = holder_of(job.who)
    if not instance then return false end
    keep(instance, run_id, job)
    return true
  end
  if job.state == 'q' then
    if call('XRANGE', P .. 'queue:' .. queue, job.at, job.at)[1] then return false end
  elseif call('ZSCORE', index(job.state, queue), member) then
    return false
  end
  put(job)
  return true
end

-- Looks over the jobs of a run. Returns how many it has repaired, and at how many it has looked.
local function repair_run(id)
  if not open(id) or run_status ~= 'r' then return 0, 1 end
  local repaired, looked, body = 0, 1, run_body
  local function look(step, line)
    looked = looked + 1
    if run_status == 'r' and repair(parsed_job(run_flow, step, line)) then repaired = repaired + 1 end
  end
  for step, line in gmatch(body, '\n(%S+) ([^\n]*)') do look(step, line) end
  -- Dead letters are there, too.
  local fields = call('HGETALL', key_of('jobs:'))
  for i = 1, #fields, 2 do look(fields[i], fields[i + 1]) end
  if repaired > 0 then close() end
  return repaired, looked
end

-- Whether a queue is not the stream that its tickets went to. It is made that again.
local function find_lost(queues)
  local lost = false
  for _, queue in ipairs(queues) do
    local key = P .. 'queue:' .. queue
    local sound, groups = pcall(call, 'XINFO', 'GROUPS', key)
    if not sound or type(groups) ~= 'table' or groups.err or #groups == 0 then
      lost = true
      try('XGROUP', 'CREATE', key, 'mark', '0', 'MKSTREAM')
    end
  end
  return lost
end

-- Goes on with the sweep, over about so many runs and jobs. Returns how many jobs it has repaired, and whether there is
-- more to do at once.
local function reconcile(before, lost, budget)
  local sweep, repaired, finished = lost and '!' or before, 0, true
  local hurry, place_flow, score, last = match(sweep, '^(%S?) ?(%S*) ?(%S*) ?(%S*)$')
  if hurry == '' then hurry = '.' end
  if hurry == '!' then budget = budget * 5 end
  local flows = call('SMEMBERS', P .. 'flows')
  table.sort(flows)
  for _, flow in ipairs(flows) do
    if flow >= place_flow then
      local from, offset = flow == place_flow and score ~= '' and score or '-inf', 0
      while finished do
        local runs = call('ZRANGEBYSCORE', P .. 'runs:running:' .. flow, from, '+inf', 'WITHSCORES', 'LIMIT', offset, 50)
        for i = 1, #runs, 2 do
          if from == '-inf' or runs[i + 1] ~= score or runs[i] > last then
            if budget <= 0 then
              finished = false
              break
            end
            local sound, fixed, looked = pcall(repair_run, runs[i])
            if not sound then packed = 3 end
            repaired = repaired + (sound and fixed or 0)
            budget = budget - (sound and looked or 1)
            sweep = hurry .. ' ' .. flow .. ' ' .. runs[i + 1] .. ' ' .. runs[i]
          end
        end
        offset = offset + 50
        if #runs < 100 then break end
      end
    end
    if not finished then break end
  end
  if finished then sweep = '' end
  if sweep ~= before then call('HSET', P .. 'meta', 'sweep', sweep) end
  return repaired, hurry == '!' and not finished
end
