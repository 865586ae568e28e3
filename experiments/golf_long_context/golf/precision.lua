-- The study's layout of types: all tensors to bfloat16, then linear weights, tensors of fewer than two dimensions
-- and the skip and mix vectors back to float32. So bfloat16's rounding stays in the initial values, and what does
-- not come back (the embedding, the convolutions) is trained in bfloat16, gradients and Adam's moments too.
local precision = {}

-- Matrices that are no linear weights, but control tensors of the study.
local CONTROL = { "resid_mix", "skip_weights" }

-- Whether a tensor is of the study's control tensors, by the last part of its name.
local function is_control(name)
  for _, suffix in ipairs(CONTROL) do
    if name == suffix or name:sub(-#suffix - 1) == "." .. suffix then return true end
  end
  return false
end

-- Whatever has two dimensions inside a block is taken for a linear weight, in any mixer.
local function returns_to_float32(name, tensor)
  if tensor.ndim < 2 or is_control(name) then return true end
  return tensor.ndim == 2 and name:match "^blocks%." ~= nil
end

---Casts the tensors of a new model; to be called before optimizers are made.
---@param model golf.Model
---@param kind "bfloat16"|"float32" bfloat16: the study's layout, to be trained under autocast; float32: nothing is cast
---@return "bfloat16"? autocast what train.start and the evaluation are to be given
function precision.apply(model, kind)
  if kind == "float32" then return nil end
  if kind ~= "bfloat16" then
    error(("precision must be bfloat16 (the study's) or float32, not %s"):format(tostring(kind)), 0)
  end
  model:to { dtype = "bfloat16" }
  model:to { dtype = "float32", where = returns_to_float32 }
  return "bfloat16"
end

return precision
