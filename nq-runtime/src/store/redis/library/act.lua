-- Does something to a run from outside. ARGV: prefix, run, touch, `cancel` and why, or `redrive`, the step and how many
-- of its attempts have ended, if that is known.
writes('act', function()
  local id, what = ARGV[2], ARGV[4]
  if ARGV[3] == '1' then call('HSET', P .. 'meta', 'touched', now) end
  local run, job = load(id, what == 'redrive' and ARGV[5] or nil)
  if not run then return 'missing' end
  if run.status ~= 'running' then return 'nothing' end
  if what == 'cancel' then
    finish(run, 'cancelled', '{' .. FIELD.reason .. cjson.encode(ARGV[5]) .. ',')
  else
    if not job or job.state ~= 'x' then return 'nothing' end
    local ended = tonumber(ARGV[6])
    if ended and ended ~= job.earlier + job.failures + job.crashes then return 'nothing' end
    -- It arms no gather again that has fired already.
    local spec, holds = spec_of(job.spec), {}
    for _, worker in ipairs(spec.holds) do
      local gather = gather_of(run, worker)
      if not (gather and gather.fired) then holds[#holds + 1] = worker end
    end
    job.spec = spec_holding(spec, holds)
    job.earlier = format('%d', job.earlier + job.failures + job.crashes)
    job.failures, job.crashes = '0', '0'
    job.state = 'q'
    append(run, TYPE.StepRetrying, job.step, job.earlier, again_data(FIELD.reason, 'redriven', job))
    count(run, holds, 1)
    put(run, job)
    drop(run, 'e:' .. job.step)
  end
  done(run)
  flush()
  return 'done'
end)
