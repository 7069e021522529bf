-- What every function stands on: how a call begins, its arguments, the time, and numbers as text.
--
-- The library lives as long as the server knows it, and one call follows another: what belongs to a call is set by
-- `begin`, so that a call makes no functions and few tables. `TYPE`, `ENDS`, `FIELD`, `STATUS`, `LIMIT` and `SAYS` are
-- made by library.rs of what Rust calls the same things.

-- What there is only while a call runs.
local call, try, match, gmatch, find, sub, format, floor, concat
-- The arguments, where the next one stands, and what the keys of the partition begin with.
local ARGV, at, P
-- The time, in milliseconds and as text, and in microseconds as text.
local now, now_text, micros
-- How many unfinished jobs a record holds as lines.
local most_lines
-- What could not be done, for the log of the caller.
local failures
-- What follows from the acts of a call and is written once at its end: where members of sorted sets end up, what is
-- added to lists, the runs that have ended, and by index those that leave it and that come to it, with their scores.
local places, pushes, ended_runs, leaving, coming
-- The queues that are known to be known.
local known
-- The turn that is taken, if one is: who takes it, until when and how it leases, and what it has leased.
local turn

-- To print or read a number takes longer than to find it.
local texts, numbers = {}, {}
for n = 0, 1999 do
  texts[n] = n .. ''
  numbers[n .. ''] = n
end
local function text(n) return texts[n] or format('%.0f', n) end
local function number(words) return numbers[words] or tonumber(words) end

local function enter(argv)
  -- They are not there yet when the library is loaded, and stay.
  if not call then
    call, try = redis.call, redis.pcall
    match, gmatch, find, sub, format = string.match, string.gmatch, string.find, string.sub, string.format
    floor, concat = math.floor, table.concat
  end
  ARGV, at, P = argv, 2, argv[1]
end

local function begin(keys, argv)
  enter(argv)
  failures, places, pushes, ended_runs, leaving, coming, known, turn = {}, {}, {}, {}, {}, {}, {}, nil
  most_lines = LIMIT.lines
  local seconds, fraction
  if keys[2] then
    -- The clock of a test, which also says how few lines are many.
    seconds, fraction, most_lines = match(keys[2], '(%d+) (%d+) (%d+)')
    most_lines = tonumber(most_lines)
  else
    local clock = call('TIME')
    seconds, fraction = clock[1], clock[2]
  end
  micros = seconds .. sub('000000' .. fraction, -6)
  now_text = sub(micros, 1, -4)
  now = tonumber(now_text)
  -- That of a test may begin at nothing.
  if keys[2] then now_text = format('%.0f', now) end
end

-- The next argument, and the next as a number.
local function take()
  at = at + 1
  return ARGV[at - 1]
end
local function take_number()
  at = at + 1
  return number(ARGV[at - 1])
end

-- Makes a function known that writes, or one that only reads and asks for no time. One that `frees` goes on where the
-- memory of the server is full: it only removes.
local function writes(name, f, frees)
  redis.register_function({ function_name = NAME .. name, flags = frees and { 'allow-oom' } or {}, callback = function(keys, argv)
    begin(keys, argv)
    local reply = f()
    -- What came with it may be large.
    ARGV = nil
    return reply
  end })
end
local function reads(name, f)
  redis.register_function({ function_name = NAME .. name, flags = { 'no-writes' }, callback = function(_, argv)
    enter(argv)
    local reply = f()
    ARGV = nil
    return reply
  end })
end

-- The moment so long after now, none later than what every store can hold; as text, since Lua shortens
-- numbers of more than 14 digits.
local function after(ms)
  return format('%.0f', math.min(now + ms, LIMIT.time_ms))
end

-- Calls a command with many arguments, in pieces that Lua can unpack.
local function many(command, key, args)
  for from = 1, #args, 1000 do
    call(command, key, unpack(args, from, math.min(from + 999, #args)))
  end
end

-- Says where a member of a sorted set ends up; false takes it out. The last word wins.
local function place(key, member, score)
  local set = places[key]
  if not set then
    set = {}
    places[key] = set
  end
  set[member] = score
end

-- Writes what follows from the acts of the call.
local function flush()
  for key, set in pairs(places) do
    local adds, gone = {}, {}
    for member, score in pairs(set) do
      if score then
        adds[#adds + 1] = score
        adds[#adds + 1] = member
      else
        gone[#gone + 1] = member
      end
    end
    many('ZADD', key, adds)
    many('ZREM', key, gone)
  end
  for key, list in pairs(leaving) do many('ZREM', key, list) end
  for key, list in pairs(coming) do many('ZADD', key, list) end
  for key, list in pairs(pushes) do many('RPUSH', key, list) end
  -- A hint to those who wait for an end: should it fail, they look for themselves.
  for from = 1, #ended_runs, 2000 do
    try('XADD', P .. 'ended', 'MAXLEN', '~', LIMIT.ended, '*', unpack(ended_runs, from, math.min(from + 1999, #ended_runs)))
  end
  places, pushes, ended_runs, leaving, coming = {}, {}, {}, {}, {}
end

local function failed(what, failure)
  failures[#failures + 1] = what .. ': ' .. (type(failure) == 'table' and failure.err or tostring(failure))
end
