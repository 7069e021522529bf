-- Begins a run that goes on from what another has done. Its timeline may be long, so it comes before the run, in pages:
-- nobody sees a timeline without the hash of its run.
do
  local HALF_MADE_MS = 3600000

  local function last_id(stream)
    local last = call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    return last and last[1] or '0-0'
  end

  -- Writes a page of the timeline where nobody has yet. ARGV: prefix, run, the id of the entry before the page, the last
  -- id of a timeline that is not the one of this run and goes, or nothing, then id, type, step, attempt and data of
  -- each entry. Replies the last id that is there now, or `there` if the run is.
  writes('copy', function()
    local stream = P .. 'flow:' .. ARGV[2]
    if call('EXISTS', P .. 'run:' .. ARGV[2]) == 1 then return 'there' end
    local last = last_id(stream)
    if last == ARGV[4] then
      call('UNLINK', stream)
      last = '0-0'
    end
    if last ~= ARGV[3] then return last end
    for i = 5, #ARGV, 5 do
      last = ARGV[i]
      call('XADD', stream, last, 't', ARGV[i + 1], 's', ARGV[i + 2], 'a', ARGV[i + 3], 'd', ARGV[i + 4])
      -- At once: the next entry may be refused.
      if i == 5 then call('PEXPIRE', stream, HALF_MADE_MS) end
    end
    return last
  end)

  -- Begins the run. ARGV: prefix, run, flow, touch, the last id of its timeline, how many jobs it has, its gathers as its
  -- hash holds them; then, each behind their number: step, attempt and data of the `flow.step.retrying` entries; step,
  -- earlier, read, recorded, spec and inputs of jobs; jobs that follow later, as the backlog holds them; worker, side,
  -- value, position, id and key of what waits at joins; and of each gather its name, how many events it has got and
  -- their ids.
  writes('fork', function()
    local id, flow = ARGV[2], ARGV[3]
    local known_flow = call('HGET', P .. 'run:' .. id, 'flow')
    if known_flow then return existing(id, known_flow, ARGV[4]) end
    local stream = P .. 'flow:' .. id
    local last = last_id(stream)
    if last ~= ARGV[5] then return { 'behind' } end
    local ms, n = match(last, '^(%d+)-(%d+)$')
    local run = opened(id, { 'running', flow, micros, ms, n, ARGV[6], ARGV[7] })
    run.last, run.changed = last, #gathers(run) > 0

    local p = 8
    for i = p + 1, p + 3 * ARGV[p], 3 do append(run, TYPE.StepRetrying, ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
    p = p + 3 * ARGV[p] + 1
    -- Nothing may fail from here on: the run would be half there.
    run.sets = { 'status', 'running', 'flow', flow, 'started', micros }
    call('PERSIST', stream)
    for i = p + 1, p + 6 * ARGV[p], 6 do
      local job = fresh(ARGV[i], ARGV[i + 4], ARGV[i + 5])
      job.earlier, job.read, job.recorded = ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
      put(run, job)
    end
    p = p + 6 * ARGV[p] + 1

    call('UNLINK', P .. 'backlog:' .. id, P .. 'join:' .. id)
    local later = tonumber(ARGV[p])
    for i = p + 1, p + later, 1000 do
      call('RPUSH', P .. 'backlog:' .. id, unpack(ARGV, i, math.min(i + 999, p + later)))
    end
    if later > 0 then call('SADD', P .. 'backlog', id) end
    p = p + later + 1

    local waiting = {}
    for i = p + 1, p + 6 * ARGV[p], 6 do
      local by = ARGV[i + 2]
      if #by > 64 then by = '#' .. redis.sha1hex(by) end
      waiting[#waiting + 1] = 0
      waiting[#waiting + 1] =
        format('%s %s %s %012d %s %s', ARGV[i], ARGV[i + 1], by, tonumber(ARGV[i + 3]), ARGV[i + 4], ARGV[i + 5])
    end
    many('ZADD', P .. 'join:' .. id, waiting)
    if #waiting > 0 then list(run, 'join') end
    p = p + 6 * ARGV[p] + 1

    while p < #ARGV do
      local worker, got = ARGV[p], tonumber(ARGV[p + 1])
      local key = P .. 'gather:' .. id .. ' ' .. worker
      call('UNLINK', key)
      for i = p + 2, p + 1 + got, 1000 do
        call('RPUSH', key, unpack(ARGV, i, math.min(i + 999, p + 1 + got)))
      end
      list(run, 'g:' .. worker)
      p = p + 2 + got
    end

    place(P .. 'runs:running:' .. flow, id, micros)
    call('SADD', P .. 'flows', flow)
    settle(run, run.last)
    done(run)
    flush()
    return { 'new', failures }
  end)
end
