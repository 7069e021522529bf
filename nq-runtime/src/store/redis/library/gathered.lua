-- The events that a gather has got. ARGV: prefix, run, worker, upto, from, most, most bytes, the id of an entry that
-- the reader has seen or nothing. Replies `ok` and id, type, step, attempt and data of each; or `lost` and the last id,
-- if that entry is not there.
reads('gathered', function(ARGV)
  local P, id = ARGV[1], ARGV[2]
  local h = call('HMGET', P .. 'run:' .. id, 'status', 'ms', 'n')
  if not h[1] then return false end
  local seen = ARGV[8]
  if seen ~= '' and not call('XRANGE', P .. 'flow:' .. id, seen, seen)[1] then
    return { 'lost', (h[2] or '0') .. '-' .. (h[3] or '0') }
  end
  local upto, from, most, bytes = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), 0
  local reply = { 'ok' }
  if most <= 0 then return reply end
  for _, at in ipairs(call('LRANGE', P .. 'gather:' .. id .. ' ' .. ARGV[3], ARGV[5], from + most - 1)) do
    if tonumber(string.match(at, '-(%d+)')) > upto then break end
    local entry = call('XRANGE', P .. 'flow:' .. id, at, at)[1]
    -- One that is missing is without type and data.
    local f = entry and entry[2] or {}
    bytes = bytes + #(f[8] or '')
    if bytes > tonumber(ARGV[7]) and #reply > 1 then break end
    for _, value in ipairs({ at, f[2] or '', f[4] or '', f[6] or '', f[8] or '' }) do reply[#reply + 1] = value end
  end
  return reply
end)
