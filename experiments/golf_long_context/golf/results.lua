-- What the cells of the study came to, beside what was published: a group for each context and model, its figures over
-- the seeds, and the difference to the published ones where there is a published counterpart.
local clock = require "gamut.study.clock"
local comparison = require "golf.comparison"
local config = require "gamut.native.config"
local published = require "golf.published"
local settings = require "golf.settings"
local statistics = require "gamut.statistics"
local system = require "gamut.native.system"

local results = {}

-- The shape of published.lua, out of the folder of a cell.
local function read_run(cell)
  local figures, record, series = cell.results or {}, cell.record or {}, cell:series()
  local function pair(prefix)
    local loss, bpb = figures[prefix .. "_loss"], figures[prefix .. "_bpb"]
    return bpb and { loss = loss, bpb = bpb } or nil
  end
  local run = {
    name = cell.name, status = cell.status, dir = cell.dir, context = cell.labels.context, seed = cell.labels.seed,
    architecture = cell.labels.architecture,
    parameters = figures.parameters or record.parameters,
    steps = figures.steps or record.steps, step_average_ms = figures.step_average_ms, pre_quant = pair "pre_quant",
    post_quant = pair "val", artifact_bytes = figures.artifact_bytes, submission_bytes = figures.submission_bytes,
    code_bytes = figures.code_bytes, eval_ms = figures.eval_ms, device = record.device,
    peak_mib = figures.peak_mib and { allocated = figures.peak_mib } or nil, error = cell.error,
  }
  if series.val_bpb then
    run.validation = {
      step = series.val_bpb.step, bpb = series.val_bpb.value, loss = series.val_loss and series.val_loss.value,
      seconds = clock(series.val_bpb.step, series.train_seconds),
    }
  end
  if series.train_loss then
    run.train = {
      step = series.train_loss.step, loss = series.train_loss.value,
      seconds = clock(series.train_loss.step, series.train_seconds),
    }
  end
  return run
end

-- What there is of a run's score: the artifact's, or, where none was written, that before quantisation.
local function score(run) return run.post_quant or run.pre_quant end

local FIGURES = {
  bpb = function(run) return score(run) and score(run).bpb end,
  loss = function(run) return score(run) and score(run).loss end,
  pre_quant_bpb = function(run) return run.pre_quant and run.pre_quant.bpb end,
  step_average_ms = function(run) return run.step_average_ms end,
  steps = function(run) return run.steps end,
  parameters = function(run) return run.parameters end,
  submission_bytes = function(run) return run.submission_bytes end,
}

