-- What a run counts: its pending steps, and the jobs that its gathers wait for.

-- Arms the gathers that a job holds and no job has held before. What is only declared, by a join that stays
-- half filled, is not armed. `late` are those that the job does not hold which commits: the run is older than they.
local function arm(holds)
  for _, worker in ipairs(holds) do
    local declared, list = page.declared and page.declared[worker], page.gathers or {}
    for _, gather in ipairs(list) do
      if gather.worker == worker then declared = nil end
    end
    if declared then
      local at = #list + 1
      while at > 1 and list[at - 1].rank > declared.rank do at = at - 1 end
      table.insert(list, at, { rank = declared.rank, count = 0, fired = false, late = declared.late, worker = worker,
        more = '', spec = declared.spec })
      page.gathers, page.gathers_changed = list, true
    end
  end
end

-- The gather that this name stands for. Nil if no job has held it.
local function gather_of(worker)
  local list = page.gathers or {}
  for _ = 1, #list do
    local found
    for _, gather in ipairs(list) do
      if gather.worker == worker then found = gather end
    end
    if not found or not found.part_of then return found end
    worker = found.part_of
  end
end

-- Counts a gather up or down, unless it has fired.
local function count_gather(worker, by)
  local gather = gather_of(worker)
  if gather and not gather.fired then
    gather.count = math.max(gather.count + by, 0)
    page.gathers_changed = true
  end
end

-- Counts a job in or out: for the run, and for the gathers that it holds.
local function count(holds, by)
  run_pending = math.max(run_pending + by, 0)
  for i = 1, #holds do count_gather(holds[i], by) end
end

-- Whether the run has this key beside the others: `joins=1`, or `gathered=` and the name of a gather.
local function listed(word)
  return find(page.more .. ' ', ' ' .. word .. ' ', 1, true)
end

local function list(word)
  if not listed(word) then page.more = page.more .. ' ' .. word end
end

-- The key of the list of what a gather has got.
local function gathered_key(worker) return key_of('gather:') .. ' ' .. worker end

-- Adds to a list what is to be added to it at the end of the call.
local function push_now(key)
  for _, lists in ipairs({ pushes, page.pushes or nil }) do
    if lists[key] then many('RPUSH', key, lists[key]) end
    lists[key] = nil
  end
end

-- An event arrives at a gather. One that no job has held is armed by it.
local function gather_event(worker, id)
  local whole = gather_of(worker)
  if whole then worker = whole.worker end
  arm({ worker })
  list('gathered=' .. worker)
  page.pushes = page.pushes or {}
  local key = gathered_key(worker)
  local ids = page.pushes[key]
  if ids then ids[#ids + 1] = id else page.pushes[key] = { id } end
end

-- A job that the act makes, of which no attempt has begun. `line` is what its record says once it is leased.
local function made_job(step, spec, inputs, input, entry_number)
  return { step = step, spec = spec, inputs = inputs, input = input, write = page.write, entry = entry_number, line = false, state = false,
    fence = '1', earlier = '0', failures = '0', crashes = '0', read = '-', recorded = '0' }
end

-- Enqueues the step that `cause` makes of this job: counted now, and in its queue when the page is closed. `input` is
-- the entry that it runs on, where that is at hand; the number says which of its write it is, where the caller has it.
local function enqueue(worker, spec, cause, inputs, input, entry_number)
  local holds = spec_of(spec).holds
  if holds[1] then arm(holds) end
  count(holds, 1)
  made_count = made_count + 1
  made[made_count] = made_job(worker .. '@' .. cause, spec, inputs, input, entry_number)
end
