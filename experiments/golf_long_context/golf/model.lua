-- The model of the study: residual blocks in a U, skips from the first half to the second, over normalised tied
-- embeddings. Baseline and hybrid differ in width and in the mixers of their layers only (architectures.lua).
local gamut = require "gamut"
local check = require "gamut.options"
local nn = gamut.nn

local EPS = 2.0 ^ -23 -- float32's epsilon, at any dtype

-- RMS without a weight: a function, for it holds nothing.
local function rms(x) return gamut.ops.gamut.rms_norm(x, nil, EPS) end

---@class golf.Block : gamut.nn.Module
local Block = nn.module "GolfBlock"

function Block:init(d, d_ff, mixer)
  self.attn_scale = nn.parameter(gamut.ones { d })
  self.mlp_scale = nn.parameter(gamut.ones { d })
  self.resid_mix = nn.parameter(gamut.stack { gamut.ones { d }, gamut.zeros { d } })
  self.mixer = nn.mixer(mixer.name, mixer.options)
  self.mlp = nn.ReLU2(d, d_ff)
end

-- h = m0 h + m1 x0; h = h + a mixer(rms h); h = h + s mlp(rms h). The vectors are float32, the stream need not be.
function Block:forward(h, x0, context)
  local mix = self.resid_mix:to(h.dtype)
  h = mix:select(0, 0) * h + mix:select(0, 1) * x0
  h = h + self.attn_scale:to(h.dtype) * self.mixer(rms(h), context)
  return h + self.mlp_scale:to(h.dtype) * self.mlp(rms(h))
end

---@class golf.Model : gamut.nn.Module
---@overload fun(options: table): golf.Model
local Model = nn.module "GolfModel"

---Draws in the study's order: embedding, blocks (mixer, then MLP), embedding again.
---@param options {vocab_size: integer, d_model: integer, d_ff: integer, softcap: number, embedding_std: number,
---  layers: {name: string, options: table}[]} layers: the mixer of each, with all its options
function Model:init(options)
  check("golf.Model", options, {
    vocab_size = "integer", d_model = "integer", d_ff = "integer", softcap = "number", embedding_std = "number",
    layers = "table",
  })
  local d, n_layers = options.d_model, #options.layers
  self.softcap = options.softcap
  self.tok_emb = nn.Embedding(options.vocab_size, d)
  self.skip_weights = nn.parameter(gamut.ones { n_layers // 2, d })
  self.blocks = nn.list {}
  for _, mixer in ipairs(options.layers) do self.blocks:append(Block(d, options.d_ff, mixer)) end
  nn.init.normal(self.tok_emb.weight, 0.0, options.embedding_std)
  for _, block in ipairs(self.blocks) do nn.init.zeros(block.mlp.down_proj.weight) end
end

---@param ids gamut.Tensor int64 [batch, time]
---@return gamut.Tensor [batch, time, d_model], normalised
function Model:forward(ids)
  local x0 = rms(self.tok_emb(ids))
  local h, skips, n_layers = x0, {}, #self.blocks
  local context = { training = self.training }
  for layer, block in ipairs(self.blocks) do
    local decoder = layer - n_layers // 2
    -- The last output first; an odd number of layers leaves the last block without a skip.
    if decoder >= 1 and #skips > 0 then
      h = h + self.skip_weights:select(0, decoder - 1):to(h.dtype) * table.remove(skips)
    end
    h = block(h, x0, context)
    if decoder < 1 then skips[#skips + 1] = h end
  end
  return rms(h)
end

---@param ids gamut.Tensor int64 [batch, time]
---@param targets gamut.Tensor int64 [batch, time]
---@return gamut.Tensor scalar mean cross entropy in nats, of logits softcap * tanh(logits / softcap)
function Model:loss(ids, targets)
  return gamut.ops.gamut.linear_cross_entropy(self(ids), { self.tok_emb.weight }, targets, { softcap = self.softcap })
end

return Model
