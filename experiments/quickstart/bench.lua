-- The training step of the quickstart's model for `gamut bench step`: random bytes, Muon and AdamW, clipping.
local gamut = require "gamut"
local maps = require "gamut.maps"

local SETTINGS = {
  { "batch", "integer", default = 2, min = 1, doc = "sequences a step" },
  { "context", "integer", default = 1024, min = 1, doc = "bytes a sequence" },
  { "d_model", "integer", default = 192, min = 4, doc = "width of the model" },
  { "precision", "string", default = "float32", choices = { "float32", "bfloat16" }, doc = "of products, by autocast" },
}

local LAYERS = { "gdn", "gdn", "gdn", "attention", "gdn", "gdn" }
local N_HEADS, N_KV_HEADS = 4, 2

local function optimizers_of(model)
  local matrices, others = {}, {}
  for _, entry in ipairs(model:named_parameters()) do
    local group = entry[1]:match "^blocks" and entry[2].ndim == 2 and matrices or others
    group[#group + 1] = entry
  end
  return {
    gamut.optim.muon { { params = matrices }, lr = 0.02, momentum = 0.95 },
    gamut.optim.adamw { { params = others }, lr = 0.004, weight_decay = 0.0 },
  }
end

local function make(given, device)
  local width = given.d_model // N_HEADS
  local model = gamut.nn.Decoder {
    vocab_size = 256, d_model = given.d_model, layers = LAYERS, tied = true,
    mlp = { kind = "swiglu", d_ff = 8 * given.d_model // 3 },
    mixers = {
      gdn = { n_heads = N_HEADS, head_dim = width, expand_v = 1.0 },
      attention = { n_heads = N_HEADS, n_kv_heads = N_KV_HEADS, qk_norm = "rms", rope_base = 10000.0 },
    },
  }
  model:to { device = device }
  local ids = gamut.randint(0, 256, { given.batch, given.context + 1 }, { dtype = "int64", device = device })
  local inputs, targets = ids:narrow(1, 0, given.context):contiguous(), ids:narrow(1, 1, given.context):contiguous()
  local rows = { B = given.batch, T = given.context }
  return {
    model = model, optimizers = optimizers_of(model), accumulate = 1, tokens = rows.B * rows.T, clip = 1.0,
    autocast = given.precision == "bfloat16" and "bfloat16" or nil, dtype = given.precision,
    loss = function() return model:loss(inputs, targets) end,
    is_product = function() return true end,
    mixers = {
      { operator = "gated_delta_rule", layers = 5, shape = maps.over(rows, { H = N_HEADS, K = width, V = width }) },
      { operator = "attention", layers = 1, shape = maps.over(rows, { H = N_HEADS, KV = N_KV_HEADS, D = width }) },
    },
  }
end

local function cases(given, device)
  return { {
    label = ("quickstart, %s"):format(given.precision), context = given.context,
    make = function() return make(given, device) end,
  } }
end

return { doc = "the quickstart's hybrid of six layers", settings = SETTINGS, cases = cases }
