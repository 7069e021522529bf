-- What is done to one run from outside of its steps.

-- Does something to a run. Arguments: run, touch, `cancel` and why, or `redrive`, the step and how many of its attempts
-- have ended, if that is known.
writes('act', function()
  local id, touch, what = take(), take(), take()
  if touch == '1' then call('HSET', P .. 'meta', 'touched', now) end
  if not open(id) then return 'missing' end
  if run_status ~= 'r' then return 'nothing' end
  if what == 'cancel' then
    finish('cancelled', '{' .. FIELD.reason .. cjson.encode(take()) .. ',')
  else
    local job, ended = dead_job(take()), tonumber(take())
    if not job or job.state ~= 'x' then return 'nothing' end
    if ended and ended ~= job.earlier + job.failures + job.crashes then return 'nothing' end
    -- It arms no gather again that has fired already.
    local spec, holds = spec_of(job.spec), {}
    for _, worker in ipairs(spec.holds) do
      local gather = gather_of(worker)
      if not (gather and gather.fired) then holds[#holds + 1] = worker end
    end
    job.spec = spec_holding(spec, holds)
    job.earlier = format('%d', job.earlier + job.failures + job.crashes)
    job.failures, job.crashes, job.error = '0', '0', nil
    job.state = 'q'
    append(entry(TYPE.StepRetrying, job.step, job.earlier, again_data(FIELD.reason, 'redriven', job)))
    count(holds, 1)
    put(job)
  end
  close()
  flush()
  return 'done'
end)

-- Appends log lines to a run that is there. Arguments: run, then entries. Replies 0 if it is not.
writes('append', function()
  if not open(take()) then return 0 end
  while at <= #ARGV do append(take()) end
  close()
  return 1
end)

-- Makes a dead letter of a leased job that its instance cannot read. Arguments: run, step, fence, error.
writes('condemn', function()
  if not open(take()) or run_status ~= 'r' then return 0 end
  local job, fence, message = job_of(take()), take(), take()
  if not job then return 0 end
  if job.broken then
    condemn(job)
  elseif job.state == 'l' and job.fence == fence then
    append(entry(TYPE.StepFailed, job.step, attempt(job), dead_data(message)))
    job.failures = add(job.failures, 1)
    die(job, message)
  else
    return 0
  end
  close()
  flush()
  return 1
end)

-- Pauses or resumes a queue. Arguments: queue, 1 to pause it. Who waits for its tickets hears of a resumption
-- from the stream `resumed`.
writes('pause', function()
  local queue, paused = take(), take()
  know(queue)
  if paused == '1' then
    call('SADD', P .. 'paused', queue)
    call('DEL', P .. 'offers:' .. queue)
  elseif call('SREM', P .. 'paused', queue) == 1 then
    call('XADD', P .. 'resumed', 'MAXLEN', '~', 100, '*', 'q', queue)
  end
  return 1
end)
