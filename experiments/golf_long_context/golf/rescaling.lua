-- The study's rule for schedules: from the time of a step, how many steps a budget holds, and with that over how many
-- the momentum warms up and the rates come down. Both shares are those of the 4k record: 1500 and 3000 of 8394 steps.
local check = require "gamut.options"
local published = require "golf.published"
local text_table = require "gamut.report.text_table"

local rescaling = {}

local WARMUP_SHARE, WARMDOWN_SHARE = 0.18, 0.36

-- The factor by which the study took a step of 393,216 tokens to be shorter than its probe's of 524,288. The 16k
-- hybrid's was forgotten. The 4k times were measured, but not used for the 4k runs.
local TIME_FACTOR = {
  baseline = { [4096] = 1.0, [8192] = 0.75, [16384] = 0.75, [32768] = 1.0 },
  hybrid = { [4096] = 1.0, [8192] = 0.75, [16384] = 1.0, [32768] = 1.0 },
}

local function rounded(value) return math.floor(value + 0.5) end

---@class golf.Schedule
---@field steps integer that the budget holds: S
---@field momentum_warmup integer 0.18 S
---@field warmdown integer 0.36 S

---Each is rounded to the nearest, and the shares are taken of the rounded S: 757 ms x 0.75 give 1057 steps, 190 and
---381, where the unrounded 1056.8 would give 380.
---@param measured {step_ms: number, time_factor?: number, seconds?: number, iterations?: integer, warmdown?: number}
---  time_factor: time of a step of the run by that of the probe, default 1; seconds: the budget, 0 or nil without;
---  iterations: an end too; warmdown: another share of the steps
---@return golf.Schedule
function rescaling.derive(measured)
  check("rescaling.derive", measured,
    { step_ms = "number", time_factor = "number?", seconds = "number?", iterations = "integer?", warmdown = "number?" })
  local factor, seconds = measured.time_factor or 1.0, measured.seconds or 0
  if not (measured.step_ms > 0 and factor > 0) then
    error(("a step takes some time: step_ms is %s and time_factor %s"):format(measured.step_ms, factor), 2)
  end
  local steps = seconds > 0 and rounded(1000 * seconds / (measured.step_ms * factor)) or measured.iterations
  if not steps then error("a schedule is derived for an end: seconds, iterations or both", 2) end
  steps = math.max(1, math.min(steps, measured.iterations or steps))
  local warmdown = rounded((measured.warmdown or WARMDOWN_SHARE) * steps)
  return { steps = steps, momentum_warmup = rounded(WARMUP_SHARE * steps), warmdown = warmdown }
end

---What the study measured for a context and an architecture, and the schedule that it derived for 600 s; nil where
---it measured nothing.
---@param context integer
---@param architecture string
---@return {step_ms: number, time_factor: number, schedule: golf.Schedule}?
function rescaling.published(context, architecture)
  local step_ms = (published.probe_ms[context] or {})[architecture]
  if not step_ms then return nil end
  local factor = TIME_FACTOR[architecture][context]
  local schedule = rescaling.derive { step_ms = step_ms, time_factor = factor, seconds = 600 }
  return { step_ms = step_ms, time_factor = factor, schedule = schedule }
end

---The factor for runs whose steps have other numbers of tokens than the probe's: a step of fewer is taken to be shorter
---in proportion.
---@param train_batch_tokens integer
---@param probe_batch_tokens integer
---@return number
function rescaling.time_factor(train_batch_tokens, probe_batch_tokens)
  return train_batch_tokens / probe_batch_tokens
end

local OURS = { "context", "model", "ms a step", "factor", "steps", "momentum", "warm-down" }
local THEIRS = { "published: ms", "factor", "steps", "momentum", "warm-down" }

local function written(step_ms, factor, schedule, row)
  row[#row + 1] = ("%.1f"):format(step_ms)
  row[#row + 1] = ("%.3g"):format(factor)
  for _, name in ipairs { "steps", "momentum_warmup", "warmdown" } do row[#row + 1] = tostring(schedule[name]) end
  return row
end

---@class golf.DerivedSchedule
---@field context integer
---@field architecture string
---@field step_ms number
---@field time_factor number
---@field schedule golf.Schedule

---The derived schedules beside the study's own, as text.
---@param entries golf.DerivedSchedule[]
---@return string
function rescaling.table(entries)
  local rows, any_published = { table.move(OURS, 1, #OURS, 1, {}) }, false
  for i, entry in ipairs(entries) do
    local row = { tostring(entry.context), entry.architecture }
    rows[i + 1] = written(entry.step_ms, entry.time_factor, entry.schedule, row)
    local theirs = rescaling.published(entry.context, entry.architecture)
    if theirs then
      written(theirs.step_ms, theirs.time_factor, theirs.schedule, row)
      any_published = true
    end
  end
  if any_published then table.move(THEIRS, 1, #THEIRS, #OURS + 1, rows[1]) end
  local right = {}
  for column = 1, #rows[1] do right[column] = column ~= 2 end
  return table.concat(text_table(rows, { right = right }), "\n")
end

return rescaling
