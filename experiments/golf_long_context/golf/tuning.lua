-- A sweep of one setting after the other: tokens a step, then learning rates, then warm-down. Each stage starts from
-- the best of those before; what is to replace the setting in hand must beat it by more than a margin, so that the
-- published one stays where the seeds' spread decides.
local gamut = require "gamut"
local cells = require "golf.cells"
local format = require "gamut.report.format"
local maps = require "gamut.maps"
local probe = require "golf.probe"
local rescaling = require "golf.rescaling"
local published = require "golf.settings".published
local run_config = require "golf.run_config"

local tuning = {}

---@class golf.Point
---@field tokens integer a step
---@field rate number factor on the three learning rates
---@field warmdown number share of the steps that the budget holds

---Where the sweep starts: the published batch, or the first that is tried where that is not among them, at the study's
---rates and by its rule.
---@param config table context, architecture, tokens
---@return golf.Point
function tuning.start(config)
  local known, tokens = published(config.context, config.architecture), config.tokens[1]
  for _, tried in ipairs(config.tokens) do
    if known and known.train_batch_tokens == tried then tokens = tried end
  end
  return { tokens = tokens, rate = 1.0, warmdown = 0.36 }
end

local STAGES = { "tokens", "rate", "warmdown" }

---`point` with other values on one axis, the point itself first.
---@param point golf.Point
---@param axis "tokens"|"rate"|"warmdown"
---@param values number[]
---@return golf.Point[]
function tuning.candidates(point, axis, values)
  local list = { point }
  for _, value in ipairs(values) do
    if value ~= point[axis] then
      list[#list + 1] = { tokens = point.tokens, rate = point.rate, warmdown = point.warmdown, [axis] = value }
    end
  end
  return list
end

---The candidate with the lowest score, if it is more than `margin` below the first; else the first. A candidate without
---a score is out, and so is a first one where another has a score.
---@param scored {point: golf.Point, score: number?}[] the incumbent first
---@param margin number
---@return golf.Point? nil where none has a score
function tuning.select(scored, margin)
  local best
  for _, one in ipairs(scored) do
    if one.score and (not best or one.score < best.score) then best = one end
  end
  local first = scored[1]
  if best and first.score and first.score - best.score <= margin then best = first end
  return best and best.point
end

-- Micro-batches that divide a step of so many tokens into whole sequences.
local function divisors(tokens, counts, context)
  local fitting = {}
  for _, count in ipairs(counts) do
    if tokens % (count * context) == 0 then fitting[#fitting + 1] = count end
  end
  return fitting
end

---Probes every number of tokens a step with every number of micro-batches. Fewer, larger micro-batches fill the kernels
---better and take more memory; those that fail are out.
---@param config table context, architecture, tokens, accumulate, probe
---@param settings table of every run
---@return table<integer, {accumulate: integer, step_ms: number}> the fastest for each number of tokens
function tuning.batches(config, settings, folder)
  local runs = {}
  for _, tokens in ipairs(config.tokens) do
    for _, accumulate in ipairs(divisors(tokens, config.accumulate, config.context)) do
      runs[#runs + 1] = {
        context = config.context, architecture = ("%s_%d_tokens_in_%d"):format(config.architecture, tokens, accumulate),
        settings = maps.merged(settings, { model = { architecture = config.architecture } }),
        tokens = tokens, accumulate = accumulate,
      }
    end
  end
  local entries, fastest = probe.measure { folder = folder, runs = runs, options = config.probe, may_fail = true }, {}
  for i, run in ipairs(runs) do
    local entry, before = entries[i], fastest[run.tokens]
    if entry and (not before or entry.step_ms < before.step_ms) then
      fastest[run.tokens] = { accumulate = run.accumulate, step_ms = entry.step_ms }
    end
  end
  return fastest
end

---Settings of train.lua at a point.
---@param point golf.Point
---@param batch {accumulate: integer, step_ms: number}
---@param settings table of every run
---@return table
function tuning.settings(point, batch, settings)
  local plain = run_config(settings)
  local derived = rescaling.derive {
    step_ms = batch.step_ms, seconds = plain.max_seconds, iterations = plain.iterations, warmdown = point.warmdown,
  }
  return maps.merged(settings, {
    train_batch_tokens = point.tokens, accumulate = batch.accumulate, embed_lr = plain.embed_lr * point.rate,
    matrix_lr = plain.matrix_lr * point.rate, scalar_lr = plain.scalar_lr * point.rate,
    -- Shared by the micro-batches: validation goes by the same batches as before.
    val_batch_tokens = plain.val_batch_tokens * batch.accumulate // plain.accumulate,
    momentum = { warmup_steps = derived.momentum_warmup }, warmdown_steps = derived.warmdown,
  })
end

---What runs at a point are called.
---@param point golf.Point
---@return string
function tuning.name(point)
  return ("%d_tokens_rate_%.3g_warmdown_%.3g"):format(point.tokens, point.rate, point.warmdown)
end

---The cell of a point and a seed.
---@param config table context, architecture
---@return table
function tuning.cell(config, point, batch, settings, seed)
  return cells.cell {
    context = config.context, seed = seed, architecture = config.architecture,
    variant = config.architecture .. "_" .. tuning.name(point), settings = tuning.settings(point, batch, settings),
  }
end

-- The scores of a stage. One that another process still works at must be known before anything is chosen.
local function scores_of(plan, points)
  local scored, is_running = {}, false
  for i, cell in ipairs(plan:cells()) do
    local score = cell.status == "finished" and cell:figure "val_bpb" or nil
    scored[i], is_running = { point = points[i], score = score }, is_running or cell.status == "running"
    print(("  %-48s %s"):format(tuning.name(points[i]), score and ("%.4f"):format(score) or cell.status))
  end
  if is_running then
    print "The stage is decided when all of its runs are done; the same command goes on then."
    plan:finish()
  end
  return scored
end

-- Runs the candidates of one stage and gives the point that goes on.
local function stage(self, axis)
  local points, made = {}, {}
  for _, point in ipairs(tuning.candidates(self.point, axis, self.config[axis])) do
    local batch = self.batches[point.tokens]
    if batch then
      points[#points + 1] = point
      made[#made + 1] = tuning.cell(self.config, point, batch, self.settings, self.config.seed)
    end
  end
  local plan = gamut.study.plan { cells = made }
  plan:run { after = self.after }
  if plan.dry_run then plan:finish() end
  local best = tuning.select(scores_of(plan, points), self.config.margin)
  if not best then plan:finish() end
  print(("%s: going on with %s"):format(format.title(axis), tuning.name(best)))
  return best
end

local function state_plan(self)
  local config = self.config
  print(("Probes of %d batches in up to %d splits each, then stages from %s: %d settings of tokens, %d of rate, %d of "
    .. "warmdown. Another setting has to be more than %g bits per byte better."):format(#config.tokens,
    #config.accumulate, tuning.name(self.point), #config.tokens, #config.rate, #config.warmdown, config.margin))
end

---Probes, then all stages; every run is a cell of the study that is being run, so the same command goes on where it
---was cut off. Ends the process with --dry-run, or where a stage has no result.
---@param config table context, architecture, seed, tokens, accumulate, rate, warmdown, margin, probe
---@param settings table of every run
---@param after fun(plan: gamut.study.Plan)
---@return golf.Point best, table<integer, table> batches
function tuning.run(config, settings, after)
  local self = { config = config, settings = settings, after = after, point = tuning.start(config) }
  state_plan(self)
  self.batches = tuning.batches(config, settings, gamut.study.folder())
  for _, axis in ipairs(STAGES) do self.point = stage(self, axis) end
  return self.point, self.batches
end

return tuning
