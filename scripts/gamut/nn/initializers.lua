-- nn.init: fills tensors with PyTorch's initialisers. The draws are made by the same operators in the
-- same order as torch.nn.init makes them, so the same seed gives the same numbers as PyTorch on the
-- CPU. Each function fills its tensor in place, outside of autograd, and returns it.
local gamut = require "gamut"

local init = {}

local function in_place(tensor, fill)
  gamut.no_grad(function() fill(tensor) end)
  return tensor
end

---@param tensor gamut.Tensor
---@param mean? number
---@param std? number
function init.normal(tensor, mean, std)
  return in_place(tensor, function(t) t:normal_(mean or 0.0, std or 1.0) end)
end

---@param tensor gamut.Tensor
---@param low? number
---@param high? number
function init.uniform(tensor, low, high)
  return in_place(tensor, function(t) t:uniform_(low or 0.0, high or 1.0) end)
end

---@param tensor gamut.Tensor
---@param value number
function init.constant(tensor, value)
  return in_place(tensor, function(t) t:fill_(value) end)
end

function init.zeros(tensor) return init.constant(tensor, 0.0) end

function init.ones(tensor) return init.constant(tensor, 1.0) end

-- A good rational approximation is not enough here: PyTorch uses C's erf, so the bounds must too.
local function normal_cdf(x) return (1.0 + require("gamut.native.nn").erf(x / math.sqrt(2.0))) / 2.0 end

---Normal draws restricted to [low, high] by the inverse of the distribution, as PyTorch does.
---@param tensor gamut.Tensor
---@param mean? number
---@param std? number
---@param low? number
---@param high? number
function init.trunc_normal(tensor, mean, std, low, high)
  mean, std, low, high = mean or 0.0, std or 1.0, low or -2.0, high or 2.0
  local lower, upper = normal_cdf((low - mean) / std), normal_cdf((high - mean) / std)
  return in_place(tensor, function(t)
    t:uniform_(2 * lower - 1, 2 * upper - 1)
    t:erfinv_()
    t:mul_(std * math.sqrt(2.0))
    t:add_(mean)
    t:clamp_(low, high)
  end)
end

-- Inputs and outputs of a weight [out, in, receptive field...].
local function fans(tensor)
  local shape = tensor.shape
  if #shape < 2 then
    error(("fan in and fan out need a weight of two or more dimensions; this one has %d"):format(#shape), 4)
  end
  local field = 1
  for i = 3, #shape do field = field * shape[i] end
  return shape[2] * field, shape[1] * field
end

local GAINS = {
  linear = 1.0, sigmoid = 1.0, tanh = 5.0 / 3.0, relu = math.sqrt(2.0), selu = 3.0 / 4.0,
  conv1d = 1.0, conv2d = 1.0, conv3d = 1.0,
}

---The gain that PyTorch recommends after a nonlinearity.
---@param nonlinearity string
---@param slope? number of a leaky relu
---@return number
function init.gain(nonlinearity, slope)
  if nonlinearity == "leaky_relu" then return math.sqrt(2.0 / (1 + (slope or 0.01) ^ 2)) end
  return GAINS[nonlinearity]
    or error(("no gain is known for the nonlinearity `%s`"):format(tostring(nonlinearity)), 2)
end

---@param tensor gamut.Tensor
---@param gain? number
function init.xavier_uniform(tensor, gain)
  local fan_in, fan_out = fans(tensor)
  local std = (gain or 1.0) * math.sqrt(2.0 / (fan_in + fan_out))
  local bound = math.sqrt(3.0) * std
  return init.uniform(tensor, -bound, bound)
end

---@param tensor gamut.Tensor
---@param gain? number
function init.xavier_normal(tensor, gain)
  local fan_in, fan_out = fans(tensor)
  return init.normal(tensor, 0.0, (gain or 1.0) * math.sqrt(2.0 / (fan_in + fan_out)))
end

local function kaiming_std(tensor, options)
  options = options or {}
  local fan_in, fan_out = fans(tensor)
  local mode = options.mode or "fan_in"
  if mode ~= "fan_in" and mode ~= "fan_out" then
    error(("the mode is fan_in or fan_out, not `%s`"):format(tostring(mode)), 3)
  end
  local fan = mode == "fan_in" and fan_in or fan_out
  return init.gain(options.nonlinearity or "leaky_relu", options.a or 0.0) / math.sqrt(fan)
end

---@param tensor gamut.Tensor
---@param options? {a?: number, mode?: "fan_in"|"fan_out", nonlinearity?: string}
function init.kaiming_uniform(tensor, options)
  local bound = math.sqrt(3.0) * kaiming_std(tensor, options)
  return init.uniform(tensor, -bound, bound)
end

---@param tensor gamut.Tensor
---@param options? {a?: number, mode?: "fan_in"|"fan_out", nonlinearity?: string}
function init.kaiming_normal(tensor, options)
  return init.normal(tensor, 0.0, kaiming_std(tensor, options))
end

---A (semi-)orthogonal matrix [rows, rest], by QR of normal draws with the signs made unique.
---@param tensor gamut.Tensor
---@param gain? number
function init.orthogonal(tensor, gain)
  local shape = tensor.shape
  if #shape < 2 then
    error(("orthogonal needs two or more dimensions; this tensor has %d"):format(#shape), 2)
  end
  local rows = shape[1]
  local columns = tensor:numel() // rows
  return in_place(tensor, function(t)
    local flat = t:new_empty({ rows, columns }):normal_(0.0, 1.0)
    if rows < columns then flat = flat:t() end
    local q, r = gamut.linalg_qr(flat)
    q = q * r:diagonal():sign()
    if rows < columns then q = q:t() end
    t:view_as(q):copy_(q)
    t:mul_(gain or 1.0)
  end)
end

return init
