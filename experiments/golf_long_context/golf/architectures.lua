-- The models of the study as options of golf.Model: which mixer each layer has, and all its options.
--
--   local options = architectures.options({ architecture = "hybrid" }, { vocab_size = 1024, precision = "bfloat16" })
--   local model = require "golf.model"(options)
--
-- Beside the three that were published, any list of mixers does: { layers = { "gdn", "mamba", ... }, d_model = 256 }.
local check = require "gamut.options"
local maps = require "gamut.maps"
local mixers = require "golf.mixers"

local architectures = {}

-- As published, layers counted from 0. The 4k hybrid is another model than the hybrid of the grid.
architectures.published = {
  baseline = { d_model = 512, attention_layers = { 0, 1, 2, 3, 4, 5, 6, 7, 8 } },
  hybrid = { d_model = 448, attention_layers = { 3, 7 }, head_dim_ratio = 0.75 },
  hybrid_4k = { d_model = 448, attention_layers = { 3, 7, 8 }, head_dim_ratio = 0.5 },
}

local N_LAYERS = 9

-- What all three share, under the names of config.yaml.
local DEFAULTS = {
  n_heads = 8, n_kv_heads = 4, mlp_mult = 2, rope_base = 10000.0, softcap = 30.0, q_gain = 1.5, embedding_std = 0.005,
}
local TYPES = {
  architecture = "string?", layers = "table?", d_model = "integer?", parameters = "integer?", n_heads = "integer?",
  n_kv_heads = "integer?", mlp_mult = "integer?", rope_base = "number?", softcap = "number?", q_gain = "number?",
  embedding_std = "number?", gdn = "table?", mixers = "table?", load = "table?",
}
local GDN_DEFAULTS = { expand_v = 2.0, conv_size = 4 }
local GDN_TYPES = { n_heads = "integer?", head_dim_ratio = "number?", expand_v = "number?", conv_size = "integer?" }

---The mixer of each layer: attention at the places that are listed, from 0, GDN at the others.
---@param attention_layers integer[]
---@param n_layers? integer default 9
---@return string[]
function architectures.layers(attention_layers, n_layers)
  local layers = {}
  for layer = 1, n_layers or N_LAYERS do layers[layer] = "gdn" end
  for _, place in ipairs(attention_layers) do
    if not layers[place + 1] then
      error(("attention is asked for at layer %s; layers are 0 to %d"):format(place, #layers - 1), 2)
    end
    layers[place + 1] = "attention"
  end
  return layers
end

-- The published model that is asked for; nil where layers are given instead.
local function published_of(given)
  if given.layers and #given.layers > 0 then return nil end
  local published = architectures.published[given.architecture]
  if not published then
    error(("model.architecture is %s; it must be baseline, hybrid or hybrid_4k, or model.layers must name a mixer "
      .. "for each layer"):format(given.architecture or "null"), 0)
  end
  return published
end

---The settings of a model with the published values where none are given. `d_model` stays nil where `parameters`
---is to be met: budget.lua finds it.
---@param given table the section `model` of config.yaml
---@return table
function architectures.resolve(given)
  check("model", given, TYPES)
  check("model.gdn", given.gdn, GDN_TYPES)
  for _, name in ipairs { "d_model", "parameters", "n_heads", "n_kv_heads", "mlp_mult" } do
    local size = given[name]
    if size and size < 1 then error(("model.%s must be at least 1, not %d"):format(name, size), 0) end
  end
  if given.parameters and given.d_model then
    error("model.d_model and model.parameters both say how wide the model is; leave one of them null", 0)
  end
  local published = published_of(given)
  local model = maps.over(DEFAULTS, given)
  model.gdn = maps.over(GDN_DEFAULTS, given.gdn)
  model.gdn.n_heads = model.gdn.n_heads or model.n_heads
  model.gdn.head_dim_ratio = model.gdn.head_dim_ratio or published and published.head_dim_ratio or 0.75
  if published then
    model.layers = architectures.layers(published.attention_layers)
    if not given.parameters then model.d_model = given.d_model or published.d_model end
  elseif not given.d_model and not given.parameters then
    error("model.layers needs a width: give model.d_model, or model.parameters to have the nearest width chosen", 0)
  end
  return model
end

-- Lua mixers register themselves when their file is run, or their module is loaded.
local function load_mixers(list)
  for _, name in ipairs(list or {}) do
    if name:match "%.lua$" then dofile(name) else require(name) end
  end
end

-- Options for a mixer that no layer uses are a misspelling more often than not.
local function check_used(given, layers)
  local used = {}
  for _, layer in ipairs(layers) do used[layer.name] = true end
  for name in pairs(given or {}) do
    if not used[name] then error(("model.mixers.%s is given, but no layer is `%s`"):format(name, name), 0) end
  end
end

---The options of golf.Model for the section `model` of config.yaml, or a part of it.
---@param given table
---@param data {vocab_size: integer, precision?: "bfloat16"|"float32", d_model?: integer} d_model: what a budget came to
---@return table
function architectures.options(given, data)
  check("architectures.options", data, { vocab_size = "integer", precision = "string?", d_model = "integer?" })
  local model = architectures.resolve(given)
  load_mixers(model.load)
  model.d_model, model.precision = data.d_model or model.d_model, data.precision or "bfloat16"
  local layers = {}
  for position, entry in ipairs(model.layers) do layers[position] = mixers.layer(entry, position, model) end
  check_used(model.mixers, layers)
  return {
    vocab_size = data.vocab_size, d_model = model.d_model, d_ff = model.mlp_mult * model.d_model,
    softcap = model.softcap, embedding_std = model.embedding_std, layers = layers,
  }
end

return architectures
