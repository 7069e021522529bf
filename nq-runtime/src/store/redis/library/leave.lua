-- An instance stops. ARGV: prefix, instance. What it was given and no turn has told of goes back.
writes('leave', function()
  local instance = ARGV[2]
  local inbox = P .. 'given:' .. instance
  if redis.pcall('GETDEL', P .. 'offer:' .. instance) == 'given' then
    for _, entry in ipairs(redis.pcall('XRANGE', inbox, '-', '+')) do
      local f = entry[2]
      local run, job = load(f[2], f[4])
      if job and job.state == 'l' and job.fence == f[6] then
        job.state = 'q'
        put(run, job)
        close(run)
      end
    end
  end
  call('UNLINK', inbox, P .. 'lane:' .. instance)
  flush()
  return 1
end)
