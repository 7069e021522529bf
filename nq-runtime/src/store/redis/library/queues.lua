-- Queues: the tickets of their jobs, and the indexes of those that wait for a time or are dead.

-- A queue is known from its first ticket on. The group `mark` is made with the stream: a stream without it is
-- not the one that the tickets went to, and the tick looks for the jobs that it has lost.
local function know(queue)
  if known[queue] then return end
  known[queue] = true
  if call('SADD', P .. 'queues', queue) == 1 then
    try('XGROUP', 'CREATE', P .. 'queue:' .. queue, 'mark', '0', 'MKSTREAM')
  end
end

-- Adds a ticket to a queue. False where the stream is not there.
local function add_ticket(key, id, run, step, input)
  if input then return try('XADD', key, 'NOMKSTREAM', id, 'r', run, 's', step, 'e', input) end
  return try('XADD', key, 'NOMKSTREAM', id, 'r', run, 's', step)
end

-- Puts a ticket at the end of a queue, and returns its id, which begins with the time in microseconds: by that the
-- queues of two partitions can be merged. A small input goes with it, so that the lease need not look it up.
local function ticket(queue, run, step, input)
  local key = P .. 'queue:' .. queue
  if input and #input > LIMIT.ticket_bytes then input = nil end
  local id = add_ticket(key, micros .. '-*', run, step, input)
  if not id then
    know(queue)
    id = add_ticket(key, micros .. '-*', run, step, input)
    -- It was deleted. Without the group, the tick sees that.
    if not id then id = try('XADD', key, micros .. '-*', 'r', run, 's', step) end
  end
  -- The clock went back: the id goes on from the last one.
  if type(id) == 'table' then id = add_ticket(key, '*', run, step, input) end
  if type(id) == 'table' then
    -- Something else is in its place. The tick finds the job when that is gone.
    failed('queue ' .. queue, id)
    id = '0-0'
  end
  -- What comes to the queue after this, comes behind it.
  if turn and turn.open[queue] then turn.open[queue] = nil end
  return id
end

-- The index of a queue that holds the jobs of this state; nil for queued ones, which have tickets, and for leased ones,
-- which are in the bucket of a lane.
local INDEX = { d = 'delayed:', x = 'dead:' }
local function index(state, queue)
  local name = INDEX[state]
  return name and P .. name .. queue
end
