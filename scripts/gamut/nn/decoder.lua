-- A decoder: embedding, residual blocks with a mixer each, final norm, head. Its layers are a list of
-- mixer names, so a hybrid is `layers = {"gdn", "gdn", "gdn", "attention"}`.
local gamut = require "gamut"
local DecoderState = require "gamut.nn.decoder_state"
local List = require "gamut.nn.list"
local RMSNorm = require "gamut.nn.rms_norm"
local ResidualBlock = require "gamut.nn.residual"
local call = require "gamut.nn.call"
local embedding = require "gamut.nn.embedding"
local heads = require "gamut.nn.heads"
local Linear = require "gamut.nn.linear"
local mixer = require "gamut.nn.mixer"
local mlp = require "gamut.nn.mlp"
local module = require "gamut.nn.module"
local options_of = require "gamut.nn.decoder_options"

---@class gamut.nn.Decoder : gamut.nn.Module
---@field blocks gamut.nn.List
---@overload fun(options: gamut.nn.DecoderOptions): gamut.nn.Decoder
local Decoder = module.class "Decoder"

local MLPS = { swiglu = mlp.SwiGLU, relu2 = mlp.ReLU2 }

local function build_block(options, layer)
  return ResidualBlock {
    mixer_norm = RMSNorm(options.d_model, { eps = options.norm_eps }),
    mixer = mixer.new(layer.name, layer.options),
    mlp_norm = RMSNorm(options.d_model, { eps = options.norm_eps }),
    mlp = MLPS[options.mlp.kind](options.d_model, options.mlp.d_ff, { bias = options.mlp.bias }),
    dropout = options.dropout,
  }
end

-- PyTorch draws an embedding from N(0, 1); scaling it draws nothing more.
local function scale_embedding(model, std)
  model:apply(function(part)
    if part.class_name == "Embedding" then
      gamut.no_grad(function() part.weight:mul_(std) end)
    end
  end)
end

---Draws in this order: embedding (one a codebook), blocks (mixer, then MLP), head.
---@param options gamut.nn.DecoderOptions
function Decoder:init(options)
  local checked = options_of.check(options)
  local d, vocab, codebooks = checked.d_model, checked.vocab_size, checked.codebooks
  self.codebooks, self.vocab_size, self.softcap = codebooks, vocab, checked.softcap
  if codebooks == 1 then
    self.embed = embedding.Embedding(vocab, d)
  else
    self.embed = embedding.CodebookEmbedding(codebooks, vocab, d)
  end
  scale_embedding(self.embed, checked.embedding_std)
  self.blocks = List()
  for _, layer in ipairs(checked.layers) do self.blocks:append(build_block(checked, layer)) end
  self.norm = RMSNorm(d, { eps = checked.norm_eps })
  if codebooks > 1 then
    self.head = heads.CodebookHead(codebooks, d, vocab)
  elseif checked.tied then
    self.head = heads.TiedHead(self.embed)
  else
    self.head = Linear(d, vocab, { bias = false })
  end
end

---An empty state for that many rows: hand it to forward as `state` and it reads on from there.
---@param batch integer
---@return gamut.nn.DecoderState
function Decoder:new_state(batch)
  local states = {}
  for position, block in ipairs(self.blocks) do states[position] = block.mixer:new_state(batch) end
  return DecoderState.new(states)
end

-- What the blocks' mixers get; one table for all layers, whose state changes from layer to layer.
local function layer_context(self, context)
  local result = { training = self.training }
  if context then
    result.positions, result.cu_seqlens = context.positions, context.cu_seqlens
    result.memory, result.memory_lengths = context.memory, context.memory_lengths
    if context.training ~= nil then result.training = context.training end
  end
  return result
end

local KNOWN = {
  positions = true, cu_seqlens = true, training = true, state = true, memory = true, memory_lengths = true,
}

local function check_context(context)
  for key in pairs(context or {}) do
    if not KNOWN[key] then
      error(("a decoder's context has positions, cu_seqlens, training, state, memory and memory_lengths, not `%s`")
        :format(tostring(key)), 0)
    end
  end
end

---The normalised states before the head.
---@param ids gamut.Tensor int64 [batch, time], or [batch, codebooks, time]
---@param context? gamut.nn.Context with a state of `new_state`
---@return gamut.Tensor [batch, time, d_model]
Decoder.hidden = call.tracked(function(self, ids, context)
  check_context(context)
  local states = context and context.state and context.state.layers
  local for_layers = layer_context(self, context)
  local x = self.embed(ids)
  for position, block in ipairs(self.blocks) do
    if states then for_layers.state = states[position] end
    x = block(x, for_layers)
  end
  return self.norm(x)
end)

---@param hidden gamut.Tensor [..., d_model]
---@return gamut.Tensor [..., vocab_size], or [..., codebooks, vocab_size]
Decoder.logits = call.tracked(function(self, hidden)
  local logits = self.head(hidden)
  if not self.softcap then return logits end
  -- In place where the gradients allow it: the head's output is the largest tensor of the model.
  return logits:div_(self.softcap):tanh_():mul(self.softcap)
end)

---@param ids gamut.Tensor int64 [batch, time], or [batch, codebooks, time]
---@param context? gamut.nn.Context
---@return gamut.Tensor [batch, time, vocab_size], or [batch, time, codebooks, vocab_size]
function Decoder:forward(ids, context) return self:logits(self:hidden(ids, context)) end

---The logits of what comes after the last step only; the head sees one step.
---@param ids gamut.Tensor
---@param context? gamut.nn.Context
---@return gamut.Tensor [batch, vocab_size], or [batch, codebooks, vocab_size]
Decoder.next_logits = call.tracked(function(self, ids, context)
  return self:logits(self:hidden(ids, context):select(1, -1))
end)

---Mean cross entropy in float32, natural log. With several codebooks, the mean over all of them.
---@param ids gamut.Tensor int64 [batch, time], or [batch, codebooks, time]
---@param targets gamut.Tensor int64, shaped like ids; -100 counts nothing
---@param context? gamut.nn.Context
---@return gamut.Tensor scalar
Decoder.loss = call.tracked(function(self, ids, targets, context)
  if not targets then
    error("model:loss takes ids and targets, as batches:next() gives them; there are no targets", 0)
  end
  if self.codebooks > 1 then targets = targets:transpose(1, 2) end
  local matrices = self.head.matrices and self.head:matrices()
  if not matrices then return gamut.ops.gamut.cross_entropy(self:forward(ids, context), targets) end
  -- Head and loss at once: the logits of a whole batch, the largest tensor of the model, never exist.
  return gamut.ops.gamut.linear_cross_entropy(self:hidden(ids, context), matrices, targets,
    { softcap = self.softcap or 0.0 })
end)

return Decoder
