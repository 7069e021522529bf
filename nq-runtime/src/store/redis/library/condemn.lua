-- Makes a dead letter of a leased job that its instance cannot read. ARGV: prefix, run, step, fence, error.
writes('condemn', function()
  local run, job = load(ARGV[2], ARGV[3])
  if not job or run.status ~= 'running' then return 0 end
  if job.broken then
    condemn(run, job)
  elseif job.state == 'l' and job.fence == ARGV[4] then
    append(run, TYPE.StepFailed, job.step, attempt(job), dead_data(ARGV[5]))
    job.failures = add(job.failures, 1)
    die(run, job, ARGV[5])
  else
    return 0
  end
  done(run)
  flush()
  return 1
end)
