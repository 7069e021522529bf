-- Begins a run. Arguments: run, flow, `flow.started` as its timeline has it, worker, spec, touch, how long a given lease lasts
-- at most, then rank, worker and spec of each gather. Replies `new` and the id of the first entry, or what `existing` says.

-- Gives the job to an instance that has offered to take one, if there is one: leased by the same act, in the inbox of
-- the instance. What does not arrive there comes with its next turn, or goes back when the lease has run out. Returns what
-- is to be done when the run is there.
local function give_away(job, input, most_ms)
  local queue = spec_of(job.spec).queue
  local instance, offer, lease_ms, started = take_offer(run_id, job.step, queue)
  if not instance then return nil end
  local deadline, bucket, read = after(math.min(lease_ms, most_ms)), 'g' .. offer, text(run_n)
  job.line = 'g 1 0 0 0 ' .. read .. ' 0 ' .. deadline .. ' ' .. instance .. '#' .. bucket .. '\t' .. job.spec .. '\t' .. job.inputs
  job.read = read
  append(entry(TYPE.StepStarted, job.step, '1', started))
  return function()
    local reply = { offer }
    view(reply, job, '0-0', input)
    try('RPUSH', P .. 'given:' .. instance, concat(reply, '\n'))
    set_bucket(instance, bucket, deadline, { run_id .. ' ' .. job.step .. ' 1 -' }, 1)
  end
end

writes('start', function()
  local id, flow, started, worker, spec, touch, most_ms = take(), take(), take(), take(), take(), take(), take_number()
  if open(id) then return existing(id, run_flow, touch) end
  new_page(id, now_text, 0, 0, 'r', flow, ' ' .. micros)
  append(started)
  local cause = last_id()
  while at <= #ARGV do
    page.declared = page.declared or {}
    local rank, gather = take_number(), take()
    page.declared[gather] = { rank = rank, spec = take() }
  end
  enqueue(worker, spec, cause, cause .. ' -', started)
  local hand_over
  -- A large input is not written twice: it stays where the turn reads it.
  if most_ms > 0 and #started <= LIMIT.given_bytes then hand_over = give_away(made[1], started, most_ms) end
  close()
  call('ZADD', P .. 'runs:running:' .. flow, micros, id)
  call('SADD', P .. 'flows', flow)
  if hand_over then hand_over() end
  return { 'new', cause, failures }
end)
