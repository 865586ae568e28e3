-- One comparison of an operator on a device with its definition in float64 on the CPU: the same inputs for both, outputs
-- and all gradients.
local draw = require "gamut.bench.draw"
local gamut = require "gamut"
local operators = require "gamut.bench.operators"

local comparison = {}

-- Root mean square of the error by that of the exact values, as flash-linear-attention measures it. Half types carry
-- the rounding of inputs' products and of results; float32 must be float32.
comparison.BOUNDS = {
  float32 = { output = 1e-5, gradient = 5e-5, gate = 1e-4 },
  bfloat16 = { output = 5e-3, gradient = 8e-3, gate = 2e-2 },
  float16 = { output = 5e-3, gradient = 8e-3, gate = 2e-2 },
}
local LEAST = 1e-30 -- a norm below that is none: float32 and its products have no smaller numbers

---@param got userdata
---@param exact userdata float64
---@return number relative infinite where something is not finite
local function relative_error(got, exact)
  local gap = got:detach():to { device = "cpu", dtype = "float64" } - exact:detach()
  local distance = gap:norm():item()
  if distance ~= distance then return math.huge end
  return distance / math.max(exact:detach():norm():item(), LEAST)
end

local ROUNDED = { data = true }

-- The same inputs for both sides: rounded to their type, for the definition as float64 on the CPU.
local function exact_inputs(inputs, dtype)
  local exact = {}
  for i, input in ipairs(inputs) do
    local name, tensor, role = input[1], input[2], input[3]
    if ROUNDED[role] then tensor = tensor:to { dtype = dtype } end
    if role ~= "ids" then tensor = tensor:double() end
    exact[i] = { name, tensor, role }
  end
  return draw.new({ device = "cpu", dtype = "float64" }):place(exact)
end

-- Memory that is handed out next holds NaN, so that what a kernel forgets to write shows.
local function poison(device)
  gamut.scope(function()
    for _ = 1, 16 do gamut.full({ 1 << 17 }, 0 / 0, { device = device }) end
    gamut.full({ 1 << 23 }, 0 / 0, { device = device })
  end)
end

-- Outputs and gradients of a call; `cotangents` are the outputs' float64 ones.
local function evaluate(operator, run, placed, trained, shape, dtype, cotangents)
  local outputs = { operator.call(run, placed, shape, dtype) }
  local inputs, weights = {}, {}
  if #trained == 0 then return outputs, {} end
  for i, name in ipairs(trained) do inputs[i] = placed[name] end
  for i, output in ipairs(outputs) do
    weights[i] = cotangents[i]:to { device = output.device, dtype = output.dtype }
  end
  return outputs, gamut.grad(outputs, inputs, { grad_outputs = weights })
end

-- Random gradients of the outputs, rounded to the type that outputs have on the device.
local function cotangents_of(operator, placed, shape, dtype)
  local made = {}
  gamut.no_grad(function()
    for i, output in ipairs { operator.call(operator.operator, placed, shape, dtype) } do
      made[i] = gamut.randn(output.shape):to { dtype = output.dtype }:double()
    end
  end)
  return made
end

local function same_bits(one, other)
  for i, tensor in ipairs(one) do
    if not gamut.equal(tensor, other[i]) then return false end
  end
  return true
end

---@class gamut.bench.Parity
---@field quantities {name: string, error: number, bound: number}[]
---@field repeats boolean whether a second call gave the same bits

---@param operator table
---@param shape table
---@param device string
---@param dtype string
---@return gamut.bench.Parity
function comparison.of(operator, shape, device, dtype)
  shape = operators.prepared(shape)
  local inputs = operator.inputs(shape, draw.new { device = "cpu", dtype = "float32" })
  local placed, trained = draw.new({ device = device, dtype = dtype }):place(inputs)
  local exact = exact_inputs(inputs, dtype)
  if not operator.work(shape, 4).training then trained = {} end
  local cotangents = cotangents_of(operator, placed, shape, dtype)
  poison(device)
  local outputs, gradients = evaluate(operator, operator.operator, placed, trained, shape, dtype, cotangents)
  local again, gradients_again = evaluate(operator, operator.operator, placed, trained, shape, dtype, cotangents)
  local outputs_exact, gradients_exact =
    evaluate(operator, operator.reference, exact, trained, shape, "float64", cotangents)

  local own = device ~= "cpu" and operator.gpu_bounds or operator.bounds
  local bounds = own and own[dtype] or comparison.BOUNDS[dtype]
  local quantities, roles = {}, {}
  for _, input in ipairs(inputs) do roles[input[1]] = input[3] end
  local function add(name, got, wanted, bound)
    quantities[#quantities + 1] = { name = name, error = relative_error(got, wanted), bound = bound }
  end
  for i, output in ipairs(outputs) do add("output " .. i, output, outputs_exact[i], bounds.output) end
  for i, gradient in ipairs(gradients) do
    add("d" .. trained[i], gradient, gradients_exact[i], bounds[roles[trained[i]] == "gate" and "gate" or "gradient"])
  end
  return { quantities = quantities, repeats = same_bits(outputs, again) and same_bits(gradients, gradients_again) }
end

---Quantities as a file can hold them: an error that is not finite is left out.
---@param quantities {name: string, error: number, bound: number}[]
---@return table[]
function comparison.recorded(quantities)
  local list = {}
  for i, quantity in ipairs(quantities) do
    list[i] = { name = quantity.name, bound = quantity.bound }
    if quantity.error < math.huge then list[i].error = quantity.error end
  end
  return list
end

return comparison
