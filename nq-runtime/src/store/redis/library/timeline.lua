-- Timelines: each entry of the stream `flow:<run>` is a pack, whose fields `e` are entries `<type> <step|-> <attempt|-> <data>`.
-- Its id is `<ms>-<position of the last>`, and all of them have its moment. So the entry at position n of moment ms is in
-- the first pack from `ms-n` on.

-- The positions of the first and last entry of a pack, and its moment.
local function ends_of(id, fields)
  local last, ms = id_parts(id)
  last = number(last)
  return last - #fields / 2 + 1, last, ms
end

-- The text of the entry of this id; nil if there is none, or it cannot be read. The pack that was looked at last comes
-- along, for who looks for the next one.
local function entry_at(stream, id, pack_id, fields)
  local n, ms = id_parts(id)
  n = number(n)
  for look = 1, 2 do
    if fields then
      local first, last, moment = ends_of(pack_id, fields)
      if moment == ms and first <= n and n <= last then return fields[2 * (n - first) + 2], pack_id, fields end
    end
    if look == 1 then
      local found = try('XRANGE', stream, id, '+', 'COUNT', 1)
      if found.err or not found[1] then return nil, pack_id, fields end
      pack_id, fields = found[1][1], found[1][2]
    end
  end
  return nil, pack_id, fields
end

-- What a start replies whose run is there: its flow, and id and text of its first entry, if that can be found. Whoever
-- waits for replicas or a disk after this waits for a write of this connection, which `touch` asks for.
local function existing(id, flow, touch)
  if touch == '1' then call('HSET', P .. 'meta', 'touched', now) end
  local found = call('XRANGE', P .. 'flow:' .. id, '-', '+', 'COUNT', 1)[1]
  if not found then return { 'existing', flow, '', '' } end
  local first, _, ms = ends_of(found[1], found[2])
  return { 'existing', flow, ms .. '-' .. text(first), found[2][2] }
end
