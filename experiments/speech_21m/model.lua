-- The speech model: eight pre-norm blocks, Gated DeltaNet with attention as every fourth, over the sum of
-- one embedding a codebook, one head a codebook. Tensors are named as in the study's checkpoints, but for
-- what is inside a mixer, whose names are the plugin's.
--
--   local SpeechModel = dofile "experiments/speech_21m/model.lua"
--   local model = SpeechModel{}                       -- 21,904,648 parameters
--   local loss = model:loss(codes, targets)           -- int64 [batch, codebooks, time] each
local gamut = require "gamut"
local check = require "gamut.options"
local nn = gamut.nn

local DEFAULTS = {
  d_model = 384, d_ff = 1024, n_layers = 8, n_heads = 6, n_kv_heads = 2,
  codebooks = 8, vocab_size = 1027, dropout = 0.1,
}

---@class speech_21m.Block : gamut.nn.Module x + mixer(norm x), then x + ff(norm x)
local Block = nn.module "SpeechBlock"

function Block:init(mixer, options)
  self.mixer_norm = nn.RMSNorm(options.d_model)
  self.mixer = mixer
  self.ff_norm = nn.RMSNorm(options.d_model)
  self.ff = nn.SwiGLU(options.d_model, options.d_ff)
  self.dropout = nn.Dropout(options.dropout)
  nn.init.xavier_uniform(self.ff.gate_proj.weight)
  nn.init.xavier_uniform(self.ff.up_proj.weight)
  nn.init.xavier_uniform(self.ff.down_proj.weight)
  gamut.no_grad(function() self.ff.down_proj.weight:mul_((2 * options.n_layers) ^ -0.5) end)
end

function Block:forward(x, context)
  x = x + self.mixer(self.mixer_norm(x), context)
  return x + self.dropout(self.ff(self.ff_norm(x)))
end

---@class speech_21m.Output : gamut.nn.CodebookHead the last norm and the heads
local Output = nn.module("SpeechOutput", nn.CodebookHead)

function Output:init(options)
  self.ln = nn.RMSNorm(options.d_model)
  nn.CodebookHead.init(self, options.codebooks, options.d_model, options.vocab_size)
  for _, head in ipairs(self.heads) do nn.init.xavier_uniform(head.weight) end
end

function Output:forward(x) return nn.CodebookHead.untracked_forward(self, self.ln(x)) end

-- The last block is attention whatever the number of layers.
local function mixer_of(layer, options)
  local attention = layer % 4 == 0 or layer == options.n_layers
  if not attention then
    return nn.mixer("gdn", {
      d_model = options.d_model, n_heads = options.n_heads, preset = "speech",
      out_init_scale = (2 * options.n_layers) ^ -0.5, dropout = options.dropout,
    })
  end
  return nn.mixer("attention", {
    d_model = options.d_model, n_heads = options.n_heads, n_kv_heads = options.n_kv_heads,
    rope = "interleaved", rope_base = 500000.0, qk_norm = "rms", init = "xavier",
    out_init_scale = (2 * options.n_layers) ^ -0.5, dropout = options.dropout,
  })
end

---@class speech_21m.Model : gamut.nn.Module
---@overload fun(options: table): speech_21m.Model
local Model = nn.module "SpeechModel"

---@param given {d_model?: integer, d_ff?: integer, n_layers?: integer, n_heads?: integer, n_kv_heads?: integer,
---  codebooks?: integer, vocab_size?: integer, dropout?: number} the study's values by default
function Model:init(given)
  local types = {}
  for name in pairs(DEFAULTS) do types[name] = name == "dropout" and "number?" or "integer?" end
  local options = setmetatable(check("SpeechModel", given, types), { __index = DEFAULTS })
  self.embed = nn.CodebookEmbedding(options.codebooks, options.vocab_size, options.d_model)
  self.blocks = nn.list {}
  for layer = 1, options.n_layers do self.blocks:append(Block(mixer_of(layer, options), options)) end
  self.output = Output(options)
  -- The study does not say how its embeddings start; these keep the sum of all near unit variance.
  gamut.no_grad(function()
    for _, embedding in ipairs(self.embed.embeddings) do embedding.weight:mul_(options.codebooks ^ -0.5) end
  end)
end

-- The residual stream after the last block.
function Model:stream(codes, context)
  local x = self.embed(codes)
  local for_layers = { training = self.training }
  if context then for_layers.positions, for_layers.cu_seqlens = context.positions, context.cu_seqlens end
  for _, block in ipairs(self.blocks) do x = block(x, for_layers) end
  return x
end

---@param codes gamut.Tensor int64 [batch, codebooks, time]
---@param context? gamut.nn.Context
---@return gamut.Tensor logits [batch, time, codebooks, vocab_size]
function Model:forward(codes, context) return self.output(self:stream(codes, context)) end

---Mean cross entropy over all codebooks, natural log.
---@param codes gamut.Tensor int64 [batch, codebooks, time]
---@param targets gamut.Tensor int64, shaped like codes; -100 counts nothing
---@param context? gamut.nn.Context
---@return gamut.Tensor scalar
function Model:loss(codes, targets, context)
  local output = self.output
  local hidden = output.ln(self:stream(codes, context))
  return gamut.ops.gamut.linear_cross_entropy(hidden, output:matrices(), targets:transpose(1, 2))
end

return Model
