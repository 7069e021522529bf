-- Pauses or resumes a queue. ARGV: prefix, queue, 1 to pause it. Who waits for its tickets hears of a resumption
-- from the stream `resumed`.
writes('pause', function()
  know(ARGV[2])
  if ARGV[3] == '1' then
    call('SADD', P .. 'paused', ARGV[2])
    call('DEL', P .. 'offers:' .. ARGV[2])
  elseif call('SREM', P .. 'paused', ARGV[2]) == 1 then
    call('XADD', P .. 'resumed', 'MAXLEN', '~', 100, '*', 'q', ARGV[2])
  end
  return 1
end)
