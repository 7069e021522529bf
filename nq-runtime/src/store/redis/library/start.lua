-- Begins a run. ARGV: prefix, run, flow, data of flow.started, worker, spec, touch, then rank, worker and spec
-- of each gather.
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
  for i = 8, #ARGV, 3 do run.declared[ARGV[i + 1]] = { rank = tonumber(ARGV[i]), spec = ARGV[i + 2] } end
  enqueue(run, ARGV[5], ARGV[6], cause, cause .. ' -', 'flow.started', data)
  set(run, 'status', 'running')
  set(run, 'flow', flow)
  set(run, 'started', micros)
  close(run)
  place(P .. 'runs:running:' .. flow, id, micros)
  call('SADD', P .. 'flows', flow)
  flush()
  return { 'new', cause }
end)
