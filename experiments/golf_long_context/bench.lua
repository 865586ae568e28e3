-- Training steps of the study's models for `gamut bench step`: random tokens in the study's batches, its optimizers, its
-- layout of types. Beside them the time of a step that was published, on one H100.
local gamut = require "gamut"
local architectures = require "golf.architectures"
local optimizers = require "golf.optimizers"
local precision = require "golf.precision"
local published = require "golf.published"
local study = require "golf.settings"

local VOCABULARY = 1024
local RATES = { embed_lr = 0.03, matrix_lr = 0.02, scalar_lr = 0.02 }
local TOKENS = 393216 -- a step, where none was published for the context

local SETTINGS = {
  { "architectures", "string", default = "baseline,hybrid", doc = "models, with commas between" },
  { "contexts", "string", default = "", doc = "tokens a sequence, with commas between; none: 8192, on the CPU 1024" },
  { "tokens", "integer", default = 0, min = 0, doc = "a step; 0: as published, on the CPU one sequence" },
  { "accumulate", "integer", default = 0, min = 0, doc = "micro-batches a step; 0: 8 as published, on the CPU 1" },
  { "d_model", "integer", default = 0, min = 0, doc = "width of the models; 0: as published" },
  { "precision", "string", default = "bfloat16", choices = { "bfloat16", "float32" }, doc = "bfloat16: the study's" },
}

local function list_of(text)
  local items = {}
  for item in text:gmatch "[^,]+" do items[#items + 1] = item end
  return items
end

-- Tokens a step and micro-batches.
local function batch_of(given, device, context, architecture)
  local small = device == "cpu"
  local known = study.published(context, architecture)
  local tokens = given.tokens > 0 and given.tokens or small and context or known and known.train_batch_tokens or TOKENS
  local accumulate = given.accumulate > 0 and given.accumulate or small and 1 or 8
  if tokens % (accumulate * context) ~= 0 then
    error(("tokens=%d are not accumulate=%d times a whole number of sequences of %d")
      :format(tokens, accumulate, context), 0)
  end
  return tokens, accumulate
end

-- What each kind of layer is as an operator, in micro-batches of `rows` sequences.
local function mixers_of(shape, rows, context)
  local counts, options = {}, {}
  for _, layer in ipairs(shape.layers) do
    counts[layer.name], options[layer.name] = (counts[layer.name] or 0) + 1, layer.options
  end
  local mixers, gdn, attention = {}, options.gdn, options.attention
  if gdn then
    mixers[#mixers + 1] = { operator = "gated_delta_rule", layers = counts.gdn, shape = {
      B = rows, T = context, H = gdn.n_heads, K = gdn.head_dim, V = math.floor(gdn.head_dim * gdn.expand_v),
    } }
  end
  if attention then
    mixers[#mixers + 1] = { operator = "attention", layers = counts.attention, shape = {
      B = rows, T = context, H = attention.n_heads, KV = attention.n_kv_heads, D = shape.d_model // attention.n_heads,
    } }
  end
  return mixers
end

local function make(given, device, context, architecture)
  local tokens, accumulate = batch_of(given, device, context, architecture)
  local rows = tokens // accumulate // context
  local width = given.d_model > 0 and given.d_model or nil
  local shape = architectures.options({ architecture = architecture, d_model = width },
    { vocab_size = VOCABULARY, precision = given.precision })
  local model = require "golf.model"(shape)
  local autocast = precision.apply(model, given.precision)
  model:to { device = device }
  local rates = { precision = given.precision }
  for name, rate in pairs(RATES) do rates[name] = rate end
  local made = optimizers.make(model, rates)
  local ids = gamut.randint(0, VOCABULARY, { accumulate, rows, context + 1 }, { dtype = "int64", device = device })
  local inputs, targets = ids:narrow(2, 0, context):contiguous(), ids:narrow(2, 1, context):contiguous()
  return {
    model = model, optimizers = { made.muon, made.adam }, accumulate = accumulate, tokens = tokens, autocast = autocast,
    loss = function(i) return model:loss(inputs:select(0, i - 1), targets:select(0, i - 1)) end,
    is_product = function(name) return name == "tok_emb.weight" or name:match "^blocks.*%.weight$" ~= nil end,
    mixers = mixers_of(shape, rows, context), dtype = given.precision,
  }
end

-- Of the published text; of the runs where the text has none.
local function published_ms(context, architecture)
  local row = published.summary[context]
  if row then return row[architecture .. "_ms"] end
  local run = published.cell(context, architecture)[1]
  return run and run.step_average_ms
end

local function cases(given, device)
  local contexts = given.contexts ~= "" and given.contexts or device == "cpu" and "1024" or "8192"
  local as_published = given.tokens == 0 and given.d_model == 0 and device ~= "cpu"
  local list = {}
  for _, text in ipairs(list_of(contexts)) do
    local context = math.tointeger(tonumber(text))
    if not context or context < 1 then error(("contexts: `%s` is no number of tokens"):format(text), 0) end
    for _, architecture in ipairs(list_of(given.architectures)) do
      list[#list + 1] = {
        label = ("%s at %d"):format(architecture, context), curve = architecture, context = context,
        published_ms = as_published and published_ms(context, architecture) or nil,
        make = function() return make(given, device, context, architecture) end,
      }
    end
  end
  return list
end

return { doc = "the study's models, 17.06M and 17.42M parameters", settings = SETTINGS, cases = cases }
