-- The options of each mixer inside the study's blocks: the study's own for attention and GDN, and for any other
-- plugin or Lua mixer its defaults, with a zero output to begin with where it has that option.
local gamut = require "gamut"
local maps = require "gamut.maps"

local mixers = {}

local EPS = 2.0 ^ -23 -- float32's epsilon, at any dtype

local function attention(model)
  return {
    n_heads = model.n_heads, n_kv_heads = model.n_kv_heads, rope_base = model.rope_base, rope_reverse = true,
    rope_dtype = model.precision == "bfloat16" and "bfloat16" or "float32",
    qk_norm = "rms_weightless", qk_norm_eps = EPS, q_gain = model.q_gain, init = "kaiming", out_init_scale = 0.0,
  }
end

-- The ratio is of the width of an attention head, as the study has it.
local function gdn(model)
  local given = model.gdn
  return {
    preset = "golf", n_heads = given.n_heads, expand_v = given.expand_v, conv_size = given.conv_size,
    head_dim = math.max(1, math.floor(model.d_model // model.n_heads * given.head_dim_ratio + 0.5)),
  }
end

local function memory_cache(model) return { mixer = "gdn", mixer_options = gdn(model) } end

local function any_other(_, declared) return { out_init_scale = declared.out_init_scale and 0.0 or nil } end

local of_study = { attention = attention, gdn = gdn, memory_cache = memory_cache }

local function declared_options(name)
  local declared = {}
  for _, option in ipairs(gamut.plugins.options("mixer", name)) do declared[option.name] = true end
  return declared
end

---A layer of golf.Model. What the layer gives goes before `model.mixers`, and that before the study's options.
---@param entry string|table a mixer's name, or {mixer = name, option = value, ...}
---@param position integer from 1, for messages
---@param model table resolved settings, see architectures.lua, with `d_model` and `precision`
---@return {name: string, options: table}
function mixers.layer(entry, position, model)
  local name = type(entry) == "table" and entry.mixer or entry
  if type(name) ~= "string" then
    error(("model.layers: layer %d must be a mixer's name or {mixer: name, option: value}"):format(position - 1), 0)
  end
  local declared = declared_options(name)
  local of_all = (model.mixers or {})[name] or {}
  local given = maps.over(of_all, type(entry) == "table" and entry or nil)
  given.mixer = of_all.mixer -- in a layer's own table `mixer` is the layer's, not the option of that name
  local defaults = (of_study[name] or any_other)(model, declared)
  -- Options of the study are those of a GDN inside; another recurrent mixer has its own.
  if given.mixer and given.mixer ~= defaults.mixer then defaults.mixer_options = nil end
  local options = maps.over(defaults, given)
  if declared.d_model then options.d_model = model.d_model end
  return { name = name, options = options }
end

return mixers
