-- The study's schedules come out of its rule, fed with the step times that it published.
package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local rescaling = require "golf.rescaling"
local settings = require "golf.settings"
local testing = require "gamut.testing"

-- context, architecture, ms, factor used; steps in 600 s, steps used, momentum warm-up, warm-down.
local TABLE = {
  { 8192, "baseline", 757, 0.75, 793, 1057, 190, 381 },
  { 8192, "hybrid", 899, 0.75, 667, 890, 160, 320 },
  { 16384, "baseline", 1220, 0.75, 492, 656, 118, 236 },
  { 16384, "hybrid", 1037, 1.0, 579, 579, 104, 208 }, -- its 0.75 was left out
  { 32768, "baseline", 2160, 1.0, 278, 278, 50, 100 },
  { 32768, "hybrid", 1363, 1.0, 440, 440, 79, 158 },
}

testing.test("the published table", function()
  for _, case in ipairs(TABLE) do
    local context, architecture, step_ms, factor, whole, steps, momentum, warmdown = table.unpack(case)
    testing.equal(rescaling.derive { step_ms = step_ms, seconds = 600 }.steps, whole)
    local derived = rescaling.derive { step_ms = step_ms, time_factor = factor, seconds = 600 }
    testing.equal(derived, { steps = steps, momentum_warmup = momentum, warmdown = warmdown })
    local published = rescaling.published(context, architecture)
    testing.equal({ published.step_ms, published.time_factor }, { step_ms, factor })
    testing.equal(published.schedule, derived)
    -- And it is what the runs were given.
    local run = settings.published(context, architecture)
    testing.equal({ run.momentum.warmup_steps, run.warmdown_steps }, { momentum, warmdown })
  end
end)

testing.test("the 4k times gave no schedule; 600 s at 546 ms are 1099 steps, published as 1100", function()
  testing.equal(rescaling.published(4096, "baseline").schedule.steps, 1099)
  testing.equal(rescaling.published(4096, "hybrid").schedule.steps, 759)
  testing.is_true(rescaling.published(4096, "baseline").schedule.warmdown
    ~= settings.published(4096, "baseline").warmdown_steps)
  testing.equal(rescaling.published(2048, "baseline"), nil)
end)

testing.test("the factor that was used is the ratio of the batches, wherever it was used", function()
  for _, case in ipairs(TABLE) do
    local tokens = settings.published(case[1], case[2]).train_batch_tokens
    local expected = case[1] == 16384 and 0.75 or case[4]
    testing.equal(rescaling.time_factor(tokens, 524288), expected)
  end
  -- With the factor that was forgotten the 16k hybrid would have been given:
  testing.equal(rescaling.derive { step_ms = 1037, time_factor = 0.75, seconds = 600 },
    { steps = 771, momentum_warmup = 139, warmdown = 278 })
end)

testing.test("shares are of the rounded number of steps", function()
  -- 600,000 / (757 x 0.75) = 1056.8; 0.36 of that is 380.4, of 1057 it is 380.5.
  testing.equal(rescaling.derive { step_ms = 757 * 0.75, seconds = 600 }.warmdown, 381)
end)

testing.test("iterations end a run that has no clock, or end it before the clock does", function()
  local derived = rescaling.derive { step_ms = 1.0, iterations = 60 }
  testing.equal(derived, { steps = 60, momentum_warmup = 11, warmdown = 22 })
  testing.equal(rescaling.derive { step_ms = 100, seconds = 60, iterations = 50 }.steps, 50)
  testing.equal(rescaling.derive { step_ms = 100, seconds = 60, iterations = 20000 }.steps, 600)
  testing.equal(rescaling.derive { step_ms = 1e6, seconds = 1 }.steps, 1)
  testing.raises(function() rescaling.derive { step_ms = 1 } end, "seconds, iterations or both")
  testing.raises(function() rescaling.derive { step_ms = 0.0, seconds = 1 } end, "a step takes some time")
end)

testing.test("the table says what was derived beside what was published", function()
  local text = rescaling.table {
    { context = 8192, architecture = "hybrid", step_ms = 700, time_factor = 0.75,
      schedule = rescaling.derive { step_ms = 700, time_factor = 0.75, seconds = 600 } },
    { context = 512, architecture = "baseline", step_ms = 12.34, time_factor = 1.0,
      schedule = rescaling.derive { step_ms = 12.34, iterations = 100 } },
  }
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line:gsub("%s+", " "):gsub("^ ", "") .. "" end
  testing.equal(lines[1],
    "context model ms a step factor steps momentum warm-down published: ms factor steps momentum warm-down")
  testing.equal(lines[2], "8192 hybrid 700.0 0.75 1143 206 411 899.0 0.75 890 160 320")
  testing.equal(lines[3], "512 baseline 12.3 1 100 18 36")
end)

testing.finish()
