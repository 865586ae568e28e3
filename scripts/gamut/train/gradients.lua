-- The gradients of a list of parameters as a list, false where there is none.

local gradients = {}

---@param parameters gamut.Tensor[]
---@return (gamut.Tensor|false)[]
function gradients.of(parameters)
  local list = {}
  for i, parameter in ipairs(parameters) do list[i] = parameter.grad or false end
  return list
end

---@param parameters gamut.Tensor[]
---@param list (gamut.Tensor|false)[]
function gradients.set(parameters, list)
  for i, parameter in ipairs(parameters) do parameter.grad = list[i] or nil end
end

---@param parameters gamut.Tensor[]
function gradients.clear(parameters)
  for _, parameter in ipairs(parameters) do parameter.grad = nil end
end

return gradients
