-- The two files of a quantised model: the study's, a dictionary of torch.save compressed by zlib, and beside it a plain
-- safetensors file, which is mapped into memory and read by any reader of that format without inflating it.
local gamut = require "gamut"
local maps = require "gamut.maps"
local quantization = require "golf.quantization"
local system = require "gamut.native.system"

local json, torch_file, zlib = gamut.json, gamut.torch_file, gamut.zlib

local containers = {}

local LEVEL = 9 -- of zlib: smallest

-- Entries of a dictionary in the order of the state.
local function entries_of(list, value_of)
  local entries = {}
  for _, entry in ipairs(list) do
    local value = value_of(entry[1], entry[2])
    if value ~= nil then entries[#entries + 1] = { entry[1], value } end
  end
  return entries
end

local function of_matrix(x, scale) return x.ndim == 2 and scale.ndim == 1 end

---The study's dictionary, for torch_file. Names of dtypes were put together for each tensor, which the file's size
---shows.
---@param quantized golf.Quantized
---@return table
function containers.object(quantized)
  local function dict(list, value_of) return torch_file.dict(entries_of(list, value_of)) end
  local object = {
    { "__quant_format__", quantization.FORMAT },
    { "quantized", dict(quantized.quantized, function(_, x) return x end) },
    { "scales", dict(quantized.quantized, function(name) return quantized.scales[name] end) },
    { "dtypes", dict(quantized.quantized, function(name) return torch_file.text(quantized.dtypes[name]) end) },
    { "passthrough", dict(quantized.passthrough, function(_, x) return x end) },
  }
  local meta = entries_of(quantized.quantized, function(name, x)
    if not of_matrix(x, quantized.scales[name]) then return nil end
    return torch_file.dict { { "scheme", "per_row" }, { "axis", 0 } }
  end)
  if #meta > 0 then object[#object + 1] = { "qmeta", torch_file.dict(meta) } end
  local original = entries_of(quantized.passthrough, function(name)
    return quantized.original[name] and torch_file.text(quantized.original[name])
  end)
  if #original > 0 then object[#object + 1] = { "passthrough_orig_dtypes", torch_file.dict(original) } end
  return torch_file.dict(object)
end

---@param path string
---@param quantized golf.Quantized
---@return integer raw_torch bytes before compression
---@return integer artifact bytes of the file
function containers.write_ptz(path, quantized)
  local raw = torch_file.encode(containers.object(quantized))
  local compressed = zlib.compress(raw, LEVEL)
  system.write_file(path, compressed)
  return #raw, #compressed
end

-- The entries of a dictionary of the file's, in its order, each checked by `fits(value)`.
local function read_entries(path, object, key, what, fits)
  local dict, list = object[key], {}
  if type(dict) ~= "table" or not (getmetatable(dict) or {}).keys then
    error(("%s: its `%s` is missing or no dictionary"):format(path, key), 0)
  end
  for _, name in ipairs(getmetatable(dict).keys) do
    if type(name) ~= "string" or not fits(dict[name]) then
      error(("%s: `%s` of `%s` is not %s"):format(path, key, tostring(name), what), 0)
    end
    list[#list + 1] = { name, dict[name] }
  end
  return list
end

local function by_name(list)
  local map = {}
  for _, entry in ipairs(list) do map[entry[1]] = entry[2] end
  return map
end

local function is_text(value) return type(value) == "string" end

---@param path string
---@param limit integer the most bytes that its stream may inflate to
---@return golf.Quantized checked, tensors on the CPU
function containers.read_ptz(path, limit)
  local object = torch_file.decode(zlib.decompress(system.read_file(path), limit, path), path)
  if type(object) ~= "table" or object.__quant_format__ ~= quantization.FORMAT then
    error(("%s: its format is %s, and only %s is read"):format(path,
      type(object) == "table" and tostring(object.__quant_format__) or "none", quantization.FORMAT), 0)
  end
  local function entries(key, what, fits) return read_entries(path, object, key, what, fits) end
  return quantization.check(path, {
    quantized = entries("quantized", "a tensor", gamut.is_tensor),
    scales = by_name(entries("scales", "a tensor", gamut.is_tensor)),
    dtypes = by_name(entries("dtypes", "a dtype's name", is_text)),
    passthrough = entries("passthrough", "a tensor", gamut.is_tensor),
    original = object.passthrough_orig_dtypes and by_name(entries("passthrough_orig_dtypes", "a dtype's name", is_text))
      or {},
  })
end

---The integers under the tensors' names, their scales as `<name>.scale`, the dtypes as JSON in the metadata.
---@param path string
---@param quantized golf.Quantized
function containers.write_safetensors(path, quantized)
  local tensors = {}
  for _, list in ipairs { quantized.quantized, quantized.passthrough } do
    for _, entry in ipairs(list) do tensors[#tensors + 1] = entry end
  end
  for _, name in ipairs(maps.keys(quantized.scales)) do
    tensors[#tensors + 1] = { name .. ".scale", quantized.scales[name] }
  end
  gamut.safetensors.save(path, tensors, {
    format = "pt", quant_format = quantization.FORMAT, dtypes = json.encode(quantized.dtypes),
    passthrough_orig_dtypes = json.encode(quantized.original),
  })
end

-- A map of names to names of dtypes in the file's metadata.
local function read_dtypes(path, metadata, key)
  local ok, map = pcall(json.decode, metadata[key] or "")
  if not ok or type(map) ~= "table" then error(("%s: its metadata `%s` is missing or no JSON"):format(path, key), 0) end
  return map
end

---@param path string
---@return golf.Quantized checked, tensors are views of the file
function containers.read_safetensors(path)
  local tensors, metadata = gamut.safetensors.load(path)
  if metadata.quant_format ~= quantization.FORMAT then
    error(("%s: its format is %s, and only %s is read"):format(path, metadata.quant_format or "none",
      quantization.FORMAT), 0)
  end
  local result = { quantized = {}, scales = {}, passthrough = {} }
  result.dtypes = read_dtypes(path, metadata, "dtypes")
  result.original = read_dtypes(path, metadata, "passthrough_orig_dtypes")
  for _, entry in ipairs(tensors) do
    local name = entry[1]
    local of = name:match "^(.*)%.scale$"
    if result.dtypes[name] then
      table.insert(result.quantized, entry)
    elseif of and result.dtypes[of] then
      result.scales[of] = entry[2]
    else
      table.insert(result.passthrough, entry)
    end
  end
  return quantization.check(path, result)
end

return containers
