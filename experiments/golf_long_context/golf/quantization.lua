-- The study's int8: large matrices by row, small tensors in float16, control tensors in float32.
--
-- What makes it that one and no other: a row is clipped at a quantile between its two largest values; its scale is
-- never below 1/127, so that rows within -1 to 1 share one step; integers are rounded with the scale in float32, half
-- to even, and multiplied by the scale in float16.
local gamut = require "gamut"

local quantization = {}

quantization.FORMAT = "int8_clean_per_row_v1"
local KEEP_FLOAT_MAX = 65536 -- numbers
local QUANTILE = 0.9999984 -- of a row's magnitudes
local LARGEST = 127
local CONTROL = {
  "attn_scale", "attn_scales", "mlp_scale", "mlp_scales", "resid_mix", "resid_mixes", "q_gain", "skip_weight",
  "skip_weights",
}

local function is_control(name)
  for _, part in ipairs(CONTROL) do
    if name:find(part, 1, true) then return true end
  end
  return false
end

local function float32(number) return gamut.tensor(number):to "float32" end

-- torch.quantile(x, 0.9999984, dim=-1), bit for bit, without its sort: it lies among the few largest numbers of a row.
local function high_quantile(magnitudes)
  local count = magnitudes.shape[magnitudes.ndim]
  local rank = (float32(QUANTILE) * (count - 1)):item()
  local below = math.floor(rank)
  local largest = magnitudes:topk(count - below, -1)
  local low, high = largest:select(-1, -1), largest:select(-1, math.max(0, count - below - 2))
  return low:lerp(high, float32(rank - below))
end

-- Integers and the scale in float32; `clip` and `scale` are of x's rows, or one number each.
local function rounded(x, clip, scale)
  return x:minimum(clip):maximum(-clip):div(scale):round_():clamp_(-LARGEST, LARGEST):to "int8"
end

local function by_row(x)
  local clip = high_quantile(x:abs())
  local scale = (clip / LARGEST):clamp_min(1 / LARGEST)
  return rounded(x, clip:unsqueeze(1), scale:unsqueeze(1)), scale:to "float16"
end

local function by_tensor(x)
  local clip = high_quantile(x:abs():flatten())
  local scale = clip:item() > 0 and clip / LARGEST or float32(1.0)
  return rounded(x, clip, scale), scale
end

local function check_finite(name, tensor, what)
  if tensor:isfinite():all():item() then return end
  error(("%s %s; a model that has diverged cannot be quantised"):format(name, what), 0)
end

-- A small tensor as it is stored, and the dtype that it had where that is another.
local function kept(name, tensor)
  if is_control(name) then return tensor:to "float32" end
  if tensor.dtype ~= "float32" and tensor.dtype ~= "bfloat16" then return tensor end
  local half = tensor:to "float16"
  check_finite(name, half, "holds numbers beyond 65504, which float16 cannot hold")
  return half, tensor.dtype
end

-- A large tensor as integers, and their scale.
local function as_integers(name, tensor)
  local x = tensor:to "float32"
  local integers, scale = (x.ndim == 2 and by_row or by_tensor)(x)
  check_finite(name, scale, "holds numbers too large for a scale in float16")
  return integers, scale
end

---@class golf.Quantized
---@field quantized gamut.nn.NamedTensor[] int8, in the order of the state
---@field scales table<string, gamut.Tensor> float16 [rows] of a matrix, float32 scalar of another tensor
---@field dtypes table<string, string> what the tensors of `quantized` were
---@field passthrough gamut.nn.NamedTensor[] float32, float16, or no floats
---@field original table<string, string> what the tensors were that became float16

---@param state gamut.nn.NamedTensor[] any floats; no NaN and no infinity
---@return golf.Quantized
function quantization.quantize(state)
  local result = { quantized = {}, scales = {}, dtypes = {}, passthrough = {}, original = {} }
  for _, entry in ipairs(state) do
    local name, tensor = entry[1], entry[2]:detach():cpu():contiguous()
    if not gamut.is_floating_point(tensor) then
      table.insert(result.passthrough, { name, tensor })
    else
      check_finite(name, tensor, "holds NaN or an infinity")
      if tensor:numel() <= KEEP_FLOAT_MAX then
        local stored, original = kept(name, tensor)
        table.insert(result.passthrough, { name, stored })
        result.original[name] = original
      else
        local integers, scale = as_integers(name, tensor)
        table.insert(result.quantized, { name, integers })
        result.scales[name], result.dtypes[name] = scale, tensor.dtype
      end
    end
  end
  return result
