-- The least work of a training step: products with every weight, what the mixers are, Muon's iteration, and the bytes.
local operators = require "gamut.bench.operators"

local SIZES = { float32 = 4, bfloat16 = 2, float16 = 2 }

-- AdamW reads weight, gradient and two moments, and writes all but the gradient, in float32.
local UPDATE_BYTES = 7 * 4

local function operator_named(name)
  for _, operator in ipairs(operators.all) do
    if operator.name == name then return operator end
  end
  error(("bench.lua names the operator `%s`, which is not in bench/operators"):format(name), 0)
end

-- Weights that multiply every token: 6 FLOP each and token, forward and backward. Each of the three products reads an
-- input and writes an output, or reads two of those: inputs and outputs are touched three times each.
local function products(step, size)
  local weights, width = 0, 0
  for _, entry in ipairs(step.model:named_parameters()) do
    local tensor = entry[2]
    if tensor.ndim == 2 and step.is_product(entry[1], tensor) then
      weights, width = weights + tensor:numel(), width + tensor.shape[1] + tensor.shape[2]
    end
  end
  return { flop = 6 * weights * step.tokens, bytes = 3 * size * (width * step.tokens + weights * step.accumulate) }
end

-- Muon's iteration on every matrix that it trains, once a step.
local function iterations(step)
  local matrices = {}
  for _, optimizer in ipairs(step.optimizers) do
    for _, group in ipairs(optimizer.name == "muon" and optimizer.groups or {}) do
      for _, entry in ipairs(group.params) do
        if entry[2].ndim == 2 then matrices[#matrices + 1] = entry[2].shape end
      end
    end
  end
  return operator_named("newton_schulz").work({ matrices = matrices, times = 1 }, 4).forward.flop
end

---@param step gamut.bench.Step
---@return {flop: number, bytes: number, products: number, mixers: number, update: number} FLOP by kind, which add up to
---  `flop`
return function(step)
  local size = SIZES[step.dtype]
  local work = products(step, size)
  work.products, work.mixers = work.flop, 0
  for _, mixer in ipairs(step.mixers) do
    local one = operator_named(mixer.operator).work(mixer.shape, size).training
    work.mixers = work.mixers + step.accumulate * mixer.layers * one.flop
    work.bytes = work.bytes + step.accumulate * mixer.layers * one.bytes
  end
  work.update = iterations(step)
  work.flop = work.products + work.mixers + work.update
  work.bytes = work.bytes + UPDATE_BYTES * step.model:parameter_count()
  return work
end
