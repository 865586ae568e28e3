-- RMS normalisation over the last dimension: x / sqrt(mean(x^2) + eps) * weight.
local gamut = require "gamut"
local module = require "gamut.nn.module"
local check = require "gamut.options"

---@class gamut.nn.RMSNorm : gamut.nn.Module
---@field weight gamut.Tensor? [d]; absent in a weightless norm
---@overload fun(d: integer, options?: {eps?: number, weight?: boolean}): gamut.nn.RMSNorm
local RMSNorm = module.class "RMSNorm"

---The mean of squares is taken in float32 whatever the input's type.
---On the CPU one fused operator runs each direction (core/ops/norm).
---@param d integer
---@param options? {eps?: number, weight?: boolean} eps: default 1e-5; weight: default true, starts at 1
function RMSNorm:init(d, options)
  options = check("nn.RMSNorm", options, { eps = "number?", weight = "boolean?" })
  self.d, self.eps = d, options.eps or 1e-5
  if options.weight ~= false then self.weight = module.parameter(gamut.ones { d }) end
end

---@param x gamut.Tensor [..., d]
---@return gamut.Tensor [..., d]
function RMSNorm:forward(x)
  if x.shape[x.ndim] ~= self.d then
    error(("the last dimension of x must be %d; x is [%s]"):format(self.d, table.concat(x.shape, ", ")), 0)
  end
  return gamut.ops.gamut.rms_norm(x, self.weight, self.eps)
end

function RMSNorm:summary() return self.weight and tostring(self.d) or self.d .. ", weightless" end

return RMSNorm
