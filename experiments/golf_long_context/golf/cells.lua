-- The cells of the study: runs of train.lua by context, architecture and seed, in the order of the published table.
--
--   cells.grid { contexts = { 8192 }, architectures = { "baseline", "hybrid" } }       -- the published seeds
--   cells.cell { context = 8192, seed = 1337, variant = "attention_2_6", settings = { model = { layers = {...} } } }
--
-- Both give what gamut.study.plan takes. Settings are those of config.yaml.
local architectures = require "golf.architectures"
local check = require "gamut.options"
local context = require "gamut.train.context"
local maps = require "gamut.maps"
local run_config = require "golf.run_config"
local settings = require "golf.settings"

local cells = {}

---@class golf.Grid
---@field contexts integer[]
---@field architectures string[]
---@field seeds? integer[]
---@field settings? table of every run, as of config.yaml
---@field schedules? table[] more settings for each of cells.models, such as those of probe.schedules
local GRID = {
  contexts = "table", architectures = "table", seeds = "table?", settings = "table?", schedules = "table?",
}

local SCRIPT = "train.lua"
local SEED = 1337 -- where none was published
local SECONDS = 600.0

-- What names a cell must not be set behind its back.
local function refuse_axes(given)
  for key, axis in pairs { context = "contexts", seed = "seeds" } do
    if given[key] ~= nil then
      error(("the cells of a study differ in %s: set %s instead of run.%s"):format(key, axis, key), 0)
    end
  end
  if type(given.model) == "table" and given.model.architecture ~= nil then
    error("the cells of a study differ in their architecture: set architectures instead of run.model.architecture", 0)
  end
end

-- Seconds of training, where the clock ends the run.
local function seconds_of(given)
  if given.iterations then return nil end
  local seconds = given.max_seconds or SECONDS
  return seconds > 0 and seconds or nil
end

---One run. `architecture` is published or, with `variant`, what a changed one is called; `settings` go on top of the
---axes, `script` is train.lua unless it says another.
---@param given {context: integer, seed: integer, architecture?: string, variant?: string, settings?: table,
---  script?: string}
---@return table cell
function cells.cell(given)
  check("golf.cells.cell", given, {
    context = "integer", seed = "integer", architecture = "string?", variant = "string?", settings = "table?",
    script = "string?",
  })
  refuse_axes(given.settings or {})
  local what = given.variant or given.architecture
  if not what then error("golf.cells.cell needs `architecture` or `variant`", 2) end
  local axes = { context = given.context, seed = given.seed, model = { architecture = given.architecture } }
  return {
    name = ("%s_%d_seed%d"):format(what, given.context, given.seed),
    title = ("%s, %d, seed %d"):format(what, given.context, given.seed),
    script = given.script or SCRIPT, settings = maps.merged(axes, given.settings),
    labels = { context = given.context, architecture = what, seed = given.seed },
    seconds = seconds_of(given.settings or {}),
  }
end

---The seeds that were published for a context and an architecture; the study's first where none were.
---@param context_length integer
---@param architecture string
---@return integer[]
function cells.published_seeds(context_length, architecture)
  local known = settings.published(context_length, architecture)
  return known and known.seeds or { SEED }
end

---The models of a grid, each with what its runs have in common: what probe.schedules takes.
---@param given golf.Grid
---@return {context: integer, architecture: string, settings: table}[]
function cells.models(given)
  check("golf.cells.models", given, GRID)
  refuse_axes(given.settings or {})
  local models = {}
  for _, length in ipairs(given.contexts) do
    for _, architecture in ipairs(given.architectures) do
      local shared = maps.merged({ context = length, model = { architecture = architecture } }, given.settings)
      models[#models + 1] = { context = length, architecture = architecture, settings = shared }
    end
  end
  return models
end

local function resolve(cell)
  local config = run_config(cell.settings)
  architectures.resolve(config.model)
  settings.resolve(config)
end

---Ends the process in words where train.lua would refuse one of these cells, before any of them is run.
---@param list table[] of cells.cell
---@return table[] list
function cells.checked(list)
  for _, cell in ipairs(list) do
    local ok, message = pcall(resolve, cell)
    -- Where in the code it was noticed helps nobody here.
    if not ok then context.refuse(("%s: %s"):format(cell.title, (message:gsub("^%S+%.lua:%d+: ", "")))) end
  end
  return list
end

---Contexts x architectures x seeds. No seeds, or none given: those that were published for each.
---@param given golf.Grid
---@return table[] cells
function cells.grid(given)
  local list = {}
  for i, model in ipairs(cells.models(given)) do
    local length, architecture = model.context, model.architecture
    local seeds = given.seeds and #given.seeds > 0 and given.seeds or cells.published_seeds(length, architecture)
    local shared = maps.merged(given.settings or {}, given.schedules and given.schedules[i])
    for _, seed in ipairs(seeds) do
      list[#list + 1] = cells.cell { context = length, architecture = architecture, seed = seed, settings = shared }
    end
  end
  return list
end

return cells
