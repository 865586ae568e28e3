-- The time of a step of both models from 4k to 32k, beside the study's probes, and the context at which they cross.
-- `gamut run experiments/golf_long_context/step_times.lua`; step_times.yaml lists what can be set.
local gamut = require "gamut"
local maps = require "gamut.maps"
local probe = require "golf.probe"
local rescaling = require "golf.rescaling"
local step_time = require "golf.step_time"
local text_table = require "gamut.report.text_table"
local variants = require "golf.variants"

local config = gamut.train.config "step_times.yaml":plain()

local runs = {}
for _, context in ipairs(config.contexts) do
  for _, architecture in ipairs(config.architectures) do
    local settings = maps.merged(variants.shared_settings(config), { model = { architecture = architecture } })
    runs[#runs + 1] = { context = context, architecture = architecture, settings = settings }
  end
end
local measured = probe.measure { folder = gamut.study.folder(), runs = runs, options = config.probe }

local rows = { { "context", "model", "ms a step", "tokens a second", "published ms" } }
local times = {}
for _, entry in ipairs(measured) do
  local published = rescaling.published(entry.context, entry.architecture)
  rows[#rows + 1] = {
    tostring(entry.context), entry.architecture, ("%.1f"):format(entry.step_ms),
    ("%.0f"):format(1000 * entry.tokens_per_step / entry.step_ms), published and tostring(published.step_ms) or "-",
  }
  times[entry.architecture] = times[entry.architecture] or {}
  times[entry.architecture][entry.context] = entry.step_ms
end
print ""
for _, line in ipairs(text_table(rows, { right = { true, false, true, true, true } })) do print(line) end
for i = 2, #config.architectures do
  print(step_time.verdict(config.contexts, times, config.architectures[1], config.architectures[i]))
end
