-- A small run in which everything that has a state has some: both mixers, dropout, two optimizers, an
-- EMA, accumulation, a schedule, shuffled data of several epochs.

local gamut = require "gamut"
local nn, data, optim, train = gamut.nn, gamut.data, gamut.optim, gamut.train

local config = train.config()
gamut.manual_seed(config.seed)

local tokenizer = gamut.tokenizer "bytes"
local corpus = data.text_corpus{
  path = config.data, cache = config.cache, tokenizer = tokenizer, validation = 0, seed = config.seed,
}
local batches = data.batches(corpus.train, {
  batch = config.batch, context = config.context, order = "shuffled", seed = config.seed,
})

local model = nn.Decoder{
  vocab_size = tokenizer.vocab_size, d_model = config.d_model, layers = {"gdn", "attention"},
  mixers = {gdn = {n_heads = 2, head_dim = 16}, attention = {n_heads = 2}},
  mlp = {kind = "swiglu", d_ff = 64}, tied = true, dropout = 0.1,
}

local matrices, others = {}, {}
for _, entry in ipairs(model:named_parameters()) do
  local group = entry[1]:match "^blocks" and entry[2].ndim == 2 and matrices or others
  group[#group + 1] = entry
end

local run = train.start{
  model = model, data = batches, ema = train.ema(model, 0.9), steps = config.steps,
  optimizers = {optim.muon{{params = matrices}, lr = 0.02}, optim.adamw{{params = others}, lr = 0.004}},
  tokens_per_step = config.batch * config.context * config.accumulate, keep_checkpoints = config.keep,
}
local schedule = train.schedule.linear_warmdown{warmup_steps = 4, warmdown_steps = 12}

for _ in run:steps() do
  local loss = run:accumulate(config.accumulate, function()
    local inputs, targets = batches:next()
    return model:loss(inputs, targets)
  end)
  local norm = train.clip_grad_norm(model, 1.0)
  if run:healthy(loss, norm) then run:update(schedule(run)) end
  run:log{train_loss = loss, grad_norm = norm}
  if run:due(config.checkpoint_every) then run:checkpoint() end
end
run:finish()
