-- y = x W^T + b over the last dimension.
local gamut = require "gamut"
local init = require "gamut.nn.initializers"
local module = require "gamut.nn.module"
local check = require "gamut.options"

---@class gamut.nn.Linear : gamut.nn.Module
---@field weight gamut.Tensor [out, in]
---@field bias gamut.Tensor? [out]
---@overload fun(inputs: integer, outputs: integer, options?: {bias?: boolean}): gamut.nn.Linear
local Linear = module.class "Linear"

---Draws as PyTorch's nn.Linear does: weight, then bias, both U(-1/sqrt(in), 1/sqrt(in)).
---@param inputs integer
---@param outputs integer
---@param options? {bias?: boolean} bias: default true
function Linear:init(inputs, outputs, options)
  if math.type(inputs) ~= "integer" or math.type(outputs) ~= "integer" then
    error(("nn.Linear takes the widths of its input and output, got %s and %s")
      :format(tostring(inputs), tostring(outputs)), 2)
  end
  options = check("nn.Linear", options, { bias = "boolean?" })
  self.weight = module.parameter(gamut.empty { outputs, inputs })
  init.kaiming_uniform(self.weight, { a = math.sqrt(5.0) })
  if options.bias ~= false then
    self.bias = module.parameter(gamut.empty { outputs })
    local bound = inputs > 0 and 1.0 / math.sqrt(inputs) or 0.0
    init.uniform(self.bias, -bound, bound)
  end
end

---@param x gamut.Tensor [..., in]
---@return gamut.Tensor [..., out]
function Linear:forward(x) return gamut.linear(x, self.weight, self.bias) end

---The matrices whose products are the output, where nothing is added to them; see heads.lua.
---@return gamut.Tensor[]?
function Linear:matrices() return not self.bias and { self.weight } or nil end

function Linear:summary()
  local shape = self.weight.shape
  return ("%d -> %d%s"):format(shape[2], shape[1], self.bias and "" or ", no bias")
end

return Linear
