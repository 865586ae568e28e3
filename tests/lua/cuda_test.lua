-- gamut.cuda and real graphs; graphs_test.lua tests what needs no device. Ends with 77 where none answers.
local gamut = require "gamut"
local native = require "gamut.native.cuda"
local system = require "gamut.native.system"
local testing = require "gamut.testing"

if not gamut.cuda.is_available() then
  print "there is no CUDA device"
  os.exit(77, true)
end

-- What the run verb would tell: this test is the script.
local folder = os.tmpname() .. "_cuda"
system.make_directories(folder)
system.write_file(folder .. "/train.lua", "")
system.write_file(folder .. "/config.yaml", "{}\n")
local settings = {
  script = folder .. "/train.lua", script_dir = folder, study = "cuda", runs_root = folder, config_files = {},
  overrides = {}, accept = {}, command = {"test"},
}
package.loaded["gamut.native.run"] = settings

local test, equal, is_true, raises = testing.test, testing.equal, testing.is_true, testing.raises
local cuda = gamut.cuda

test("devices are described, and their memory is counted", function()
  is_true(cuda.device_count() >= 1)
  local description = cuda.describe()
  is_true(#description.name > 0 and description.capability:match "^%d+%.%d+$" and description.multiprocessors > 0)
  collectgarbage()
  cuda.reset_peak_memory()
  local before = cuda.memory()
  do
    local _ <close> = gamut.new_scope()
    local tensor = gamut.zeros({1 << 20}, {device = "cuda"})
    is_true(cuda.memory().allocated - before.allocated >= tensor.nbytes)
  end
  local after = cuda.memory()
  equal(after.allocated, before.allocated)
  is_true(after.allocated_peak >= before.allocated + (4 << 20) and after.total > after.free)
  raises(function() cuda.describe "cuda:99" end, "there is no device `cuda:99`")
  raises(function() cuda.memory "cpu" end, "`cpu` is no CUDA device")
end)

test("events time what lies between them", function()
  local a = gamut.randn({2048, 2048}, {device = "cuda"})
  local began = cuda.event():record()
  for _ = 1, 20 do a = gamut.matmul(a, a):tanh() end
  local ended = cuda.event():record()
  local spent = ended:since(began)
  is_true(spent > 0.05 and spent < 10000 and ended:is_over(), tostring(spent))
  raises(function() cuda.event():synchronize() end, "was not recorded yet")
end)

native.use_own_stream()

test("a replay computes what was recorded, from what its inputs hold then", function()
  local pool = native.pool()
  local x, graph = gamut.ones({3}, {device = "cuda"}), native.graph()
  local y = graph:record(pool, function()
    is_true(cuda.is_recording())
    return x * 2 + 1
  end)
  is_true(not cuda.is_recording())
  for value = 1, 3 do
    x:fill_(value)
    graph:replay()
    testing.close(y:cpu(), gamut.full({3}, 2.0 * value + 1), 0)
  end
  raises(function() graph:record(pool, function() end) end, "recorded already")
end)

test("random numbers go on through replays as without them", function()
  local pool = native.pool()
  gamut.manual_seed(4)
  local plain = {}
  for i = 1, 3 do plain[i] = gamut.rand({5}, {device = "cuda"}):cpu() end
  gamut.manual_seed(4)
  local graph = native.graph()
  local y = graph:record(pool, function() return gamut.rand({5}, {device = "cuda"}) end)
  for i = 1, 2 do
    graph:replay()
    equal(y:cpu(), plain[i])
  end
  equal(gamut.rand({5}, {device = "cuda"}):cpu(), plain[3])
end)

test("what cannot be recorded is an error, and everything works after it", function()
  local pool = native.pool()
  local x = gamut.ones({4}, {device = "cuda"})
  local kept = native.graph()
  local drawn = kept:record(pool, function() return gamut.rand({4}, {device = "cuda"}) end)
  for _, wrong in ipairs{
    function() return x:sum():item() end,
    function() return gamut.tensor({1.0, 2.0}):to "cuda" end,
    function() gamut.rand({4}, {device = "cuda"}) error("the script's own", 0) end,
  } do
    local graph = native.graph()
    raises(function() graph:record(pool, wrong) end, ".")
    is_true(not cuda.is_recording())
    testing.close((x * 3):cpu(), gamut.full({4}, 3.0), 0)
    gamut.manual_seed(7)
    local plain = gamut.rand({4}, {device = "cuda"}):cpu()
    gamut.manual_seed(7)
    kept:replay()
    equal(drawn:cpu(), plain)
    local y = graph:record(pool, function() return x + 1 end)
    graph:replay()
    testing.close(y:cpu(), gamut.full({4}, 2.0), 0)
  end
end)

test("gradients and an optimizer's step are recorded", function()
  local results, pool = {}, native.pool()
  for i, recorded in ipairs{false, true} do
    gamut.manual_seed(2)
    local model = gamut.nn.list{gamut.nn.Linear(8, 16), gamut.nn.Linear(16, 4)}
    model:to{device = "cuda"}
    local optimizers = {
      gamut.optim.muon{{params = {{"a", model[1].weight}, {"b", model[2].weight}}}, lr = 0.1},
      gamut.optim.adamw{{params = {{"c", model[1].bias}, {"d", model[2].bias}}}, lr = 0.1},
    }
    local x = gamut.randn({32, 8}, {device = "cuda"})
    local function backward()
      local loss = model[2](model[1](x):tanh()):square():mean()
      loss:backward()
      return loss:detach()
    end
    local function update() for _, optimizer in ipairs(optimizers) do optimizer:step_on_device() end end
    local function prepare(step)
      for _, optimizer in ipairs(optimizers) do
        optimizer.groups[1].lr = 0.1 / step
        optimizer:prepare_step()
      end
    end
    for _ = 1, 3 do -- plain ones, by which everything is there
      backward()
      prepare(1)
      update()
      model:zero_grad()
    end
    local first, second = native.graph(), native.graph()
    if recorded then
      first:record(pool, backward)
      second:record(pool, update)
    end
    for step = 2, 6 do
      if recorded then first:replay() else backward() end
      prepare(step)
      if recorded then second:replay() else update() model:zero_grad() end
    end
    results[i] = model[1].weight:detach():cpu()
  end
  testing.close(results[2], results[1], 1e-5)
end)

-- A hybrid as the quickstart trains it, with dropout; the losses of its steps.
local function train_all(graph, name)
  settings.run_dir = folder .. "/" .. name
  gamut.manual_seed(5)
  local model = gamut.nn.Decoder{
    vocab_size = 64, d_model = 64, layers = {"gdn", "attention"}, dropout = 0.1, tied = true,
    mlp = {kind = "swiglu", d_ff = 128}, mixers = {gdn = {n_heads = 2}, attention = {n_heads = 2}},
  }
  model:to{device = "cuda"}
  local matrices, others = {}, {}
  for _, entry in ipairs(model:named_parameters()) do
    local group = entry[1]:match "^blocks" and entry[2].ndim == 2 and matrices or others
    group[#group + 1] = entry
  end
  local at = 0
  local data = {fingerprint = "none"}
  function data:state() return {at = at} end            -- luacheck: ignore 212
  function data:load_state(state) at = state.at end     -- luacheck: ignore 212
  function data:next() -- luacheck: ignore 212
    at = at + 1
    local ids = gamut.randint(64, {2, 129}, {generator = gamut.generator{seed = at}}):to "cuda"
    return ids:narrow(1, 0, 128), ids:narrow(1, 1, 128)
  end
  local run = gamut.train.start{
    model = model, data = data, steps = 20, tokens_per_step = 512, autocast = "bfloat16", graph = graph,
    optimizers = {gamut.optim.muon{{params = matrices}, lr = 0.01}, gamut.optim.adamw{{params = others}, lr = 3e-3}},
    ema = gamut.train.ema(model, 0.9),
  }
  local losses = {}
  for step in run:steps() do
    local loss = run:accumulate(2, function() return model:loss(data:next()) end)
    local norm = gamut.train.clip_grad_norm(model, 1.0)
    if run:healthy(loss, norm) then run:update(1.0 / step) end
    losses[step] = loss
  end
  return gamut.tensor(losses), run
end

test("a run with graphs follows the one without", function()
  local plain = train_all(false, "plain")
  local recorded, run = train_all(true, "recorded")
  equal(run.graphs:describe(), {gradients = "recorded", update = "recorded"})
  testing.close(recorded, plain, 0.02)
end)

os.execute("rm -r '" .. folder .. "'")
testing.finish()
