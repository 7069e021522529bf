-- An instance offers to take a job. ARGV: prefix, instance, how long the offer stands in ms, its number, how long it
-- leases a job, data of flow.step.started, the number of the instance's last turn, then queues. Replies 1 if an earlier
-- one has brought a job that no turn has told of yet, and 2 if the instance has gone on or left since it made this one.
writes('offer', function()
  local instance, key = ARGV[2], P .. 'offer:' .. ARGV[2]
  -- A lane is a list that begins with the number of its last turn.
  local lane, last = redis.pcall('GETRANGE', P .. 'lane:' .. instance, 0, 15), 0
  if type(lane) == 'string' and lane ~= '' then
    local read, _, number = pcall(cmsgpack.unpack_one, lane, 1)
    last = read and number
  end
  if last ~= tonumber(ARGV[7]) then return 2 end
  local before = redis.pcall('GET', key)
  if type(before) == 'string' and match(before, '^given ') then return 1 end
  -- What is there still has come with a turn.
  call('DEL', P .. 'given:' .. instance)
  call('SET', key, ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6], 'PX', ARGV[3])
  for i = 8, #ARGV do
    -- A pause takes back what was offered before.
    if call('SISMEMBER', P .. 'paused', ARGV[i]) == 0 then
      local offers = P .. 'offers:' .. ARGV[i]
      know(ARGV[i])
      redis.pcall('LREM', offers, 0, instance)
      if type(redis.pcall('RPUSH', offers, instance)) ~= 'number' then
        -- Somebody has put something else there.
        call('DEL', offers)
        call('RPUSH', offers, instance)
      end
      call('PEXPIRE', offers, 600000)
    end
  end
  return 0
end)
