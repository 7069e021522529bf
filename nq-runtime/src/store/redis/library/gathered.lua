-- The events that a gather has got. ARGV: prefix, run, worker, upto, from, most, most bytes. Replies id, type,
-- step, attempt and data of each.
reads('gathered', function(ARGV)
  local P, id = ARGV[1], ARGV[2]
  if call('EXISTS', P .. 'run:' .. id) == 0 then return false end
  local upto, from, most, bytes = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), 0
  local reply = {}
  if most <= 0 then return reply end
  for _, at in ipairs(call('LRANGE', P .. 'gather:' .. id .. ' ' .. ARGV[3], ARGV[5], from + most - 1)) do
    if tonumber(string.match(at, '-(%d+)')) > upto then break end
    local entry = call('XRANGE', P .. 'flow:' .. id, at, at)[1]
    -- One that is missing is without type and data.
    local f = entry and entry[2] or {}
    bytes = bytes + #(f[8] or '')
    if bytes > tonumber(ARGV[7]) and #reply > 0 then break end
    for _, value in ipairs({ at, f[2] or '', f[4] or '', f[6] or '', f[8] or '' }) do reply[#reply + 1] = value end
  end
  return reply
end)
