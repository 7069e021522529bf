-- Offers. `offers:<queue>` lists the instances that wait for a job of it, and `offer:<instance>` says
-- `<number> <lease in ms> <data of flow.step.started>` while it does, then `given <run> <step>` until its next turn.

-- Takes an offer for this job, if there is one and the job is the first in its queue: the instance, the number of
-- its offer, how long it leases a job, and data of flow.step.started. An offer is taken once: by whoever comes
-- first, or by the turn that ends it. What cannot be read is no offer.
local function take_offer(id, step, queue)
  for _ = 1, 10 do
    local instance = try('LPOP', P .. 'offers:' .. queue)
    if type(instance) ~= 'string' or try('XLEN', P .. 'queue:' .. queue) ~= 0 then return nil end
    local key, given = P .. 'offer:' .. instance, 'given ' .. id .. ' ' .. step
    local was = try('SET', key, given, 'XX', 'GET', 'PX', LIMIT.offer_ms)
    if type(was) == 'string' then
      local offer, lease_ms, started = match(was, '^(%d+) (%d+) (.*)$')
      if offer then return instance, offer, tonumber(lease_ms), started end
      -- It has been given another job.
      try('SET', key, was, 'PX', LIMIT.offer_ms)
    end
  end
end

-- An instance offers to take a job. Arguments: instance, how long the offer stands in ms, its number, how long it
-- leases a job, data of flow.step.started, the number of the instance's last turn, then queues. Replies 1 if an earlier
-- one has brought a job that no turn has told of yet, and 2 if the instance has gone on or left since it made this one.
writes('offer', function()
  local instance, stands_ms, offer, lease_ms, started, last = take(), take(), take(), take(), take(), take_number()
  local key, lane = P .. 'offer:' .. instance, try('HGET', lane_key(instance), 'n')
  if type(lane) == 'table' or tonumber(lane or 0) ~= last then return 2 end
  local before = try('GET', key)
  if type(before) == 'string' and match(before, '^given ') then return 1 end
  -- What is there still has come with a turn.
  call('DEL', P .. 'given:' .. instance)
  call('SET', key, offer .. ' ' .. lease_ms .. ' ' .. started, 'PX', stands_ms)
  while at <= #ARGV do
    local queue = take()
    -- A pause takes back what was offered before.
    if call('SISMEMBER', P .. 'paused', queue) == 0 then
      local offers = P .. 'offers:' .. queue
      know(queue)
      try('LREM', offers, 0, instance)
      if type(try('RPUSH', offers, instance)) ~= 'number' then
        -- Somebody has put something else there.
        call('DEL', offers)
        call('RPUSH', offers, instance)
      end
      call('PEXPIRE', offers, LIMIT.offer_ms)
    end
  end
  return 0
end)

-- An instance stops. Arguments: instance. What it was given and no turn has told of goes back; what else it holds stays
-- in one bucket until its leases run out. It takes no more than it frees, so that an instance stops also where the memory
-- of the server is full.
writes('leave', function()
  local instance = take()
  local id, step = end_offer(instance)
  local job = given_job(instance, id, step)
  if job then
    call('HDEL', lane_key(instance), match(job.who, '#(%w+)$'))
    job.state = 'q'
    put(job)
    close()
  end
  call('UNLINK', P .. 'given:' .. instance)
  local lines, deadline = '', nil
  for _, bucket in ipairs(buckets_of(instance)) do
    lines, deadline = lines .. bucket.lines, math.min(deadline or bucket.deadline, bucket.deadline)
  end
  call('UNLINK', lane_key(instance))
  if lines ~= '' then
    call('HSET', lane_key(instance), 'kept', format('%.0f', deadline) .. lines)
  else
    call('ZREM', P .. 'leases', instance)
  end
  flush()
  return 1
end, true)
