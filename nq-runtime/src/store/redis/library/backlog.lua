-- Jobs that a commit or the start of a rerun with too many of them has left for later, in pages: in the list
-- `backlog:<run>` a line `<worker>⇥<spec>⇥<entry> <key>` each, whose entries are counted from the last `#<ms> <n>`; or of a
-- rerun `+<step>⇥<earlier> <read> <recorded>⇥<spec>⇥<inputs>`.

-- Enqueues so many jobs of the open run. Returns how many it did, and whether there are more.
local function enqueue_page(most)
  local key, moved, head, ms, n = key_of('backlog:'), 0, nil, nil, nil
  local lines = call('LPOP', key, most + 1)
  if not lines then return 0, false end
  for _, line in ipairs(lines) do
    local new_ms, new_n = match(line, '^#(%d+) (%d+)$')
    local step, earlier, read, recorded, again, inputs = match(line, '^%+([^\t]*)\t(%d+) (%S+) (%d+)\t([^\t]*)\t(.*)$')
    if new_ms then
      head, ms, n = line, new_ms, new_n
    elseif step then
      put({ step = step, state = 'q', was = false, fence = '0', earlier = earlier, failures = '0', crashes = '0',
        read = read, recorded = recorded, at = '0', who = '-', more = '', spec = again, inputs = inputs })
      moved = moved + 1
    else
      local worker, spec, at, key = match(line, '^([^\t]*)\t([^\t]*)\t(%d+) (.*)$')
      local cause = ms .. '-' .. add(n, at)
      made_count = made_count + 1
      made[made_count] = made_job(worker .. '@' .. cause, spec, cause .. ' ' .. key, input_at(cause))
      moved = moved + 1
    end
  end
  close()
  if call('EXISTS', key) == 0 then return moved, false end
  if head then call('LPUSH', key, head) end
  return moved, true
end

-- Enqueues about so many jobs of all runs. Returns how many it did.
local function backlog(most)
  local moved = 0
  while moved < most do
    local id = call('SRANDMEMBER', P .. 'backlog')
    if not id then return moved end
    local some, more = 0, false
    if open_sound(id) and run_status == 'r' then some, more = enqueue_page(most - moved) end
    moved = moved + some
    if not more then
      call('SREM', P .. 'backlog', id)
      call('UNLINK', P .. 'backlog:' .. id)
    end
  end
  return moved
end
