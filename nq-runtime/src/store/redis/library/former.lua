-- Joins and gathers that had another name when their run began: the rules of `nq_core::ledger::former`. What they unite is
-- written at once, behind the entries of the commit.

-- The joins and gathers that the run has begun under a former name: for the name of today the former one and its spec.
-- Nil if there are none. The arguments are name, former name and spec of each that may be one.
--
-- A run may have begun one under two names: a version that had the new name and did not know the former one has
-- worked on it. Then also, for the name of a gather that becomes part of another, that one; and for the name of today
-- of a join, its other names.
local function begun(count)
  local names, parts, apart = {}, {}, {}
  for _ = 1, count do
    local worker, was, spec = take(), take(), take()
    local before = gather_of(was)
    if before then
      local whole = gather_of(names[worker] and names[worker].worker or worker)
      if not whole then
        names[worker] = { worker = before.worker, spec = spec }
      elseif whole ~= before and not whole.fired and not before.fired then
        parts[#parts + 1] = { before, whole }
      end
    elseif waiting_at(was) then
      if not names[worker] then
        names[worker] = { worker = was, spec = spec }
        apart[worker] = waiting_at(worker) and { worker } or {}
      elseif apart[worker] then
        table.insert(apart[worker], was)
      end
    end
  end
  return next(names) and names, parts, apart
end

-- Makes a gather part of another, which then waits for what holds either, and gets what either has got.
local function unite_gathers(part, whole)
  push_now(gathered_key(part.worker))
  push_now(gathered_key(whole.worker))
  if listed('gathered=' .. part.worker) then
    local seen, ids = {}, {}
    for _, worker in ipairs({ part.worker, whole.worker }) do
      for _, id in ipairs(call('LRANGE', gathered_key(worker), 0, -1)) do
        if not seen[id] then
          seen[id] = number(id_parts(id))
          ids[#ids + 1] = id
        end
      end
    end
    table.sort(ids, function(a, b) return seen[a] < seen[b] end)
    call('UNLINK', gathered_key(part.worker), gathered_key(whole.worker))
    many('RPUSH', gathered_key(whole.worker), ids)
    list('gathered=' .. whole.worker)
  end
  -- Where one of them was there from the first, whatever leads to the gather holds one of the two.
  whole.count, whole.late = whole.count + part.count, whole.late and part.late
  part.count, part.fired, part.part_of, part.spec = 0, true, whole.worker, whole.worker
  page.gathers_changed = true
end

-- What waits at a join under these names arrives under the name that the run goes on with.
local function unite_joins(others, worker, spec, sides)
  for _, other in ipairs(others) do
    local found = {}
    for i, member in ipairs(waiting_at(other, true)) do
      local side, by, n, id, key = match(member, '^%S+ (%d+) (%S+) (%d+) (%S+) (%S+)$')
      found[i] = { tonumber(side), by, tonumber(n), id, key }
      call('ZREM', key_of('join:'), member)
    end
    table.sort(found, function(a, b) return a[3] < b[3] or (a[3] == b[3] and a[1] < b[1]) end)
    for _, one in ipairs(found) do arrive(worker, spec, sides, one[1], one[2], one[4], one[5]) end
  end
end

-- A name, and the names of the gathers that a spec holds, as the run knows them.
local function name_in(names, worker)
  return names and names[worker] and names[worker].worker or worker
end
local function spec_in(names, spec)
  if not names then return spec end
  local known_spec, holds = spec_of(spec), {}
  for i, worker in ipairs(known_spec.holds) do holds[i] = name_in(names, worker) end
  return spec_holding(known_spec, holds)
end
