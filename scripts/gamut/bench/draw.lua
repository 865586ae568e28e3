-- Random inputs of operators: drawn in float32, then in the type and on the device that their role has.
local gamut = require "gamut"
local check = require "gamut.options"

local draw = {}
draw.__index = draw

-- What an input is: `data` follows the type that is asked for; gates, parameters and states are float32 as layers keep
-- them, and have gradients; constants are float32 without; ids are int64.
local DIFFERENTIABLE = { data = true, gate = true, parameter = true, state = true }

---@param options {device: string, dtype: string, generator?: userdata}
---@return table draw whose methods make tensors of a shape
function draw.new(options)
  check("bench.draw", options, { device = "string", dtype = "string", generator = "object?" })
  return setmetatable(options, draw)
end

function draw:options() return { device = self.device, generator = self.generator } end

function draw:normal(shape) return gamut.randn(shape, self:options()) end

function draw:uniform(shape, low, high) return gamut.rand(shape, self:options()):mul_(high - low):add_(low) end

-- Rows of length one, as keys are.
function draw:unit(shape)
  local x = self:normal(shape)
  return x:div_(x:norm(2, -1, true))
end

function draw:ids(shape, below)
  return gamut.randint(0, below, shape, { dtype = "int64", device = self.device, generator = self.generator })
end

---The inputs of a call in their types; those with gradients are leaves.
---@param inputs {[1]: string, [2]: userdata, [3]: string}[] name, tensor, role
---@return table<string, userdata> by name
---@return string[] names of those with gradients, in order
function draw:place(inputs)
  local placed, trained = {}, {}
  for _, input in ipairs(inputs) do
    local name, tensor, role = input[1], input[2], input[3]
    tensor = tensor:to { device = self.device, dtype = role == "data" and self.dtype or nil }
    if DIFFERENTIABLE[role] then
      tensor = tensor:detach():requires_grad_()
      trained[#trained + 1] = name
    end
    placed[name] = tensor
  end
  return placed, trained
end

return draw