local function over_seeds(runs, figure)
  local values = {}
  for _, run in ipairs(runs) do values[#values + 1] = FIGURES[figure](run) end
  return #values > 0 and statistics.summary(values) or nil, values
end

-- The published runs to stand beside: of the same context and model, and of the same size once ours is known.
local function counterpart(group)
  local runs = published.cell(group.context, group.model)
  local ours = group.runs[1] and group.runs[1].parameters
  if #runs > 0 and ours and ours ~= runs[1].parameters then return {} end
  return runs
end

-- The text's time a step, where it has one: it is what others compare with, though the logs say a little otherwise.
local function published_ms(group)
  local summary = #group.published > 0 and published.summary[group.context]
  local ms = summary and summary[group.model .. "_ms"]
  return ms and { n = #group.published, mean = ms, min = ms, max = ms }
end

local function add_figures(group)
  group.figures = {}
  for name in pairs(FIGURES) do
    local ours, values = over_seeds(group.runs, name)
    local theirs = name == "step_average_ms" and published_ms(group) or over_seeds(group.published, name)
    group.figures[name] = {
      ours = ours, published = theirs, values = values, difference = ours and theirs and ours.mean - theirs.mean,
      ratio = ours and theirs and ours.mean / theirs.mean,
    }
  end
end

local RANK = { baseline = 1, hybrid = 2, hybrid_4k = 2 }

-- By context, then baseline, hybrid and the others as they come.
local function in_order(groups)
  for i, group in ipairs(groups) do group.rank = (RANK[group.model] or 3) * 1000 + i end
  table.sort(groups, function(a, b)
    if a.context ~= b.context then return a.context < b.context end
    return a.rank < b.rank
  end)
  return groups
end

local function groups_of(cells)
  local groups, by_key = {}, {}
  for _, cell in ipairs(cells) do
    local context, model = cell.labels.context, cell.labels.architecture
    local key = ("%d %s"):format(context, model)
    local group = by_key[key]
    if not group then
      group = { context = context, model = model, cells = {}, all_runs = {}, runs = {} }
      by_key[key], groups[#groups + 1] = group, group
    end
    local run = read_run(cell)
    table.insert(group.cells, cell)
    table.insert(group.all_runs, run)
    if cell.status == "finished" then table.insert(group.runs, run) end
  end
  for _, group in ipairs(groups) do
    group.published = counterpart(group)
    add_figures(group)
  end
  return in_order(groups)
end

-- The settings of the published runs that are alike in all.
local COMMON = {
  accumulate = 8, max_seconds = 600.0, iterations = 20000, embed_lr = 0.03, matrix_lr = 0.02, scalar_lr = 0.02,
  val_batch_tokens = 524288, precision = "bfloat16",
}

-- The configuration of a group's first finished run, as plain tables; empty before there is one.
local function configuration_of(group)
  local path = group.runs[1] and group.runs[1].dir .. "/config.yaml"
  return path and system.exists(path) and config.load(path):plain() or {}
end

-- {{key =, ours =, published =}, …}: where the configuration of runs with a counterpart departs from it.
local function departures(group, given)
  local found = {}
  if #group.published == 0 then return found end
  local function expect(key, ours, theirs)
    if ours ~= nil and ours ~= theirs then found[#found + 1] = { key = key, ours = ours, published = theirs } end
  end
  for key, value in pairs(COMMON) do expect(key, given[key], value) end
  local schedule = settings.published(group.context, group.model)
  expect("train_batch_tokens", given.train_batch_tokens, schedule.train_batch_tokens)
  expect("warmdown_steps", given.warmdown_steps, schedule.warmdown_steps)
  expect("momentum.warmup_steps", (given.momentum or {}).warmup_steps, schedule.momentum.warmup_steps)
  expect("val_tokens", given.val_tokens, nil)
  table.sort(found, function(a, b) return a.key < b.key end)
  return found
end

-- What a group's runs were given as a schedule, published or derived, and the published one.
local function schedule_of(group, given)
  if not next(given) then return nil end
  local known = settings.published(group.context, group.model)
  local function values(momentum, from)
    return {
      train_batch_tokens = from.train_batch_tokens, warmdown_steps = from.warmdown_steps,
      momentum_warmup_steps = momentum and momentum.warmup_steps,
    }
  end
  local theirs = known and values(known.momentum, known) or {}
  local ours = setmetatable(values(given.momentum, given), { __index = theirs })
  return { ours = ours, published = #group.published > 0 and theirs or {}, max_seconds = given.max_seconds }
end

local function count(cells)
  local counts = { all = #cells }
  for _, cell in ipairs(cells) do counts[cell.status] = (counts[cell.status] or 0) + 1 end
  return counts
end

---@class golf.Group the cells of a context and a model
---@field context integer
---@field model string
---@field cells gamut.study.Cell[]
---@field all_runs table[] of every cell, in the shape of published.lua
---@field runs table[] of the finished ones
---@field published table[] the published runs to stand beside
---@field figures table<string, golf.Figure>

---@class golf.Figure n, mean, sd, min and max over the seeds, ours and published
---@field ours table?
---@field published table?
---@field values number[] ours, one a finished run
---@field difference number? of the means, ours minus published
---@field ratio number? of the means, ours over published

---What the cells came to.
---@param cells gamut.study.Cell[] labelled {context =, architecture =, seed =}
---@param references? string[] models that the others are compared with, by default the baseline
---@return {groups: golf.Group[], comparisons: golf.Comparison[], counts: table<string, integer>} results
function results.collect(cells, references)
  local groups = groups_of(cells)
  for _, group in ipairs(groups) do
    local given = configuration_of(group)
    group.departures, group.identity = departures(group, given), given.submission
    group.schedule = schedule_of(group, given)
  end
  return { groups = groups, comparisons = comparison.of(groups, references or { "baseline" }), counts = count(cells) }
end

return results
