-- Learning-rate schedules: functions of the run that give a multiplier of each group's own rate.
--
-- A schedule reads `run.step` (0-based count of finished updates), `run.total_steps` and
-- `run.elapsed` (seconds of training, evaluation and checkpoints excluded), so it needs no state.

local check = require "gamut.options"
local strict = require "gamut.strict"

local schedule = strict("train.schedule", {})

local function linear_warmup(step, warmup_steps)
  if warmup_steps <= 0 then return 1.0 end
  return math.min(1.0, (step + 1) / warmup_steps)
end

local function horizon(run, total_steps)
  local steps = total_steps or run.total_steps
  if not steps then
    error("this schedule needs the number of steps: give train.start `steps` or the schedule `total_steps`", 3)
  end
  return steps
end

-- 1 throughout, after an optional linear warm-up.
---@param options? {warmup_steps?: integer}
function schedule.constant(options)
  local warmup = check("schedule.constant", options, {warmup_steps = "number?"}).warmup_steps or 0
  return function(run) return linear_warmup(run.step, warmup) end
end

-- Linear warm-up, then half a cosine down to `final` at the last step.
---@param options? {warmup_steps?: integer, final?: number, total_steps?: integer}
function schedule.cosine(options)
  options = check("schedule.cosine", options, {warmup_steps = "number?", final = "number?", total_steps = "number?"})
  local warmup, final = options.warmup_steps or 0, options.final or 0.0
  return function(run)
    local total = horizon(run, options.total_steps)
    if run.step < warmup then return linear_warmup(run.step, warmup) end
    local progress = math.min(1.0, (run.step - warmup) / math.max(1, total - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
  end
end

-- Linear warm-up, constant, then linear down to `final` over the last `warmdown_steps`.
---@param options {warmup_steps?: integer, warmdown_steps: integer, final?: number, total_steps?: integer}
function schedule.linear_warmdown(options)
  check("schedule.linear_warmdown", options, {
    warmup_steps = "number?", warmdown_steps = "number", final = "number?", total_steps = "number?",
  })
  local warmup, final = options.warmup_steps or 0, options.final or 0.0
  return function(run)
    local left = horizon(run, options.total_steps) - run.step
    local down = math.max(0.0, math.min(1.0, left / math.max(1, options.warmdown_steps)))
    return math.min(linear_warmup(run.step, warmup), final + (1 - final) * down)
  end
end

-- The wall-clock warm-down of the Parameter Golf runs: constant until the time left is what
-- `warmdown_steps` steps take at the average pace so far, then linear to 0 at the budget's end.
---@param options {warmdown_steps: integer, warmup_steps?: integer, seconds?: number}
function schedule.wall_clock_warmdown(options)
  check("schedule.wall_clock_warmdown", options, {
    warmup_steps = "number?", warmdown_steps = "number", seconds = "number?",
  })
  local warmup = options.warmup_steps or 0
  return function(run)
    local budget = options.seconds or run.budget_seconds
    if not budget then
      error("wall_clock_warmdown needs a time budget: give train.start `seconds` or the schedule `seconds`", 2)
    end
    local window = options.warmdown_steps * run.elapsed / math.max(1, run.step)
    local left = math.max(0.0, budget - run.elapsed)
    local down = left <= window and left / math.max(window, 1e-9) or 1.0
    return math.min(linear_warmup(run.step, warmup), down)
  end
end

return schedule
