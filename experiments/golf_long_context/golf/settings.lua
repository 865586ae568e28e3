-- The published settings by context and architecture, put in where the configuration says null, and the
-- arithmetic of batches: what a step, a micro-batch and a validation batch hold.
local check = require "gamut.options"
local maps = require "gamut.maps"

local settings = {}

-- Batches in tokens a step, momentum warm-up and warm-down in steps, seeds as the logs have them. The 4k runs did
-- not log their schedule: theirs are the defaults of the scripts, another momentum too. All share rates and cap.
local PUBLISHED = {
  baseline = {
    [4096] = {
      train_batch_tokens = 393216, warmdown_steps = 250, seeds = { 1337 },
      momentum = { start = 0.85, final = 0.95, warmup_steps = 500 },
    },
    [8192] = { train_batch_tokens = 393216, momentum = { warmup_steps = 190 }, warmdown_steps = 381, seeds = { 1337 } },
    [16384] = {
      train_batch_tokens = 393216, momentum = { warmup_steps = 118 }, warmdown_steps = 236, seeds = { 1337 },
    },
    [32768] = { train_batch_tokens = 524288, momentum = { warmup_steps = 50 }, warmdown_steps = 100, seeds = { 1337 } },
  },
  hybrid = {
    [8192] = { train_batch_tokens = 393216, momentum = { warmup_steps = 160 }, warmdown_steps = 320, seeds = { 1337 } },
    [16384] = {
      train_batch_tokens = 393216, momentum = { warmup_steps = 104 }, warmdown_steps = 208, seeds = { 1337, 1341 },
    },
    [32768] = {
      train_batch_tokens = 524288, momentum = { warmup_steps = 79 }, warmdown_steps = 158, seeds = { 1342, 42 },
    },
  },
  hybrid_4k = {
    [4096] = {
      train_batch_tokens = 393216, warmdown_steps = 300, seeds = { 1337 },
      momentum = { start = 0.85, final = 0.95, warmup_steps = 500 },
    },
  },
}

-- Of the grid; the momentum's ends are the same wherever they are not said.
local MOMENTUM = { start = 0.92, final = 0.99 }

---What was published for a context and an architecture; nil where nothing was.
---@param context integer
---@param architecture? string
---@return {train_batch_tokens: integer, momentum: table, warmdown_steps: integer, seeds: integer[]}?
function settings.published(context, architecture)
  local found = (PUBLISHED[architecture] or {})[context]
  if not found then return nil end
  return {
    train_batch_tokens = found.train_batch_tokens, momentum = maps.over(MOMENTUM, found.momentum),
    warmdown_steps = found.warmdown_steps, seeds = { table.unpack(found.seeds) },
  }
end

-- What architecture the published settings are looked up for: none where the model is not a published one.
local function published_for(config)
  local layers = config.model.layers
  if layers and #layers > 0 then return nil end
  return settings.published(config.context, config.model.architecture)
end

local function whole(name, value, least)
  if math.type(value) ~= "integer" or value < least then
    error(("%s must be a whole number of at least %d, not %s"):format(name, least, tostring(value)), 0)
  end
  return value
end

-- Those that end, space or weigh something; below 0 they would silently mean 0.
local NOT_NEGATIVE = { "max_seconds", "warmup_steps", "val_every", "log_every", "checkpoint_every", "val_tokens" }

local function check_numbers(config, momentum)
  for _, name in ipairs(NOT_NEGATIVE) do
    if config[name] and config[name] < 0 then
      error(("%s must not be negative, got %s"):format(name, config[name]), 0)
    end
  end
  for _, name in ipairs { "start", "final" } do
    local value = momentum[name]
    if value < 0 or value >= 1 then
      error(("momentum.%s must be at least 0 and below 1, not %s"):format(name, value), 0)
    end
  end
end

-- The values that the schedule and the batches need, each given or published.
local function values_of(config)
  local published = published_for(config)
  local momentum, found = config.momentum, published and published.momentum or {}
  local values = {
    train_batch_tokens = config.train_batch_tokens or published and published.train_batch_tokens,
    warmdown_steps = config.warmdown_steps or published and published.warmdown_steps,
    momentum = {
      start = momentum.start or found.start or MOMENTUM.start, final = momentum.final or found.final or MOMENTUM.final,
      warmup_steps = momentum.warmup_steps or found.warmup_steps,
    },
  }
  local missing = {}
  if not values.train_batch_tokens then missing[#missing + 1] = "train_batch_tokens" end
  if not values.momentum.warmup_steps then missing[#missing + 1] = "momentum.warmup_steps" end
  if not values.warmdown_steps then missing[#missing + 1] = "warmdown_steps" end
  if #missing > 0 then
    local what = #(config.model.layers or {}) > 0 and "these layers" or tostring(config.model.architecture)
    error(("nothing was published for %s at context %d, so give %s; study.lua with schedule=probe measures and derives "
      .. "them"):format(what, config.context, table.concat(missing, ", ")), 0)
  end
  return values
end

-- Windows in a share of `tokens`; refused where they do not divide.
local function training_windows(values, config)
  local share, context = values.train_batch_tokens // config.accumulate, config.context
  if values.train_batch_tokens % config.accumulate ~= 0 or share % context ~= 0 or share == 0 then
    error(("train_batch_tokens %d is not accumulate %d times a whole number of sequences of %d; a multiple of %d would "
      .. "be"):format(values.train_batch_tokens, config.accumulate, context, config.accumulate * context), 0)
  end
  return share // context
end

local function validation_windows(config)
  local share = config.val_batch_tokens // config.accumulate
  if share < config.context then
    error(("a validation batch of %d tokens holds no sequence of %d: val_batch_tokens %d is shared by accumulate %d; "
      .. "raise it to %d at least"):format(share, config.context, config.val_batch_tokens, config.accumulate,
        config.accumulate * config.context), 0)
  end
  return share // config.context
end

---The configuration of a run with the published values in place of null, and its batches in sequences. Refuses in a
---sentence what cannot be trained.
---@param config table config.yaml as plain tables
---@return {train_batch_tokens: integer, warmdown_steps: integer, batch: integer, val_batch: integer,
---  momentum: {start: number, final: number, warmup_steps: integer}}
function settings.resolve(config)
  whole("context", config.context, 1)
  whole("accumulate", config.accumulate, 1)
  whole("iterations", config.iterations, 1)
  whole("val_batch_tokens", config.val_batch_tokens, 1)
  check("momentum", config.momentum, { start = "number?", final = "number?", warmup_steps = "integer?" })
  local values = values_of(config)
  whole("train_batch_tokens", values.train_batch_tokens, 1)
  whole("momentum.warmup_steps", values.momentum.warmup_steps, 0)
  whole("warmdown_steps", values.warmdown_steps, 0)
  check_numbers(config, values.momentum)
  values.batch = training_windows(values, config)
  values.val_batch = validation_windows(config)
  return values
end

return settings
