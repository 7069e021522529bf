-- Lanes. `lane:<instance>` is a hash: `n` the number of its last turn, `at` when that was, `a` and `r` its answers, `s` the
-- number of the last turn whose second part came; and buckets: `<turn>` is a deadline and a line `<run> <step> <fence> <ticket>`
-- for each job that this turn has leased, or renewed (then `-` stands for the ticket), `<turn>:left` how many of them are
-- not over, and both go when none is. What a start has given to an offer is in bucket `g<offer>`; `kept` has what a lane
-- that goes has left. `leases` says when to look at which lane: a bucket is a hint, the record of a job decides.

local function lane_key(instance) return P .. 'lane:' .. instance end

local NO_BUCKET = { n = true, at = true, a = true, r = true, s = true }

-- The buckets of a lane: name, deadline and lines of each.
local function buckets_of(instance)
  local found, fields = {}, call('HGETALL', lane_key(instance))
  for i = 1, #fields, 2 do
    local name = fields[i]
    if not NO_BUCKET[name] and not find(name, ':', 1, true) then
      local deadline, lines = match(fields[i + 1], '^(%d+)(.*)$')
      found[#found + 1] = { name = name, deadline = tonumber(deadline) or 0, lines = lines or '' }
    end
  end
  return found
end

local function set_bucket(instance, name, deadline, lines, count)
  call('HSET', lane_key(instance), name, deadline .. '\n' .. concat(lines, '\n'), name .. ':left', count)
  call('ZADD', P .. 'leases', 'LT', deadline, instance)
end

-- Puts a job back into a bucket that has been lost.
local function keep(instance, run, job)
  local lines, deadline = {}, tonumber(job.at)
  local was = call('HGET', lane_key(instance), 'kept')
  if was then
    deadline = math.min(deadline, tonumber(match(was, '^%d+')) or deadline)
    lines[1] = sub(was, (find(was, '\n', 1, true) or #was) + 1)
  end
  lines[#lines + 1] = run .. ' ' .. job.step .. ' ' .. job.fence .. ' -'
  call('HSET', lane_key(instance), 'kept', format('%.0f', deadline) .. '\n' .. concat(lines, '\n'))
  call('ZADD', P .. 'leases', 'LT', format('%.0f', deadline), instance)
end

-- Whether a bucket of the lane has this job, as far as its record says which.
local function is_kept(run, job)
  local instance, bucket = holder_of(job.who)
  if not instance or not call('ZSCORE', P .. 'leases', instance) then return false end
  if call('HEXISTS', lane_key(instance), bucket) == 1 then return true end
  local kept = call('HGET', lane_key(instance), 'kept')
  return kept and find(kept .. '\n', '\n' .. run .. ' ' .. job.step .. ' ' .. job.fence .. ' ', 1, true) ~= nil
end

-- Ends the offer of an instance: the run and step of the job that it has brought, if any.
local function end_offer(instance)
  local was = try('GETDEL', P .. 'offer:' .. instance)
  return match(type(was) == 'string' and was or '', '^given (%S+) (%S+)$')
end

-- What was given to an instance and is still its own, on its page. Nil if it is not.
local function given_job(instance, id, step)
  if not id or not open_sound(id) then return nil end
  local job = job_of(step)
  if job and job.state == 'l' and job.fence == '1' and holder_of(job.who) == instance then return job end
end

-- Writes which jobs the turn has, and that others are over.
local function write_buckets()
  local key = lane_key(turn.instance)
  if turn.lines[1] then set_bucket(turn.instance, turn.bucket, turn.until_ms, turn.lines, #turn.lines) end
  for bucket, over in pairs(turn.over) do
    if call('HINCRBY', key, bucket .. ':left', -over) <= 0 then call('HDEL', key, bucket, bucket .. ':left') end
  end
end

-- Writes what became of the lane by this turn, or by its second part.
local function write_lane(second)
  local key = lane_key(turn.instance)
  if second then
    call('HSET', key, 's', turn.number)
  else
    call('HSET', key, 'n', turn.number, 'at', now_text, 'a', concat(turn.answers, '\n'), 'r', concat(turn.renewed))
    if turn.is_first then call('ZADD', P .. 'leases', 'NX', after(LIMIT.lane_ms), turn.instance) end
  end
end
