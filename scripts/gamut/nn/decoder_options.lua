-- The options of nn.Decoder: checked here, each mistake named before anything is built.
local maps = require "gamut.maps"
local mixer = require "gamut.nn.mixer"

---@class gamut.nn.DecoderOptions
---@field vocab_size integer ids of each codebook
---@field d_model integer
---@field layers (string|table)[] a mixer name a block, or {mixer = name, option = value, ...}
---@field mixers? table<string, table> options for all layers of that mixer; d_model is given already
---@field mlp {kind: "swiglu"|"relu2", d_ff: integer, bias?: boolean}
---@field tied? boolean the head uses the embedding's weight; default false; one codebook only
---@field codebooks? integer default 1; with more, embeddings are summed and each has its head
---@field dropout? number after the mixer and the MLP of each block; default 0
---@field norm_eps? number default 1e-5
---@field softcap? number logits are cap * tanh(logits / cap); default off
---@field embedding_std? number standard deviation of the embedding's first values; default 0.02

local decoder_options = {}

local DEFAULTS = { codebooks = 1, dropout = 0.0, norm_eps = 1e-5, embedding_std = 0.02, tied = false, mixers = {} }
local REQUIRED = { "vocab_size", "d_model", "layers", "mlp" }
local TYPES = {
  vocab_size = "integer", d_model = "integer", layers = "table", mlp = "table", mixers = "table",
  tied = "boolean", codebooks = "integer", dropout = "number", norm_eps = "number",
  softcap = "number", embedding_std = "number",
}

local function type_of(value) return math.type(value) == "integer" and "integer" or type(value) end

local function names_of(set) return table.concat(maps.keys(set), ", ") end

local function fail(text, ...) error("nn.Decoder: " .. text:format(...), 0) end

local function check_types(options)
  for name, value in pairs(options) do
    local wanted, found = TYPES[name], type_of(value)
    if not wanted then fail("unknown option `%s`; there are %s", tostring(name), names_of(TYPES)) end
    if found ~= wanted and not (wanted == "number" and found == "integer") then
      fail("option `%s` must be %s %s, not %s", name, wanted == "integer" and "an" or "a", wanted, found)
    end
  end
  for _, name in ipairs(REQUIRED) do
    if options[name] == nil then fail("option `%s` is missing", name) end
  end
end

local function check_mlp(given)
  local known = { kind = true, d_ff = true, bias = true }
  for name in pairs(given) do
    if not known[name] then fail("mlp has kind, d_ff and bias, not `%s`", tostring(name)) end
  end
  if given.kind ~= "swiglu" and given.kind ~= "relu2" then
    fail("mlp.kind must be swiglu or relu2, not %s", tostring(given.kind))
  end
  if math.type(given.d_ff) ~= "integer" or given.d_ff < 1 then
    fail("mlp.d_ff must be a positive integer, not %s", tostring(given.d_ff))
  end
end

local function layer_of(entry, position, options)
  local name = type(entry) == "table" and entry.mixer or entry
  if type(name) ~= "string" then
    fail("layer %d must be a mixer's name or {mixer = name, option = value}", position)
  end
  local merged = {}
  if mixer.declares(name, "d_model") then merged.d_model = options.d_model end
  for key, value in pairs(options.mixers[name] or {}) do merged[key] = value end
  for key, value in pairs(type(entry) == "table" and entry or {}) do
    if key ~= "mixer" then merged[key] = value end
  end
  return { name = name, options = merged }
end

-- Options for a mixer that no layer uses are a misspelling more often than not.
local function check_mixers_used(options)
  local used = {}
  for _, layer in ipairs(options.layers) do used[layer.name] = true end
  for name in pairs(options.mixers) do
    if not used[name] then fail("mixers.%s is given, but no layer is `%s`", name, name) end
  end
end

---@param given gamut.nn.DecoderOptions
function decoder_options.check(given)
  if type(given) ~= "table" then fail("options are a table, not a %s", type(given)) end
  check_types(given)
  check_mlp(given.mlp)
  local options = setmetatable({}, { __index = DEFAULTS })
  for name, value in pairs(given) do options[name] = value end
  if options.codebooks > 1 and options.tied then
    fail("tied = true works with one codebook; there are %d", options.codebooks)
  end
  if #given.layers == 0 then fail("layers is empty; name a mixer for each block") end
  local layers = {}
  for position, entry in ipairs(given.layers) do layers[position] = layer_of(entry, position, options) end
  options.layers = layers
  check_mixers_used(options)
  return options
end

return decoder_options
