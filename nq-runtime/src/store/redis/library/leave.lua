-- An instance stops. ARGV: prefix, instance. What it was given and no turn has told of goes back. It takes no more than
-- it frees, so that an instance stops also where the memory of the server is full.
writes('leave', function()
  local instance = ARGV[2]
  local id, step = end_offer(instance)
  local run, job = given(instance, id, step)
  if job then
    job.state = 'q'
    put(run, job)
    close(run)
  end
  call('UNLINK', P .. 'given:' .. instance, P .. 'lane:' .. instance)
  flush()
  return 1
end, true)
