-- Appends log lines to a run that is there. ARGV: prefix, run, then step, attempt, type and data of each.
writes('append', function()
  local h = call('HMGET', P .. 'run:' .. ARGV[2], 'status', 'flow', 'started', 'ms', 'n', 'pending')
  if not h[1] then return 0 end
  local run = opened(ARGV[2], h)
  for i = 3, #ARGV, 4 do append(run, ARGV[i + 2], ARGV[i], ARGV[i + 1], ARGV[i + 3]) end
  close(run)
  return 1
end)
