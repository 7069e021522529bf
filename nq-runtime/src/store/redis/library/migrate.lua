-- Makes a namespace of the format before one of this. ARGV: prefix, both formats, an epoch, by which the instances of
-- the older version see at their next tick that they must end.
writes('migrate', function()
  if call('HGET', P .. 'meta', 'version') ~= ARGV[2] then return 'nothing' end
  for _, id in ipairs(call('SMEMBERS', P .. 'outbox')) do
    if call('EXISTS', P .. 'outbox:' .. id) == 1 then call('RENAME', P .. 'outbox:' .. id, P .. 'backlog:' .. id) end
    call('SADD', P .. 'backlog', id)
  end
  call('DEL', P .. 'outbox')
  call('HSET', P .. 'meta', 'version', ARGV[3], 'epoch', ARGV[4])
  return 'done'
end)
