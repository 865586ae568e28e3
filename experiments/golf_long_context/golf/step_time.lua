-- The time of a step by the study's statistic, and the context at which two architectures take the same time.
local crossing = require "gamut.bench.crossing"
local telemetry = require "gamut.native.telemetry"

local step_time = {}

-- Steps 1 to 5 are left out: caches and clocks of the device settle.
local FIRST, LAST = 6, 10
local FEWEST = 4

---The mean time of steps 6 to 10. Of a run that was over before that, the mean of its later half, from four steps on.
---@param seconds number[] of steps 1, 2, ...
---@return {step_ms: number, first: integer, last: integer}? nil where there are too few steps
function step_time.of(seconds)
  local first, last = FIRST, math.min(LAST, #seconds)
  if last < FEWEST then return nil end
  if last < LAST then first = last // 2 + 1 end
  local total = 0.0
  for step = first, last do total = total + seconds[step] end
  return { step_ms = 1000 * total / (last - first + 1), first = first, last = last }
end

---The same of a run folder.
---@param dir string
---@param tokens_per_step integer
---@return {step_ms: number, first: integer, last: integer}? nil and why, where there are too few steps
---@return string?
function step_time.of_run(dir, tokens_per_step)
  local pace = telemetry.read_metrics(dir .. "/metrics.jsonl").series.tokens_per_second
  local seconds = {}
  for i, tokens_per_second in ipairs(pace and pace.value or {}) do
    if pace.step[i] == i then seconds[i] = tokens_per_step / tokens_per_second end
  end
  local found = step_time.of(seconds)
  if found then return found end
  return nil, ("%s: in its time it did %d steps, and %d are needed; give probes more time or smaller steps "
    .. "(probe.seconds, probe.train_batch_tokens)"):format(dir, #seconds, FEWEST)
end

---The context at which two curves of step times cross.
---@type fun(points: {context: integer, a: number, b: number}[]): number?
step_time.crossing = crossing.at

---Where two models take the same time, in words.
---@param contexts integer[]
---@param times table<string, table<integer, number>> ms by model and context
---@param a string
---@param b string
---@return string
function step_time.verdict(contexts, times, a, b)
  local points = {}
  for i, context in ipairs(contexts) do
    points[i] = { context = context, a = times[a][context], b = times[b][context] }
  end
  table.sort(points, function(one, other) return one.context < other.context end)
  local at, last = step_time.crossing(points), points[#points]
  local faster = last.a < last.b and a or b
  if at then return ("From about %.0f tokens on a step of %s is the faster one"):format(at, faster) end
  return ("A step of %s is faster from %d to %d tokens"):format(faster, points[1].context, last.context)
end

return step_time
