-- Runs a function with a model in evaluation mode and without autograd, and puts the mode back
-- whatever happens.

local gamut = require "gamut"
local finally = require "gamut.finally"

---@param model any a module; anything else has no mode
---@param fn fun(): any
return function(model, fn)
  local was_training = type(model) == "table" and model.training
  if was_training then model:eval() end
  local _ <close> = finally(function() if was_training then model:train() end end)
  return gamut.no_grad(fn)
end
