-- The pre-norm residual block: x + mixer(norm x), then x + mlp(norm x).
local Dropout = require "gamut.nn.dropout"
local module = require "gamut.nn.module"

---@class gamut.nn.ResidualBlock : gamut.nn.Module
---@overload fun(parts: table): gamut.nn.ResidualBlock
local ResidualBlock = module.class "ResidualBlock"

---@param parts {mixer_norm: gamut.nn.Module, mixer: gamut.nn.Module, mlp_norm: gamut.nn.Module, mlp: gamut.nn.Module, dropout?: number}
function ResidualBlock:init(parts)
  self.mixer_norm, self.mixer = parts.mixer_norm, parts.mixer
  self.mlp_norm, self.mlp = parts.mlp_norm, parts.mlp
  self.dropout = Dropout(parts.dropout or 0.0)
end

---@param x gamut.Tensor [batch, time, d]
---@param context? gamut.nn.Context handed to the mixer
---@return gamut.Tensor [batch, time, d]
function ResidualBlock:forward(x, context)
  x = x + self.dropout(self.mixer(self.mixer_norm(x), context))
  return x + self.dropout(self.mlp(self.mlp_norm(x)))
end

return ResidualBlock
