-- Quickstart: a byte-level hybrid of gated delta net and attention layers, trained on English text.
-- Start it with `gamut run experiments/quickstart`; config.yaml beside this file lists what can be set.

local gamut = require "gamut"
local nn, data, optim, train, eval = gamut.nn, gamut.data, gamut.optim, gamut.train, gamut.eval

local config = train.config()
local device = train.device(config.device)
gamut.manual_seed(config.seed)

-- Data: documents as bytes; a share of the documents is held out for validation.
local tokenizer = gamut.tokenizer "bytes"
local corpus = data.text_corpus{
  path = config.data or data.default_text(), tokenizer = tokenizer,
  validation = config.validation, seed = config.seed,
}
local batches = data.batches(corpus.train, {
  batch = config.batch, context = config.context, order = "shuffled", seed = config.seed, device = device,
})

-- Model: pre-norm residual blocks, each a mixer and a SwiGLU, over tied byte embeddings.
local model = nn.Decoder{
  vocab_size = tokenizer.vocab_size, d_model = config.model.d_model,
  layers = config.model.layers, mixers = config.model.mixers,
  mlp = {kind = "swiglu", d_ff = config.model.d_ff}, tied = true,
}
model:to{device = device}

-- Optimizers: Muon for the matrices inside the blocks, AdamW for embeddings, norms and gates.
local matrices, others = {}, {}
for _, entry in ipairs(model:named_parameters()) do
  local name, parameter = entry[1], entry[2]
  local group = name:match "^blocks" and parameter.ndim == 2 and matrices or others
  group[#group + 1] = entry
end
local optimizers = {
  optim.muon{{params = matrices}, lr = config.muon.lr, momentum = config.muon.momentum},
  optim.adamw{{params = others}, lr = config.adamw.lr, weight_decay = config.adamw.weight_decay},
}

local schedule = train.schedule.linear_warmdown{
  warmup_steps = config.warmup_steps, warmdown_steps = config.warmdown_steps,
}
local ema = config.ema_decay and train.ema(model, config.ema_decay)

local run = train.start{
  model = model, optimizers = optimizers, data = batches, ema = ema,
  steps = config.steps, tokens_per_step = config.batch * config.context * config.accumulate,
  autocast = config.autocast, graph = config.graph,
}

local function validate()
  return eval.bits_per_byte{
    model = model, set = corpus.val, tokenizer = tokenizer,
    context = config.context, batch = config.batch, max_tokens = config.eval_tokens, autocast = config.autocast,
  }
end

local function sample()
  local prompt = tokenizer:encode(config.prompt)
  return tokenizer:decode(nn.generate(model, prompt, {
    steps = config.sample_bytes, temperature = 0.8, top_k = 40, seed = config.seed,
  }))
end

for step in run:steps() do
  local loss = run:accumulate(config.accumulate, function()
    local inputs, targets = batches:next()
    return model:loss(inputs, targets)
  end)
  local norm = train.clip_grad_norm(model, config.clip_norm)
  if run:healthy(loss, norm) then run:update(schedule(run)) end
  run:log{train_loss = loss, grad_norm = norm}

  if run:due(config.eval_every) then
    local result = run:untimed(ema and function() return ema:swapped(validate) end or validate)
    run:log{val_loss = result.loss, val_bpb = result.bpb}
  end
  if run:due(config.checkpoint_every) then run:checkpoint() end
end

local text = sample()
run:sample(text)
print(("\nA sample:\n%s\n"):format(text))
run:finish()
