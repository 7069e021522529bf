-- Begins a run. ARGV: prefix, run, flow, data of flow.started, worker, spec, touch, how long a given lease lasts at
-- most, then rank, worker and spec of each gather.
do
  -- Takes an offer for this job, if there is one and the job is the first in its queue: the instance, the number of
  -- its offer, how long it leases a job, and data of flow.step.started. An offer is taken once: by whoever comes
  -- first, or by the turn that ends it. What cannot be read is no offer.
  local function offered(id, step, queue)
    for _ = 1, 10 do
      local instance = redis.pcall('LPOP', P .. 'offers:' .. queue)
      if type(instance) ~= 'string' or redis.pcall('XLEN', P .. 'queue:' .. queue) ~= 0 then return nil end
      local key, given = P .. 'offer:' .. instance, 'given ' .. id .. ' ' .. step
      local was = redis.pcall('SET', key, given, 'XX', 'GET', 'PX', 600000)
      if type(was) == 'string' then
        local number, lease_ms, started_data = match(was, '^(%d+) (%d+) (.*)$')
        if number then return instance, number, tonumber(lease_ms), started_data end
        -- It has been given another job.
        redis.pcall('SET', key, was, 'PX', 600000)
      end
    end
  end

  writes('start', function()
    local id, flow, data = ARGV[2], ARGV[3], ARGV[4]
    local known_flow = call('HGET', P .. 'run:' .. id, 'flow')
    if known_flow then return existing(id, known_flow, ARGV[7]) end
    local run = opened(id, { 'running', flow, micros, now_text, '0', '0' })
    local cause = append(run, TYPE.FlowStarted, '', '', data)
    -- Nothing may fail between here and `close`: the run would be half there.
    run.sets, run.declared = { 'status', 'running', 'flow', flow, 'started', micros }, {}
    for i = 9, #ARGV, 3 do run.declared[ARGV[i + 1]] = { rank = tonumber(ARGV[i]), spec = ARGV[i + 2] } end
    local job = step_of(run, ARGV[5], ARGV[6], cause, cause .. ' -')
    local step, queue, most_ms = job.step, spec_of(job.spec).queue, tonumber(ARGV[8])
    local instance, offer, lease_ms, started_data
    -- A large input is not written twice: it stays where the turn reads it.
    if most_ms > 0 and #data <= 65536 then instance, offer, lease_ms, started_data = offered(id, step, queue) end
    if instance then
      -- As `give` does it, with less work: somebody is in a hurry. The offer has made the queue known.
      job.state, job.fence, job.read, job.who = 'g', '1', run.n, instance
      job.at = after(math.min(lease_ms, most_ms))
      append(run, TYPE.StepStarted, step, '1', started_data)
      record(run, job)
    else
      put(run, job, TYPE.FlowStarted, data)
    end
    close(run)
    call('ZADD', P .. 'runs:running:' .. flow, micros, id)
    call('SADD', P .. 'flows', flow)
    if instance then
      -- What does not arrive comes with the next turn, or goes back when the lease has run out.
      local words = offer .. ' ' .. id .. ' ' .. flow .. ' ' .. step .. ' ' .. queue .. ' ' .. cause .. ' ' .. data
      redis.pcall('RPUSH', P .. 'given:' .. instance, words)
      redis.pcall('ZADD', index('l', queue), job.at, id .. ' ' .. step)
    end
    return { 'new', cause, failures }
  end)
end
