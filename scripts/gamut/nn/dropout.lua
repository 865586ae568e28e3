-- Dropout: in training, zeroes each value with probability p and scales the others by 1 / (1 - p).
local module = require "gamut.nn.module"

---@class gamut.nn.Dropout : gamut.nn.Module
---@overload fun(p: number): gamut.nn.Dropout
local Dropout = module.class "Dropout"

---@param p number in [0, 1)
function Dropout:init(p, ...)
  if select("#", ...) > 0 then error("nn.Dropout takes one number, the probability", 0) end
  if type(p) ~= "number" or p < 0 or p >= 1 then
    error(("the dropout probability must lie in [0, 1), not %s"):format(tostring(p)), 0)
  end
  self.p = p
end

---@param x gamut.Tensor
---@return gamut.Tensor
function Dropout:forward(x)
  if self.p == 0 or not self.training then return x end
  return x:dropout(self.p, true)
end

function Dropout:summary() return "p " .. self.p end

return Dropout
