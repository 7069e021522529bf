-- Begins a run. ARGV: prefix, run, flow, data of flow.started, worker, spec, touch, how long a given lease lasts at
-- most, then rank, worker and spec of each gather.
do
  -- Gives the job to an instance that has offered to take one of this queue, if it is the first there. An offer is
  -- taken once: by whoever comes first, or by the turn that ends it.
  local function hand_over(run, job, most_ms, kind, data)
    local queue = spec_of(job.spec).queue
    local offers = P .. 'offers:' .. queue
    for _ = 1, 10 do
      -- Nothing after the first write may fail: what cannot be read is no offer, and what does not arrive goes back
      -- when the lease has run out.
      local instance = redis.pcall('ZPOPMIN', offers)[1]
      if not instance then return false end
      if redis.pcall('XLEN', P .. 'queue:' .. queue) ~= 0 then return false end
      local was = redis.pcall('SET', P .. 'offer:' .. instance, 'given', 'XX', 'GET', 'PX', 600000)
      local offer, lease_ms, started_data = match(type(was) == 'string' and was or '', '^(%d+) (%d+) (.*)$')
      if lease_ms then
        -- The offer has made it known.
        known[queue] = true
        give(run, job, instance, after(math.min(tonumber(lease_ms), most_ms)), started_data)
        -- What a turn would answer, word by word, but for a ticket that it came by; and the number of the offer.
        local words = {}
        view(words, run, job, '0-0', kind, data)
        words[#words + 1] = offer
        redis.pcall('XADD', P .. 'given:' .. instance, '*', unpack(words))
        return true
      end
    end
    return false
  end

  writes('start', function()
    local id, flow, data = ARGV[2], ARGV[3], ARGV[4]
    local known_flow = call('HGET', P .. 'run:' .. id, 'flow')
    if known_flow then
      -- Whoever waits for replicas or a disk after this waits for a write of this connection.
      if ARGV[7] == '1' then call('HSET', P .. 'meta', 'touched', now) end
      local first = call('XRANGE', P .. 'flow:' .. id, '-', '+', 'COUNT', 1)[1]
      return { 'existing', known_flow, first and first[2][8] or '' }
    end
    local run = opened(id, { 'running', flow, micros, '0', '0', '0' })
    local cause = append(run, 'flow.started', '', '', data)
    run.declared = {}
    for i = 9, #ARGV, 3 do run.declared[ARGV[i + 1]] = { rank = tonumber(ARGV[i]), spec = ARGV[i + 2] } end
    local job = step_of(run, ARGV[5], ARGV[6], cause, cause .. ' -')
    local most_ms = tonumber(ARGV[8])
    -- A large input is not written twice: it stays where the turn reads it.
    if most_ms == 0 or #data > 65536 or not hand_over(run, job, most_ms, 'flow.started', data) then
      put(run, job, 'flow.started', data)
    end
    set(run, 'status', 'running')
    set(run, 'flow', flow)
    set(run, 'started', micros)
    close(run)
    place(P .. 'runs:running:' .. flow, id, micros)
    call('SADD', P .. 'flows', flow)
    flush()
    return { 'new', cause }
  end)
end
