-- What time brings. Arguments: lease in ms, most jobs and runs, most runs to look over, retention of completed and of
-- other runs in ms or -1, epoch, then the queues that the caller takes jobs from. `remove` takes the same and does the
-- part that only removes: a server whose memory is full allows that.

-- How long the next delayed job of these queues has to wait, or -1.
local function next_due(queues)
  local soonest = -1
  for _, queue in ipairs(queues) do
    -- A run that was removed by hand leaves its dead letters in the index.
    for _, member in ipairs(try('ZRANGE', P .. 'dead:' .. queue, 0, 4)) do
      if call('EXISTS', P .. 'run:' .. match(member, '^%S+')) == 0 then call('ZREM', P .. 'dead:' .. queue, member) end
    end
    local first = try('ZRANGE', P .. 'delayed:' .. queue, 0, 0, 'WITHSCORES')
    if first[2] then
      local wait = math.max(tonumber(first[2]) - now, 0)
      if soonest < 0 or wait < soonest then soonest = wait end
    end
  end
  return soonest
end

local function tick(removes)
  local lease_ms, left, sweeps, keep_completed, keep_failed, epoch = take_number(), take_number(), take_number(), take(), take(), take()
  local meta = P .. 'meta'
  local known_epoch, before, spared, sweep = unpack(call('HMGET', meta, 'epoch', 'tick', 'spared', 'sweep'))
  if known_epoch ~= epoch then return { 'epoch', known_epoch or '' } end
  if removes then
    drop_rest()
    local removed, more = forget_all(tonumber(keep_completed), tonumber(keep_failed), left)
    flush()
    return { 'ok', 0, 0, removed, more and 1 or 0, -1, 0, 0, failures }
  end

  before, spared = tonumber(before or 0), tonumber(spared or 0)
  local one_lease = tonumber(after(lease_ms))
  -- As `nq_core::ledger::spare` has it.
  if now - before > floor(lease_ms / 3) or now < before then
    spared = one_lease
  else
    spared = math.min(spared, one_lease)
  end
  call('HSET', meta, 'tick', now_text, 'spared', format('%.0f', spared))
  local served = {}
  while at <= #ARGV do
    served[#served + 1] = take()
    served[#served + 1] = after(lease_ms)
  end
  many('HSET', P .. 'served', served)

  local queues = call('SMEMBERS', P .. 'queues')
  local more, went, expired = backlog(200) >= 200, 0, 0
  for _, item in ipairs(delayed(queues, left)) do
    if left == 0 then
      more = true
      break
    end
    left = left - 1
    went = went + (alone(item.id, due, item) or 0)
  end
  if now >= spared then
    local looked, rest
    expired, looked, rest = expire_all(left)
    left, more = left - looked, more or rest
  end
  more = drop_rest() or more
  local removed, rest = forget_all(tonumber(keep_completed), tonumber(keep_failed), left)
  more = more or rest
  flush()

  local lost = find_lost(queues)
  local repaired, hurries = reconcile(sweep or '', lost, sweeps)
  flush()
  more = more or hurries
  return { 'ok', went, expired, removed, more and 1 or 0, next_due(queues), repaired, lost and 1 or 0, failures }
end

writes('tick', function() return tick(false) end)
writes('remove', function() return tick(true) end, true)
