-- Recordings that fail, and a whole run with graphs, on a device that computes nothing: what LibTorch's own code for CUDA
-- (allocators, random numbers, autograd) makes of them. Values are tested on a real one, by tests/lua/cuda_test.lua.
local gamut = require "gamut"
local native = require "gamut.native.cuda"
local testing = require "gamut.testing"
local test, equal, is_true = testing.test, testing.equal, testing.is_true

package.loaded["gamut.native.run"] = {
  script = "train.lua", script_dir = ".", study = "fake", runs_root = ".", run_dir = "run", config_files = {},
  overrides = {}, accept = {}, command = {"test"},
}

test("the device is asked before the first tensor", function()
  gamut.cuda.reset_peak_memory()
  equal(gamut.cuda.memory().allocated, 0)
  equal(gamut.cuda.describe().capability, "8.0")
  equal(gamut.rng_state "cuda":numel(), 16)
end)

native.use_own_stream()

test("everything works after a recording that failed", function()
  local x, pool = gamut.ones({4}, {device = "cuda"}), native.pool()
  local kept = native.graph()
  local drawn = kept:record(pool, function() return gamut.rand({4}, {device = "cuda"}) end)
  for _, wrong in ipairs{
    function() return x:sum():item() end,
    function() return gamut.tensor({1.0, 2.0}):to "cuda" end,
    function() gamut.rand({4}, {device = "cuda"}) error("the script's own", 0) end,
  } do
    local graph = native.graph()
    testing.raises(function() graph:record(pool, wrong) end, ".")
    is_true(not gamut.cuda.is_recording())
    local before = gamut.rng_state "cuda"
    gamut.rand({4}, {device = "cuda"})
    is_true(not before:equal(gamut.rng_state "cuda"), "random numbers go on")
    gamut.ones({3}):pin_memory()
    graph:record(pool, function() return x + 1 end)
    graph:replay()
    before = gamut.rng_state "cuda"
    kept:replay()
    is_true(not before:equal(gamut.rng_state "cuda"), "a replay counts its random numbers")
  end
  equal(drawn.shape, {4})
end)

test("a run with every mixer is recorded, its batches fetched ahead of the device", function()
  local model = gamut.nn.Decoder{
    vocab_size = 17, d_model = 16, layers = {"gdn", "attention", "mamba"}, dropout = 0.1, tied = true,
    mlp = {kind = "swiglu", d_ff = 24}, mixers = {gdn = {n_heads = 2}, attention = {n_heads = 2}},
  }
  model:to{device = "cuda"}
  local matrices, others = {}, {}
  for _, entry in ipairs(model:named_parameters()) do
    local group = entry[1]:match "^blocks" and entry[2].ndim == 2 and matrices or others
    group[#group + 1] = entry
  end
  local shards = gamut.data.shard_writer{folder = "shards", vocab_size = 17}
  shards:append(gamut.arange(4096):remainder(17))
  shards:finish()
  local batches = gamut.data.batches(gamut.data.shards("shards", {vocab_size = 17}),
    {batch = 2, context = 16, device = "cuda"})
  local run = gamut.train.start{
    model = model, data = batches, steps = 8, tokens_per_step = 64, autocast = "bfloat16", graph = true,
    optimizers = {gamut.optim.muon{{params = matrices}}, gamut.optim.adamw{{params = others}}},
    ema = gamut.train.ema(model, 0.9),
  }
  for _ in run:steps() do
    local loss = run:accumulate(2, function() return model:loss(batches:next()) end)
    gamut.train.clip_grad_norm(model, 1.0)
    run:update(0.5)
    run:log{train_loss = loss}
  end
  equal(run.graphs:describe(), {gradients = "recorded", update = "recorded"})
  equal(batches:state().position, 8 * 2 * (2 * 16 + 1))
end)

testing.finish()
