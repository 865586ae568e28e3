-- The training step of the speech model for `gamut bench step`: random codes, AdamW, clipping.
local gamut = require "gamut"
local maps = require "gamut.maps"

local folder = debug.getinfo(1, "S").source:match "^@(.*)/" or "."
local SpeechModel = dofile(folder .. "/model.lua")

local SETTINGS = {
  { "batch", "integer", default = 0, min = 0, doc = "sequences a step; 0: 16, on the CPU 2" },
  { "context", "integer", default = 1024, min = 1, doc = "frames a sequence" },
  { "dropout", "number", default = 0.1, min = 0, doc = "of mixers and feed-forward layers" },
  { "precision", "string", default = "bfloat16", choices = { "bfloat16", "float32" }, doc = "of the products" },
}

local HEADS, KV_HEADS, HEAD_DIM, WIDTH, LAYERS, ATTENTION = 6, 2, 64, 48, 8, 2

local function make(given, device)
  local batch = given.batch > 0 and given.batch or device == "cpu" and 2 or 16
  local model = SpeechModel { dropout = given.dropout }
  model:to { device = device }
  local codes = gamut.randint(0, 1024, { batch, 8, given.context + 1 }, { dtype = "int64", device = device })
  local inputs = codes:narrow(2, 0, given.context):contiguous()
  local targets = codes:narrow(2, 1, given.context):contiguous()
  local rows = { B = batch, T = given.context }
  return {
    model = model, accumulate = 1, tokens = batch * given.context, clip = 1.0, dtype = given.precision,
    optimizers = { gamut.optim.adamw { { params = model:named_parameters() }, lr = 1e-4, weight_decay = 0.1 } },
    autocast = given.precision == "bfloat16" and "bfloat16" or nil,
    loss = function() return model:loss(inputs, targets) end,
    is_product = function(name) return not name:match "^embed%." end,
    mixers = {
      { operator = "gated_delta_rule", layers = LAYERS - ATTENTION,
        shape = maps.over(rows, { H = HEADS, K = WIDTH, V = 2 * WIDTH }) },
      { operator = "attention", layers = ATTENTION,
        shape = maps.over(rows, { H = HEADS, KV = KV_HEADS, D = HEAD_DIM }) },
    },
  }
end

local function cases(given, device)
  return { {
    label = ("speech 21.9M, %s"):format(given.precision), context = given.context,
    make = function() return make(given, device) end,
  } }
end

return { doc = "the speech model, 21.9M parameters, over eight codebooks", settings = SETTINGS, cases = cases }
