-- One cell of study.lua: a few steps, and two ways to be met in the middle of them.

local gamut = require "gamut"
local system = require "gamut.native.system"
local nn, data, optim, train = gamut.nn, gamut.data, gamut.optim, gamut.train

local config = train.config()
gamut.manual_seed(config.seed)

local tokenizer = gamut.tokenizer "bytes"
local corpus = data.text_corpus{
  path = config.data, cache = config.cache, tokenizer = tokenizer, validation = 0, seed = config.seed,
}
local batches = data.batches(corpus.train, {batch = 2, context = 16, order = "shuffled", seed = config.seed})
local model = nn.Decoder{
  vocab_size = tokenizer.vocab_size, d_model = config.d_model, layers = {"attention"},
  mixers = {attention = {n_heads = 1}}, mlp = {kind = "swiglu", d_ff = 16}, tied = true, dropout = 0.1,
}
local run = train.start{
  model = model, data = batches, ema = train.ema(model, 0.9), steps = config.steps, tokens_per_step = 32,
  optimizers = {optim.adamw{{params = model:named_parameters()}, lr = 0.004}},
}

local function is_there(path) return path ~= nil and system.exists(path) end

local function wait_while(path)
  while is_there(path) and not gamut.interrupted() do io.popen("sleep 0.02"):close() end
end

for step in run:steps() do
  local loss = run:accumulate(1, function() return model:loss(batches:next()) end)
  local norm = train.clip_grad_norm(model, 1.0)
  run:update()
  run:log{train_loss = loss, grad_norm = norm}
  if step == 2 and is_there(config.broken) then error "this run is broken on purpose" end
  if step == 3 then wait_while(config.hold) end
end
run:result{final_loss = run.step * 0.5}
run:finish()
