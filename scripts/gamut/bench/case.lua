-- One operator at one shape, timed: forward without gradients; forward and backward, as in training.
local ceilings = require "gamut.bench.ceilings"
local draw = require "gamut.bench.draw"
local failure = require "gamut.bench.failure"
local gamut = require "gamut"
local measure = require "gamut.bench.measure"
local operators = require "gamut.bench.operators"
local published = require "gamut.bench.published"

local SIZES = { float32 = 4, bfloat16 = 2, float16 = 2, int64 = 8 } -- bytes of an element
local MOST_SETS = 64

local function bytes_of(placed)
  local bytes = 0
  for _, tensor in pairs(placed) do bytes = bytes + tensor:numel() * SIZES[tensor.dtype] end
  return bytes
end

-- Copies of the inputs that together take `bytes` of memory; at least one.
local function sets_of(placed, trained, bytes)
  local sets, is_leaf = { placed }, {}
  for _, name in ipairs(trained) do is_leaf[name] = true end
  for i = 2, math.min(MOST_SETS, math.ceil(bytes / math.max(1, bytes_of(placed)))) do
    sets[i] = {}
    for name, tensor in pairs(placed) do
      local copy = tensor:detach():clone()
      sets[i][name] = is_leaf[name] and copy:requires_grad_() or copy
    end
  end
  return sets
end

---@class gamut.bench.Result
---@field operator string
---@field label string
---@field shape table<string, integer>
---@field title string
---@field dtype string of the inputs
---@field forward? gamut.bench.Figure
---@field forward_floor? table of ceilings.floor
---@field training? gamut.bench.Figure forward and backward; nil where there are no gradients
---@field backward? gamut.bench.Figure
---@field training_floor? table
---@field published gamut.bench.Published[]
---@field failure? string instead of figures

-- The inputs in their sets, and what runs the operator on the i-th, counted round.
local function prepared(operator, shape, dtype, with)
  local placed, trained = draw.new({ device = with.clock.device, dtype = dtype }):place(
    operator.inputs(shape, draw.new { device = with.clock.device, dtype = "float32" }))
  local sets = sets_of(placed, trained, with.given.rotation << 20)
  local started = {}
  for i, set in ipairs(operator.start and sets or {}) do
    started[i] = operator.start(operator.operator, set, shape, dtype)
  end
  local function forward(i)
    local n = (i - 1) % #sets + 1
    if started[n] then return started[n]() end
    return (operator.call(operator.operator, sets[n], shape, dtype)), sets[n]
  end
  return forward, trained
end

local function time_forward(result, forward, with, work)
  result.forward, result.forward_host_ms = measure.whole(with.clock, function(i)
    gamut.no_grad(function() forward(i) end)
  end, with.given)
  result.forward_floor = ceilings.floor(with.ceilings, work, result.dtype)
end

local function time_training(result, forward, trained, with, work)
  local mark = with.clock.mark
  local gradient = gamut.randn_like(gamut.no_grad(function() return (forward(1)) end))
  local parts, whole, host = measure.parts(with.clock, function(i)
    return gamut.scope(function()
      local began = mark()
      local output, set = forward(i)
      local between = mark()
      local inputs = {}
      for j, name in ipairs(trained) do inputs[j] = set[name] end
      gamut.grad({ output }, inputs, { grad_outputs = { gradient }, allow_unused = true })
      return { began, between, mark() }
    end)
  end, with.given)
  result.training, result.backward, result.training_host_ms = whole, parts[2], host
  result.training_floor = ceilings.floor(with.ceilings, work, result.dtype)
end

local function time(result, operator, shape, with)
  shape = operators.prepared(shape)
  local work = operator.work(shape, SIZES[result.dtype])
  local forward, trained = prepared(operator, shape, result.dtype, with)
  time_forward(result, forward, with, work.forward)
  if work.training then time_training(result, forward, trained, with, work.training) end
end

local function sizes_of(operator, shape)
  local sizes = {}
  for _, name in ipairs(operator.sizes) do sizes[name] = shape[name] end
  return sizes
end

---@param operator table
---@param shape table
---@param with {clock: gamut.bench.Clock, ceilings: gamut.bench.Ceilings, given: table} given: the verb's settings
---@return gamut.bench.Result
return function(operator, shape, with)
  local dtype = with.given.dtype
  if operator.dtypes and not operator.dtypes[dtype] then dtype = "float32" end
  local result = {
    operator = operator.name, label = shape.label, shape = sizes_of(operator, shape), dtype = dtype,
    title = operators.title(operator, shape), published = published.of(operator.name, shape),
  }
  local ok, message = pcall(gamut.scope, time, result, operator, shape, with)
  if not ok then result.failure = failure.text(message) end
  return result
end
