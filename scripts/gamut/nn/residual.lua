-- The pre-norm residual block: x + mixer(norm x), then x + mlp(norm x).
local Dropout = require "gamut.nn.dropout"
local module = require "gamut.nn.module"
local check = require "gamut.options"

---@class gamut.nn.ResidualBlock : gamut.nn.Module
---@overload fun(parts: gamut.nn.ResidualParts): gamut.nn.ResidualBlock
local ResidualBlock = module.class "ResidualBlock"

---@class gamut.nn.ResidualParts
---@field mixer_norm gamut.nn.Module
---@field mixer gamut.nn.Module
---@field mlp_norm gamut.nn.Module
---@field mlp gamut.nn.Module
---@field dropout? number

-- Any, as a function serves for a module.
local PARTS = { mixer_norm = "any", mixer = "any", mlp_norm = "any", mlp = "any", dropout = "number?" }

---@param parts gamut.nn.ResidualParts
function ResidualBlock:init(parts)
  check("nn.ResidualBlock", parts, PARTS)
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
