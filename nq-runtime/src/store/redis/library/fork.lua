-- Begins a run that goes on from what another has done. Its timeline may be long, so it comes before the run, in pages:
-- nobody sees a timeline without the record of its run.
do
  local HALF_MADE_MS = 3600000

  local function last_of(stream)
    local last = call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    return last and last[1] or '0-0'
  end

  -- Writes a page of the timeline where nobody has yet. Arguments: run, the id of the entry before the page, the last
  -- id of a timeline that is not the one of this run and goes, or nothing, then of each pack its id, how many entries it has
  -- and these. Replies the last id that is there now, or `there` if the run is.
  writes('copy', function()
    local id, before, foreign = take(), take(), take()
    local stream, expires = P .. 'flow:' .. id, false
    if call('EXISTS', P .. 'run:' .. id) == 1 then return 'there' end
    local last = last_of(stream)
    if last == foreign then
      call('UNLINK', stream)
      last = '0-0'
    end
    if last ~= before then return last end
    while at <= #ARGV do
      last = take()
      local words = {}
      for i = 1, take_number() do words[2 * i - 1], words[2 * i] = 'e', take() end
      call('XADD', stream, last, unpack(words))
      -- At once: the next pack may be refused.
      if not expires then call('PEXPIRE', stream, HALF_MADE_MS) end
      expires = true
    end
    return last
  end)

  -- The jobs of the run; those that follow later are as the backlog holds them.
  local function fork_jobs()
    for _ = 1, take_number() do
      local step, earlier, read, recorded, spec, inputs = take(), take(), take(), take(), take(), take()
      put({ step = step, state = 'q', was = false, fence = '0', earlier = earlier, failures = '0', crashes = '0', read = read,
        recorded = recorded, at = '0', who = '-', more = '', spec = spec, inputs = inputs })
    end
    call('UNLINK', key_of('backlog:'), key_of('join:'))
    local later = {}
    for i = 1, take_number() do later[i] = take() end
    many('RPUSH', key_of('backlog:'), later)
    if #later > 0 then call('SADD', P .. 'backlog', run_id) end
  end

  -- What waits at its joins, and what its gathers have got.
  local function fork_events()
    local waiting = {}
    for _ = 1, take_number() do
      local worker, side, by, n, id, key = take(), take_number(), take(), take_number(), take(), take()
      waiting[#waiting + 1] = 0
      waiting[#waiting + 1] = arrival(worker, side, paired_by(by), n, id, key)
    end
    many('ZADD', key_of('join:'), waiting)
    if #waiting > 0 then list('joins=1') end
    while at <= #ARGV do
      local worker, ids = take(), {}
      for i = 1, take_number() do ids[i] = take() end
      call('UNLINK', gathered_key(worker))
      many('RPUSH', gathered_key(worker), ids)
      list('gathered=' .. worker)
    end
  end

  -- Begins the run. Arguments: run, flow, touch, the last id of its timeline, how many jobs it has, its gathers as its
  -- record holds them; then, each behind their number: `flow.step.retrying` entries; step, earlier, read, recorded, spec
  -- and inputs of jobs; jobs that follow later, as the backlog holds them; worker, side, value, position, id and key of
  -- what waits at joins; and of each gather its name, how many events it has got and their ids.
  writes('fork', function()
    local id, flow, touch = take(), take(), take()
    if open(id) then return existing(id, run_flow, touch) end
    local last, pending, gathers = take(), take_number(), take()
    if last_of(P .. 'flow:' .. id) ~= last then return { 'behind' } end
    local n, ms = id_parts(last)
    new_page(id, ms, number(n), pending, 'r', flow, ' ' .. micros)
    if gathers ~= '' then page.gathers, page.gathers_text = parsed_gathers(gathers), gathers end
    for _ = 1, take_number() do append(take()) end
    write_pack()
    -- Nothing may fail from here on: the run would be half there.
    call('PERSIST', key_of('flow:'))
    fork_jobs()
    fork_events()
    place(P .. 'runs:running:' .. flow, id, micros)
    call('SADD', P .. 'flows', flow)
    settle(last_id())
    close()
    flush()
    return { 'new', failures }
  end)
end
