-- A turn: renewals, writes, leases. Arguments: instance, number, lease in ms, data of flow.step.started, touch, part; the
-- number of renewals, and for each run, step, fence; the number of wants, and for each queue and most; the number of groups,
-- and for each its run, how many writes, their steps, and then for each fence, shape and what that says. Replies `ok`, the
-- answers, the renewals, the leases, which of the queues are paused, what there is to lease, and failures; or `lane` and the
-- number of the last turn.
--
-- Part 0 is all of it. Where there are partitions, a turn comes to each in two parts: part 1 writes, and says
-- what there is to lease; part 2 leases what the partition is chosen for. A partition that was away has missed turns:
-- part `1 <number>` says which of them it has answered last, and `1 <number> u` that what the second part of that
-- turn leased was not heard of, and goes back.

do
  local function renew(id, step, fence)
    -- The job of a run that is gone is nobody's either.
    if not open(id) then return 'L' end
    local job = job_of(step)
    -- Every end but one has dropped the jobs that it left.
    if run_status == 'c' and not job then return 'L' end
    if run_status ~= 'r' then return 'E' end
    if not job or job.state ~= 'l' or job.fence ~= fence then return 'L' end
    job.at = turn.until_ms
    -- The lease may be another instance's: its bucket is looked at again when it is due.
    if holder_of(job.who) == turn.instance then
      leave_bucket(job.who)
      job.who = turn.who
      turn.lines[#turn.lines + 1] = id .. ' ' .. step .. ' ' .. fence .. ' -'
    end
    put(job)
    close()
    return 'R'
  end

  -- Gives a job back that was leased and nobody was told.
  local function hand_back(id, step, fence)
    if not open(id) then return end
    local job = job_of(step)
    if not job or job.state ~= 'l' or job.fence ~= fence or holder_of(job.who) ~= turn.instance then return end
    job.state = 'q'
    put(job)
    close()
  end

  -- The jobs that a bucket says were leased: run, step, fence and ticket of each.
  local function leased_in(bucket, f)
    local lines = call('HGET', lane_key(turn.instance), bucket)
    for id, step, fence, came_by in gmatch(lines or '', '\n(%S+) (%S+) (%d+) ([%d-]+)') do
      if came_by ~= '-' then f(id, step, fence, came_by) end
    end
  end

  local function write_all(id, write, count, steps)
    if not open(id) then return end
    if run_spilled then look_up({ unpack(ARGV, steps, steps + count - 1) }) end
    for i = 0, count - 1 do
      local fence, shape = take(), shape_of(take())
      local over = at + shape.arguments
      turn.answers[write + i] = commit(write + i, ARGV[steps + i], fence, shape)
      at = over
    end
    if run_changed then
      follow()
      deliver()
    end
    return true
  end

  -- Who renews or writes knows what an offer has brought.
  local function tell(id, step)
    if turn.given and turn.given == id .. ' ' .. step then turn.given = nil end
  end

  -- Applies the writes of one run, from this number on. Returns how many they are.
  local function group(write)
    local id, count = take(), take_number()
    local steps = at
    at = at + count
    local over = at
    for i = 0, count - 1 do
      turn.answers[write + i] = 'G'
      over = over + 2 + shape_of(ARGV[over + 1]).arguments
      tell(id, ARGV[steps + i])
    end
    if not alone(id, write_all, id, write, count, steps) then
      -- Nothing of it was written.
      for i = 0, count - 1 do turn.answers[write + i] = 'G' end
    end
    at = over
    return count
  end

  -- How many tickets there are and the first ten that lead to a job; those before them that do not are dropped.
  local function sound(queue)
    local stream, found, from = P .. 'queue:' .. queue, { 0 }, '-'
    for _ = 1, 20 do
      local tickets = call('XRANGE', stream, from, '+', 'COUNT', 10)
      for _, one in ipairs(tickets) do
        local id, step = one[2][2], one[2][4]
        local job = step and open_sound(id) and job_of(step)
        if job and job.state == 'q' and run_status == 'r' then
          found[#found + 1] = one[1]
        else
          call('XDEL', stream, one[1])
          if job and (job.broken or job.state == 'q') then
            if job.broken then condemn(job) else remove(job) end
            close()
          end
        end
      end
      if #tickets < 10 or #found > 10 then break end
      from = '(' .. tickets[10][1]
    end
    found[1] = call('XLEN', stream)
    return found
  end

  -- Learns what the turn may lease: a queue is open where nobody waits in it.
  local function read_wants(count, first)
    local paused, is_paused = {}, {}
    if count == 0 then return paused end
    for _, queue in ipairs(call('SMEMBERS', P .. 'paused')) do is_paused[queue] = true end
    for _ = 1, count do
      local want = { queue = take(), room = take_number() }
      if is_paused[want.queue] then
        paused[#paused + 1], want.room = want.queue, 0
      elseif not first and want.room > 0 and try('XLEN', P .. 'queue:' .. want.queue) == 0 then
        turn.open[want.queue] = want
      end
      turn.wants[#turn.wants + 1] = want
    end
    return paused
  end

  -- The answers of the last turn, its leases as they stand now.
  local function resent(second, last_second)
    local function still(id, step, fence, came_by)
      if not open_sound(id) then return end
      local job = job_of(step)
      if job and job.state == 'l' and job.fence == fence then view(turn.leases, job, came_by) end
    end
    if not second then leased_in(turn.number, still) end
    if last_second == turn.number then leased_in(turn.number .. 'b', still) end
    local told = call('HMGET', lane_key(turn.instance), 'a', 'r')
    return { 'ok', told[1] or '', told[2] or '', turn.leases, {}, {}, failures }
  end

  writes('turn', function()
    local instance, number_text, lease_ms, started, touch = take(), take(), take_number(), take(), take()
    local part, answered, unheard = match(take(), '^(%d) ?(%d*) ?(u?)$')
    local first, second, number = part == '1', part == '2', tonumber(number_text)
    local lane = call('HMGET', lane_key(instance), 'n', 's')
    local last = tonumber(lane[1] or 0)
    if second and number ~= last then return { 'lane', last } end
    local follows = number == last or number == last + 1 or number > last and last == tonumber(answered)
    if not second and not follows or number == 0 then return { 'lane', last } end

    local bucket = second and number_text .. 'b' or number_text
    turn = { instance = instance, number = number_text, bucket = bucket, mark = instance .. '#', who = instance .. '#' .. bucket,
      until_ms = after(lease_ms), started = started, wants = {}, open = {}, over = {}, lines = {}, leases = {},
      answers = {}, renewed = {}, is_first = not lane[1] }
    if number == last and (not second or lane[2] == number_text) then
      if touch == '1' then call('HSET', P .. 'meta', 'touched', now) end
      return resent(second, lane[2])
    end

    -- This ends the offer of the instance, which may know what that has brought.
    local given_id, given_step
    if not first and not second then given_id, given_step = end_offer(instance) end
    turn.given = given_id and given_id .. ' ' .. given_step
    if unheard == 'u' and lane[2] == lane[1] then
      leased_in(lane[1] .. 'b', function(id, step, fence) alone(id, hand_back, id, step, fence) end)
    end
    for i = 1, take_number() do
      local id, step, fence = take(), take(), take()
      turn.renewed[i] = alone(id, renew, id, step, fence) or 'L'
      tell(id, step)
    end
    local wants = take_number()
    local more = wants > 0 and not second and backlog(200) >= 200
    local paused = read_wants(wants, first)
    if given_id or more then turn.open = {} end
    local write = 1
    for _ = 1, take_number() do write = write + group(write) end
    if turn.left_over then backlog(200) end

    -- What was given and not heard of takes the place that it was offered.
    local job = turn.given and given_job(instance, given_id, given_step)
    local ready, sound_all, failure = {}, true, nil
    if job then
      leave_bucket(job.who)
      job.at, job.who = turn.until_ms, turn.who
      put(job)
      give(job, '0-0')
      deliver()
    elseif not first then
      -- Whatever becomes of it: what was committed is written back.
      sound_all, failure = pcall(function()
        for _, want in ipairs(turn.wants) do
          if not turn.open[want.queue] then lease_from(want) end
        end
      end)
    end
    if first then
      for i, want in ipairs(turn.wants) do ready[i] = want.room > 0 and sound(want.queue) or { 0 } end
    end
    flush()
    write_buckets()
    -- Its text is what it was, where a position would come before it.
    if not sound_all then error(type(failure) == 'string' and { err = failure } or failure) end
    write_lane(second)
    return { 'ok', concat(turn.answers, '\n'), concat(turn.renewed), turn.leases, paused, ready, failures }
  end)
end
