-- How runs go that are kept for long enough.

-- Removes a run with all that belongs to it, its queued jobs' tickets included.
local function forget(id, flow, status)
  local sound, there = pcall(open, id)
  if sound and there then
    for step, line in gmatch(run_body, '\n(%S+) ([^\n]*)') do remove(parsed_job(run_flow, step, line)) end
    local fields = call('HGETALL', key_of('jobs:'))
    for i = 1, #fields, 2 do
      local job = parsed_job(run_flow, fields[i], fields[i + 1])
      if job.was == 'l' then call('UNLINK', P .. 'given:' .. (holder_of(job.who) or '')) end
      remove(job)
    end
    for worker in gmatch(page.more, ' gathered=(%S+)') do call('UNLINK', gathered_key(worker)) end
    hand_on()
  end
  call('UNLINK', P .. 'run:' .. id, P .. 'flow:' .. id, P .. 'jobs:' .. id, P .. 'join:' .. id)
  place(P .. 'runs:' .. status .. ':' .. flow, id, false)
  return 1
end

-- Goes on dropping the jobs of runs that have ended. Returns whether there are more.
local function drop_rest()
  local dropped = 0
  local ending = call('HRANDFIELD', P .. 'ending', 10, 'WITHVALUES')
  for i = 1, #ending, 2 do
    if not open_sound(ending[i]) then
      call('HDEL', P .. 'ending', ending[i])
    elseif dropped < 1000 then
      dropped = dropped + (alone(ending[i], drop_fields, ending[i + 1]) or 0)
      hand_on()
    end
  end
  return ending[1] and call('EXISTS', P .. 'ending') == 1
end

-- The clock has gone back since these ended: they would be kept until it comes to where it was.
local function end_now(key)
  for _, member in ipairs(call('ZRANGEBYSCORE', key, '(' .. now_text, '+inf', 'LIMIT', 0, 100)) do
    local id = match(member, '^%S+')
    if id and open_sound(id) and find(page.more, ' ended=', 1, true) then
      page.more = string.gsub(page.more, ' ended=%d+', ' ended=' .. now_text)
      close()
    end
    call('ZADD', key, now_text, member)
  end
end

-- Removes runs whose retention is over, no more than so many. Returns how many, and whether there are more.
local function forget_all(keep_completed, keep_failed, most)
  local removed, more = 0, false
  for list, keep_ms in pairs({ completed = keep_completed, failed = keep_failed }) do
    local key = P .. 'finished:' .. list
    end_now(key)
    local over = keep_ms >= 0 and call('ZRANGEBYSCORE', key, '-inf', format('%.0f', now - keep_ms), 'LIMIT', 0, most + 1) or {}
    for _, member in ipairs(over) do
      if most == 0 then
        more = true
        break
      end
      local id, flow, status = match(member, '^(%S+) (%S+) (%S+)$')
      -- One whose jobs are still being dropped has too much to go at once.
      if not id or call('HEXISTS', P .. 'ending', id) == 0 then
        most = most - 1
        call('ZREM', key, member)
        removed = removed + (id and alone(id, forget, id, flow, status) or 0)
      end
    end
  end
  return removed, more
end
