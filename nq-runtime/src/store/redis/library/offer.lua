-- An instance offers to take a job. ARGV: prefix, instance, how long the offer stands in ms, its number, how long it
-- leases a job, data of flow.step.started, then queues. Replies 1 if an earlier one has brought a job that no turn has
-- told of yet.
writes('offer', function()
  local key = P .. 'offer:' .. ARGV[2]
  if redis.pcall('GET', key) == 'given' then return 1 end
  -- The inbox is made and kept here, where nobody is in a hurry.
  local inbox = P .. 'given:' .. ARGV[2]
  if call('TYPE', inbox).ok ~= 'stream' then
    call('DEL', inbox)
    call('XGROUP', 'CREATE', inbox, 'mark', '$', 'MKSTREAM')
  end
  call('PEXPIRE', inbox, 600000)
  call('SET', key, ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6], 'PX', ARGV[3])
  for i = 7, #ARGV do
    -- A pause takes back what was offered before.
    if call('SISMEMBER', P .. 'paused', ARGV[i]) == 0 then
      local offers = P .. 'offers:' .. ARGV[i]
      know(ARGV[i])
      redis.pcall('ZADD', offers, now, ARGV[2])
      call('PEXPIRE', offers, 600000)
    end
  end
  return 0
end)
