-- One run of the long-context golf study: model, data, optimizers, the wall-clock schedule, and in the end the score of
-- the artifact. Start it with `gamut run experiments/golf_long_context/train.lua`; config.yaml lists what can be set.

local gamut = require "gamut"
local architectures = require "golf.architectures"
local artifact = require "golf.artifact"
local budget = require "golf.budget"
local golf_log = require "golf.log"
local golf_optimizers = require "golf.optimizers"
local precision = require "golf.precision"
local settings = require "golf.settings"
local submission = require "golf.submission"
local Model = require "golf.model"
local system = require "gamut.native.system"
local data, eval, train = gamut.data, gamut.eval, gamut.train

local config = train.config():plain()
local device = train.device(config.device)
local plan = settings.resolve(config) -- published values where the configuration says null
local seconds = config.max_seconds and config.max_seconds > 0 and config.max_seconds or nil
local warmup_steps = config.warmup_steps or device == "cpu" and 0 or 20
gamut.manual_seed(config.seed)

-- Data: shards as one stream, m + 1 tokens a micro-batch; validation in windows of the training context.
if not system.exists(config.data) then
  error(("there is no folder %s; `gamut data fetch fineweb_sp1024 out=data` gets the published shards")
    :format(config.data), 0)
end
local tokenizer = config.tokenizer == "bytes" and gamut.tokenizer "bytes"
  or gamut.tokenizer("sentencepiece", { model = config.tokenizer })
local train_set = data.shards(config.data, { split = "train", vocab_size = tokenizer.vocab_size })
local val_set = data.shards(config.data, { split = "val", vocab_size = tokenizer.vocab_size })
local batches = data.batches(train_set, { batch = plan.batch, context = config.context, device = device })
local windows = data.windows(val_set, {
  batch = plan.val_batch, context = config.context, max_tokens = config.val_tokens,
})

-- The model is drawn on the CPU in float32, so that a seed gives the same weights everywhere; then cast and moved.
local facts = { vocab_size = tokenizer.vocab_size, precision = config.precision }
if config.model.parameters then
  local fit = budget.fit(config.model, facts)
  print("Width: " .. fit.text)
  facts.d_model = fit.width
end
local shape = architectures.options(config.model, facts)
local model = Model(shape)
local autocast = precision.apply(model, config.precision)
model:to { device = device }

local optimizers = golf_optimizers.make(model, config)
local schedule = seconds and train.schedule.wall_clock_warmdown { warmdown_steps = plan.warmdown_steps }
  or train.schedule.linear_warmdown { warmdown_steps = plan.warmdown_steps }

local run = train.start {
  model = model, optimizers = { optimizers.muon, optimizers.adam }, data = batches, autocast = autocast,
  steps = config.iterations, seconds = seconds, tokens_per_step = plan.train_batch_tokens, keep_checkpoints = 2,
  graph = config.graph,
}
local log = golf_log.open(run, {
  layers = shape.layers, d_model = shape.d_model, n_heads = config.model.n_heads, n_kv_heads = config.model.n_kv_heads,
  tokenizer = config.tokenizer, data = config.data, train_shards = #train_set.files, val_tokens = windows.tokens,
  context = config.context, train_batch_tokens = plan.train_batch_tokens, accumulate = config.accumulate,
  iterations = config.iterations, warmup_steps = warmup_steps, max_seconds = seconds or 0.0, seed = config.seed,
  embed_lr = config.embed_lr, matrix_lr = config.matrix_lr, scalar_lr = config.scalar_lr, log_every = config.log_every,
})

local function train_step()
  local loss = run:accumulate(config.accumulate, function() return model:loss(batches:next()) end)
  optimizers.muon.groups[1].momentum = golf_optimizers.momentum(run.step, plan.momentum)
  run:update(schedule(run))
  return loss
end

local function validate()
  return eval.bits_per_byte {
    model = model, set = val_set, tokenizer = tokenizer, context = config.context, batch = plan.val_batch,
    max_tokens = config.val_tokens, autocast = autocast,
  }
end

local function validation()
  local result = run:untimed(validate)
  log:validation(run, result)
  run:log { val_loss = result.loss, val_bpb = result.bpb, train_seconds = run:seconds() }
  run:result {
    pre_quant_loss = result.loss, pre_quant_bpb = result.bpb, val_tokens = result.tokens, val_bytes = result.bytes,
  }
end

-- What counts in the end: the score of the model that is read back from the artifact, its weights in eight bits.
local function score_artifact()
  local sizes, paths = artifact.write(model, run.folder.root)
  log:serialized(sizes)
  artifact.load(model, paths.artifact)
  local began = system.monotonic()
  local result = validate()
  local milliseconds = 1000 * (system.monotonic() - began)
  log:roundtrip(result, milliseconds)
  run:result {
    val_loss = result.loss, val_bpb = result.bpb, eval_ms = milliseconds, artifact_bytes = sizes.artifact,
    payload_bytes = sizes.payload, raw_torch_bytes = sizes.raw_torch, code_bytes = log.code_bytes,
    submission_bytes = sizes.artifact + log.code_bytes,
  }
  submission.write_run(run, config)
end

-- Kernels, memory and graphs are ready before the clock starts; what these steps trained is undone.
train.warm_up(run, warmup_steps, function(i)
  train_step()
  log:warmup_step(i, warmup_steps)
end)

local begins = not run.saved_step and not run.dry_run -- not resumed from a checkpoint
if begins and config.val_every > 0 then
  validation()
  run:checkpoint()
end
local val_every = config.val_every > 0 and config.val_every or math.maxinteger
for _ in run:steps() do
  local loss = train_step()
  run:log { train_loss = loss }
  log:train(run, loss)
  if run:due(val_every) then validation() end
  if run:due(config.checkpoint_every) then run:checkpoint() end
end
run:checkpoint()

if run.step < config.iterations then log:stopping_early(run) end
local peak = log:peak_memory()
run:result {
  parameters = model:parameter_count(), steps = run.step, step_average_ms = 1000 * run.elapsed / math.max(run.step, 1),
  peak_mib = peak.allocated / 2 ^ 20,
}
if config.artifact then score_artifact() end
run:finish()
