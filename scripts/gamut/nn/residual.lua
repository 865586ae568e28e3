-- The pre-norm residual block: x + mixer(norm x), then x + mlp(norm x).
local Dropout = require "gamut.nn.dropout"
local module = require "gamut.nn.module"

---@class gamut.nn.ResidualBlock : gamut.nn.Module
---@overload fun(parts: table): gamut.nn.ResidualBlock
local ResidualBlock = module.class "ResidualBlock"

---@param parts {mixer_norm: gamut.nn.Module, mixer: gamut.nn.Module, mlp_norm: gamut.nn.Module, mlp: gamut.nn.Module, dropout?: number}
function ResidualBlock:init(parts)
  -- One by one: Lua does not say in which order a multiple assignment sets its fields.
  self.mixer_norm = parts.mixer_norm
  self.mixer = parts.mixer
  self.mlp_norm = parts.mlp_norm
  self.mlp = parts.mlp
  if (parts.dropout or 0) > 0 then self.dropout = Dropout(parts.dropout) end
end

---@param x gamut.Tensor [batch, time, d]
---@param context? gamut.nn.Context handed to the mixer
---@return gamut.Tensor [batch, time, d]
function ResidualBlock:forward(x, context)
  local dropout = self.dropout
  local mixed = self.mixer(self.mixer_norm(x), context)
  x = x + (dropout and dropout(mixed) or mixed)
  local fed = self.mlp(self.mlp_norm(x))
  return x + (dropout and dropout(fed) or fed)
end

return ResidualBlock
