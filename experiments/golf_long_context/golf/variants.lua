-- A study of changed models: contexts x variants x seeds as one plan, with the schedules that were published for the
-- model they are changes of, or with schedules probed here. The author's next experiments are made of it.
local gamut = require "gamut"
local architectures = require "golf.architectures"
local cells = require "golf.cells"
local comparison = require "golf.comparison"
local maps = require "gamut.maps"
local page = require "golf.page"
local probe = require "golf.probe"
local published = require "golf.settings".published
local results = require "golf.results"
local text = require "golf.text"
local study = gamut.study

local variants = {}

---@class golf.Variant
---@field name string part of its folder's name
---@field like string the published architecture whose schedule it gets
---@field architecture? string where it is that architecture itself
---@field model? table settings of the section `model`

---A hybrid of nine layers with attention at some of them, from 0, and GDN at the others, by a budget of parameters.
---@param places integer[] such as {3, 7}
---@param budget integer? the width with the nearest count is taken; nil: that of the published hybrid
---@return golf.Variant
function variants.hybrid(places, budget)
  return {
    name = "attention_" .. table.concat(places, "_"), like = "hybrid",
    model = {
      layers = architectures.layers(places), parameters = budget,
      d_model = not budget and architectures.published.hybrid.d_model or nil,
    },
  }
end

---What all runs of a study share: its data and the section `run`.
function variants.shared_settings(config)
  return maps.merged(text.named(config), config.run)
end

-- Settings of a variant at a context: what was published for the model that it is like, below what `run` says. A
-- published model is left to train.lua, so that runs of study.lua in the same folder count.
local function settings_of(config, context, variant)
  local known, base = not variant.architecture and published(context, variant.like), { model = variant.model }
  if known then
    base.train_batch_tokens = known.train_batch_tokens
    if config.schedule == "published" then base.momentum, base.warmdown_steps = known.momentum, known.warmdown_steps end
  end
  return maps.merged(base, variants.shared_settings(config))
end

local function runs_of(config, list)
  local runs = {}
  for _, context in ipairs(config.contexts) do
    for _, variant in ipairs(list) do
      runs[#runs + 1] = { context = context, variant = variant, settings = settings_of(config, context, variant) }
    end
  end
  return runs
end

-- Adds to the settings of each run the schedule for this machine.
local function probe_schedules(config, runs)
  local asked = {}
  for i, run in ipairs(runs) do
    local settings = maps.merged(run.settings, { model = { architecture = run.variant.architecture } })
    asked[i] = { context = run.context, architecture = run.variant.name, settings = settings }
  end
  local schedules = probe.schedules { folder = study.folder(), runs = asked, options = config.probe }
  for i, schedule in ipairs(schedules) do runs[i].settings = maps.merged(runs[i].settings, schedule) end
end

local function cells_of(config, runs)
  local list = {}
  for _, run in ipairs(runs) do
    for _, seed in ipairs(config.seeds) do
      list[#list + 1] = cells.cell {
        context = run.context, seed = seed, variant = run.variant.name, architecture = run.variant.architecture,
        settings = run.settings,
      }
    end
  end
  return list
end

---The cells of contexts x variants x seeds.
---@param config {contexts: integer[], seeds: integer[], schedule: "published"|"probe", probe: table, data: string,
---  tokenizer: string, run: table}
---@param list golf.Variant[]
---@return table[]
function variants.cells(config, list)
  if config.schedule ~= "published" and config.schedule ~= "probe" then
    error(("schedule is `published` or `probe`, not %s"):format(tostring(config.schedule)), 0)
  end
  local runs = runs_of(config, list)
  if config.schedule == "probe" then probe_schedules(config, runs) end
  return cells_of(config, runs)
end

---Runs what is not done, rewriting the page of the study after every run, says how each variant differs from the first
---one, and ends the process.
---@param config table as for `cells`
---@param list golf.Variant[]
---@param title string of the page
function variants.run(config, list, title)
  local plan = study.plan { cells = variants.cells(config, list) }
  local found, references = nil, { list[1].name }
  plan:run { after = function() found = page.write(plan.folder, plan:all_cells(), title, references) end }
  if not plan.dry_run then
    print("\n" .. page.text(found))
    comparison.report(plan.folder, results.collect(plan:cells(), references).comparisons)
  end
  plan:finish()
end

return variants
