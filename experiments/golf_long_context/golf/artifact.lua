-- What leaves a run: the raw weights and the quantised model, under the study's names, and the way back.
--
--   local sizes, paths = artifact.write(model, folder)
--   artifact.load(model, paths.artifact)      -- model is now what the score is measured on
local gamut = require "gamut"
local check = require "gamut.options"
local containers = require "golf.containers"
local names = require "golf.names"
local quantization = require "golf.quantization"
local system = require "gamut.native.system"

local torch_file = gamut.torch_file

local artifact = { quantize = quantization.quantize, dequantize = quantization.dequantize }

artifact.MODEL = "final_model.pt"
artifact.INT8 = "final_model.int8.ptz"
artifact.INT8_SAFETENSORS = "final_model.int8.safetensors"

-- A module's state dict as PyTorch's: in order, with the versions of its modules.
local function state_dict(state, modules)
  local versions = {}
  for i, path in ipairs(modules) do versions[i] = { path, torch_file.dict { { "version", 1 } } } end
  return torch_file.ordered_dict(state, torch_file.dict { { "_metadata", torch_file.ordered_dict(versions) } })
end

---The raw weights as a state dict of PyTorch's.
---
---`location` is the device that the file names, by default that of the weights. The study's were on "cuda:0", and the
---sizes of its files count that name once a tensor.
---@param model golf.Model
---@param path string
---@param options? {mixer_name?: "attn"|"mixer", location?: string}
---@return integer bytes of the file
function artifact.save_model(model, path, options)
  options = check("artifact.save_model", options, { mixer_name = "string?", location = "string?" })
  local naming = { mixer_name = options.mixer_name }
  local saved = state_dict(names.study_state(model, naming), names.study_modules(model, naming))
  return torch_file.save(path, saved, { location = options.location })
end

---Writes final_model.pt (the raw state dict), final_model.int8.ptz (the artifact) and final_model.int8.safetensors.
---@param model golf.Model
---@param folder string
---@param options? {mixer_name?: "attn"|"mixer", location?: string}
---@return {model: integer, tensors: integer, payload: integer, raw_torch: integer, artifact: integer} sizes in bytes:
---  the files final_model.pt and final_model.int8.ptz, the latter before compression, the quantised numbers in it, and
---  the model's tensors
---@return {model: string, artifact: string, safetensors: string} paths
function artifact.write(model, folder, options)
  options = check("artifact.write", options, { mixer_name = "string?", location = "string?" })
  local state = names.study_state(model, { mixer_name = options.mixer_name })
  local quantized = quantization.quantize(state) -- first: it may refuse
  local paths = {
    model = folder .. "/" .. artifact.MODEL, artifact = folder .. "/" .. artifact.INT8,
    safetensors = folder .. "/" .. artifact.INT8_SAFETENSORS,
  }
  system.make_directories(folder)
  local sizes = { tensors = 0, payload = quantization.payload_bytes(quantized) }
  sizes.model = artifact.save_model(model, paths.model, options)
  for _, entry in ipairs(state) do sizes.tensors = sizes.tensors + entry[2].nbytes end
  sizes.raw_torch, sizes.artifact = containers.write_ptz(paths.artifact, quantized)
  containers.write_safetensors(paths.safetensors, quantized)
  return sizes, paths
end

local DEFAULT_LIMIT = 1 << 30

---@param path string a .ptz of ours or of the study's, or a .safetensors of ours
---@param options? {limit?: integer} limit: the most bytes that a .ptz may inflate to; default 1 GiB
---@return golf.Quantized
function artifact.read(path, options)
  options = check("artifact.read", options, { limit = "integer?" })
  if path:match "%.safetensors$" then return containers.read_safetensors(path) end
  return containers.read_ptz(path, options.limit or DEFAULT_LIMIT)
end

-- Integers are at most as large as the floats that they stand for; the rest is names.
local function limit_of(model)
  local bytes = 1 << 20
  for _, entry in ipairs(model:state_dict()) do bytes = bytes + entry.tensor.nbytes + (1 << 12) end
  return bytes
end

---Reads an artifact, dequantises it and loads it into a model; what does not fit is an error, and nothing is copied.
---@param model golf.Model
---@param path string
function artifact.load(model, path)
  local state = quantization.dequantize(artifact.read(path, { limit = limit_of(model) }))
  local ok, reason = pcall(model.load, model, state, { rename = names.own_name })
  if not ok then error(("%s: %s"):format(path, (tostring(reason):gsub("^%S+:%d+: ", ""))), 2) end
end

return artifact