end

local FLOATS = { float16 = true, bfloat16 = true, float32 = true, float64 = true }

local function check_scale(name, integers, scale)
  if integers.dtype ~= "int8" then return ("the integers of %s are %s, not int8"):format(name, integers.dtype) end
  if not scale then return ("%s has no scale"):format(name) end
  local fits = scale.ndim == 0 or (integers.ndim == 2 and scale.ndim == 1 and scale.shape[1] == integers.shape[1])
  if not fits then
    return ("the scales of %s are [%s] and it is [%s]; there must be one a row"):format(name,
      table.concat(scale.shape, ", "), table.concat(integers.shape, ", "))
  end
  if not FLOATS[scale.dtype] then return ("the scales of %s are %s"):format(name, scale.dtype) end
  return nil
end

-- A view may repeat a few bytes to any size.
local function check_own_numbers(refuse, name, tensor)
  if not tensor:is_contiguous() then refuse(("the numbers of %s do not lie in a row"):format(name)) end
end

---Refuses what a file may hold and `dequantize` cannot use. Returns its argument.
---@param path string begins the message
---@param quantized golf.Quantized
---@return golf.Quantized
function quantization.check(path, quantized)
  local function refuse(reason) error(("%s: %s"):format(path, reason), 0) end
  local large, small = {}, {}
  for _, entry in ipairs(quantized.quantized) do
    local name = entry[1]
    local reason = check_scale(name, entry[2], quantized.scales[name])
    if reason then refuse(reason) end
    check_own_numbers(refuse, name, entry[2])
    check_own_numbers(refuse, name, quantized.scales[name])
    if not FLOATS[quantized.dtypes[name]] then refuse(("%s has no dtype to become again"):format(name)) end
    large[name] = true
  end
  for _, entry in ipairs(quantized.passthrough) do
    if large[entry[1]] then refuse(("%s is there both as integers and as it was"):format(entry[1])) end
    check_own_numbers(refuse, entry[1], entry[2])
    small[entry[1]] = true
  end
  for _, map in ipairs { quantized.scales, quantized.dtypes } do
    for name in pairs(map) do
      if not large[name] then refuse(("%s has a scale or a dtype and no integers"):format(name)) end
    end
  end
  for name, dtype in pairs(quantized.original) do
    if not small[name] or not FLOATS[dtype] then
      refuse(("%s is said to have been %s"):format(name, tostring(dtype)))
    end
  end
  return quantized
end

---@param quantized golf.Quantized
---@return gamut.nn.NamedTensor[] in the dtypes that the tensors had: first the large ones, then the others
function quantization.dequantize(quantized)
  local state = {}
  for _, entry in ipairs(quantized.quantized) do
    local name, integers = entry[1], entry[2]
    local scale = quantized.scales[name]:to "float32"
    if integers.ndim == 2 and scale.ndim == 1 then scale = scale:unsqueeze(1) end
    state[#state + 1] = { name, (integers:to "float32" * scale):to(quantized.dtypes[name]) }
  end
  for _, entry in ipairs(quantized.passthrough) do
    local name, tensor = entry[1], entry[2]
    state[#state + 1] = { name, tensor:to(quantized.original[name] or tensor.dtype) }
  end
  return state
end

---Bytes of the integers, the scales and what is kept as floats: the study's `payload`.
---@param quantized golf.Quantized
---@return integer
function quantization.payload_bytes(quantized)
  local bytes = 0
  for _, list in ipairs { quantized.quantized, quantized.passthrough } do
    for _, entry in ipairs(list) do bytes = bytes + entry[2].nbytes end
  end
  for _, scale in pairs(quantized.scales) do bytes = bytes + scale.nbytes end
  return bytes
end

return quantization
