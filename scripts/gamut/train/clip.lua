-- Gradient clipping by global norm (Pascanu et al., 2013).

local gamut = require "gamut"

-- Scales all gradients of `model` (or of a list of tensors) so that their joint L2 norm is at most
-- `max_norm`, and returns the norm before. A norm that is not finite scales nothing: the guard
-- decides what happens then. `max_norm = nil` only measures.
---@return number norm
local function clip_grad_norm(model, max_norm)
  if type(model) ~= "table" then
    error(("clip_grad_norm takes a model or a list of tensors, got a %s"):format(type(model)), 2)
  end
  local parameters = model.parameters and model:parameters() or model
  return gamut.no_grad(function()
    return gamut.scope(function()
      local gradients = {}
      for _, parameter in ipairs(parameters) do
        local gradient = parameter.grad
        if gradient then gradients[#gradients + 1] = gradient end
      end
      if #gradients == 0 then
        error("clip_grad_norm found no gradients: call it after run:accumulate and before run:update", 2)
      end
      local norm = gamut.linalg_vector_norm(gamut.stack(gamut._foreach_norm(gradients))):item()
      if max_norm and norm > max_norm and norm < math.huge then
        gamut._foreach_mul_(gradients, max_norm / (norm + 1e-6))
      end
      return norm
    end)
  end)
end

return clip_grad_norm
