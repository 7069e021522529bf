-- What time brings to jobs: delayed ones are due, leases run out.

-- A delayed job is due: it goes to its queue. Returns how many jobs it was.
local function due(item)
  local job = open(item.id) and job_of(item.step)
  if job and job.broken then
    condemn(job)
  elseif not job or job.state ~= 'd' or tonumber(job.at) > now then
    place(item.key, item.member, false)
    return 0
  else
    job.state = 'q'
    put(job)
  end
  close()
  return 1
end

-- The delayed jobs that were due by now, first come first; one more than may be taken.
local function delayed(queues, most)
  local found = {}
  for _, queue in ipairs(queues) do
    local key = P .. 'delayed:' .. queue
    local members = try('ZRANGEBYSCORE', key, '-inf', now_text, 'WITHSCORES', 'LIMIT', 0, most + 1)
    if members.err then
      failed(key, members)
      members = {}
    end
    for i = 1, #members, 2 do
      local id, step = match(members[i], '^(%S+) (%S+)$')
      if id then
        found[#found + 1] = { at = tonumber(members[i + 1]), id = id, step = step, key = key, member = members[i] }
      else
        place(key, members[i], false)
      end
    end
  end
  table.sort(found, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return a.member < b.member
  end)
  return found
end

-- The holder of a job is gone: its lease ran out. The job goes back to its queue, or is a dead letter if it has taken down
-- enough processes. Returns how many jobs it was, and whether the job is still leased.
local function expire(id, step, fence)
  local job = open(id) and job_of(step)
  if not job or not job.broken and (job.state ~= 'l' or job.fence ~= fence) then return 0, false end
  if not job.broken and tonumber(job.at) > now then return 0, tonumber(job.at) end
  -- An instance that is gone does not read what it was given.
  local instance = holder_of(job.who)
  if instance then call('UNLINK', P .. 'given:' .. instance) end
  if job.broken then
    condemn(job)
  elseif run_status ~= 'r' then
    remove(job)
  elseif job.given then
    -- It was given to an instance that may have been dead by then, and has never begun as far as anybody knows.
    job.state = 'q'
    put(job)
  else
    local why, was = format(SAYS.stopped, instance or job.who), attempt(job)
    job.crashes = add(job.crashes, 1)
    if tonumber(job.crashes) >= spec_of(job.spec).crashes then
      local message = why .. format(SAYS.crashed, job.crashes)
      append(entry(TYPE.StepFailed, step, was, dead_data(message)))
      die(job, message)
    else
      append(entry(TYPE.StepRetrying, step, was, again_data(FIELD.error, why, job)))
      job.state = 'q'
      put(job)
    end
  end
  close()
  return 1, false
end

-- Looks at the jobs of a bucket that is due, at no more than so many. What is leased still stays in it, and so does what was
-- not looked at. Returns how many leases had run out, and at how many jobs it has looked.
local function expire_bucket(instance, bucket, most)
  local lines, deadline, expired, looked, left = {}, nil, 0, 0, 0
  for line in gmatch(bucket.lines, '\n([^\n]+)') do
    local until_ms = bucket.deadline
    if looked < most then
      looked = looked + 1
      local id, step, fence = match(line, '^(%S+) (%S+) (%d+)')
      local sound, some, still = pcall(expire, id, step, fence)
      if sound then
        expired, until_ms = expired + some, still
      else
        packed = 3
        failed(id, some)
        until_ms = tonumber(after(LIMIT.again_ms))
      end
    end
    if until_ms then
      lines[#lines + 1], left = line, left + 1
      deadline = math.min(deadline or until_ms, until_ms)
    end
  end
  if left > 0 then
    bucket.deadline = deadline
    call('HSET', lane_key(instance), bucket.name, format('%.0f', deadline) .. '\n' .. concat(lines, '\n'), bucket.name .. ':left', left)
  else
    bucket.deadline = nil
    call('HDEL', lane_key(instance), bucket.name, bucket.name .. ':left')
  end
  return expired, looked
end

-- When to look at a lane again: when the first of its buckets is due. One without any goes when it was idle for long.
local function look_again(instance, buckets)
  local next_ms
  for _, bucket in ipairs(buckets) do
    if bucket.deadline then next_ms = math.min(next_ms or bucket.deadline, bucket.deadline) end
  end
  if not next_ms then
    next_ms = tonumber(call('HGET', lane_key(instance), 'at') or 0) + LIMIT.lane_ms
    if next_ms <= now then
      call('UNLINK', lane_key(instance))
      return call('ZREM', P .. 'leases', instance)
    end
  end
  call('ZADD', P .. 'leases', format('%.0f', next_ms), instance)
end

-- The leases that have run out, at no more than so many jobs: those of the oldest deadline first. Returns how many, at how
-- many jobs it has looked, and whether there are more.
local function expire_all(most)
  local expired, looked, due_buckets, lanes = 0, 0, {}, {}
  local instances = call('ZRANGEBYSCORE', P .. 'leases', '-inf', now_text, 'LIMIT', 0, 100)
  for _, instance in ipairs(instances) do
    local sound, buckets = pcall(buckets_of, instance)
    if sound then
      lanes[instance] = buckets
      for _, bucket in ipairs(buckets) do
        if bucket.deadline <= now then due_buckets[#due_buckets + 1] = { instance, bucket } end
      end
    else
      failed(instance, buckets)
      call('ZREM', P .. 'leases', instance)
    end
  end
  table.sort(due_buckets, function(a, b)
    if a[2].deadline ~= b[2].deadline then return a[2].deadline < b[2].deadline end
    return a[1] .. ' ' .. a[2].name < b[1] .. ' ' .. b[2].name
  end)
  local more = #instances == 100
  for _, one in ipairs(due_buckets) do
    if looked >= most then
      more = true
      break
    end
    local some, seen = expire_bucket(one[1], one[2], most - looked)
    expired, looked = expired + some, looked + seen
    more = more or one[2].deadline ~= nil and one[2].deadline <= now
  end
  for instance, buckets in pairs(lanes) do look_again(instance, buckets) end
  return expired, looked, more
end
