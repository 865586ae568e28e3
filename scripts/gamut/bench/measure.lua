-- Times of a call: warm-up, then calls in series between marks of the clock, summed up as median and quartiles.
--
-- Calls rotate among sets of inputs that together exceed the caches, so that each finds its own in memory, as a layer
-- of a model does. On a GPU a series begins with copies that keep it busy while the host queues the calls: what is
-- measured is the device, and what the host takes to queue a call is told beside it.
local gamut = require "gamut"
local system = require "gamut.native.system"

local measure = {}

local WARM_UP_CALLS, WARM_UP_SECONDS = 2, 0.02
local FEWEST, MOST = 5, 200
local SERIES = 10 -- calls queued at once; a device's queue holds about a thousand launches

---@class gamut.bench.Figure milliseconds
---@field median number
---@field low number the first quartile
---@field high number the third
---@field min number
---@field calls integer

---@param values number[]
---@return gamut.bench.Figure
function measure.summary(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local function quantile(share) -- linear between neighbours
    local at = 1 + share * (#sorted - 1)
    local below = math.floor(at)
    local above = math.min(below + 1, #sorted)
    return sorted[below] + (at - below) * (sorted[above] - sorted[below])
  end
  return { median = quantile(0.5), low = quantile(0.25), high = quantile(0.75), min = sorted[1], calls = #sorted }
end

-- Keeps the device busy for about so many milliseconds.
local function head_start(clock, ms)
  if not clock.is_cuda or ms <= 0 then return end
  clock.busy = clock.busy or gamut.keep(gamut.zeros({ 1 << 29 }, { dtype = "uint8", device = clock.device }))
  -- 512 MiB are read and written in some 0.12 ms on the fastest memory there is.
  for _ = 1, math.min(math.ceil(ms / 0.12), 500) do gamut.scope(function() clock.busy:clone() end) end
end

-- Calls `call(i)` until it is warm. Returns milliseconds of a call, and those that the host took to queue it.
local function warm_up(clock, call)
  local began, calls, queued = system.monotonic(), 0, math.huge
  repeat
    calls = calls + 1
    clock.wait()
    local at = system.monotonic()
    call(calls)
    queued = math.min(queued, 1e3 * (system.monotonic() - at))
    clock.wait()
  until calls >= WARM_UP_CALLS and system.monotonic() - began >= WARM_UP_SECONDS
  local from = system.monotonic()
  call(calls + 1)
  clock.wait()
  return 1e3 * (system.monotonic() - from), queued
end

-- Adds up what lies between neighbouring marks by part, in milliseconds; `part[i]` is that of the i-th stretch.
local function parts_of(clock, marks)
  local sums = {}
  for i = 1, #marks - 1 do
    local part = marks.part and marks.part[i] or i
    sums[part] = (sums[part] or 0.0) + clock.ms(marks[i], marks[i + 1])
  end
  return sums
end

---Times the parts of a call. `call(i)` runs it on the i-th set of inputs and returns the marks between its parts:
---the first before it, the last after it. With a field `part`, a list, stretches between marks are added up by it.
---@param clock gamut.bench.Clock
---@param call fun(i: integer): any[]
---@param options {seconds: number, repeats: integer, alone?: boolean} seconds to spend; repeats: calls that count, 0
---  for as many as fit; alone: one call at a time and no head start, as a loop that looks at each result
---@return gamut.bench.Figure[] parts
---@return gamut.bench.Figure whole
---@return number host milliseconds that the host takes to queue a call
function measure.parts(clock, call, options)
  local once, queued = warm_up(clock, call)
  local calls = options.repeats
  if calls == 0 then calls = math.max(FEWEST, math.min(MOST, math.floor(1e3 * options.seconds / once))) end
  local marks = {}
  while #marks < calls do
    local count = math.min(options.alone and 1 or SERIES, calls - #marks)
    if not options.alone then head_start(clock, queued * (count + 1)) end
    for _ = 1, count do marks[#marks + 1] = call(#marks + 1) end
    clock.wait()
  end
  local parts, whole = {}, {}
  for i, series in ipairs(marks) do
    for part, ms in ipairs(parts_of(clock, series)) do
      parts[part] = parts[part] or {}
      parts[part][i] = ms
    end
    whole[i] = clock.ms(series[1], series[#series])
  end
  for part, values in ipairs(parts) do parts[part] = measure.summary(values) end
  return parts, measure.summary(whole), queued
end

---Times a call as a whole.
---@param clock gamut.bench.Clock
---@param call fun(i: integer)
---@param options {seconds: number, repeats: integer}
---@return gamut.bench.Figure
---@return number host
function measure.whole(clock, call, options)
  local _, figure, host = measure.parts(clock, function(i)
    local began = clock.mark()
    gamut.scope(function() call(i) end)
    return { began, clock.mark() }
  end, options)
  return figure, host
end

return measure
