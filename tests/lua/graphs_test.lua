-- Training steps as graphs, with a stand-in for the device: at recording it runs what is recorded and takes back all
-- that this did; a replay runs it again and writes where the recording did. So whatever a step needs beside tensors that
-- stay, or reads before it was computed, shows in the losses, and these are compared bit for bit with plain steps'.
local gamut = require "gamut"
local native = require "gamut.native.cuda"
local system = require "gamut.native.system"
local testing = require "gamut.testing"

-- What the run verb would tell: this test is the script.
local folder = os.tmpname() .. "_graphs"
system.make_directories(folder)
system.write_file(folder .. "/train.lua", "")
system.write_file(folder .. "/config.yaml", "{}\n")
local runs = 0
local settings = {
  script = folder .. "/train.lua", script_dir = folder, study = "graphs", runs_root = folder, config_files = {},
  overrides = {}, accept = {}, command = {"test"},
}
package.loaded["gamut.native.run"] = settings

local graphs = require "gamut.train.graphs"
local nn, optim, train = gamut.nn, gamut.optim, gamut.train

-- What holds for a run of this test: the stand-in, the run, and a number that its steps read.
local device, run_now
local number = {value = 1.0}

local Graph = {}
Graph.__index = Graph

local function writable()
  local list = {}
  for _, entry in ipairs(run_now.model:state_dict()) do list[#list + 1] = entry[2] end
  for _, optimizer in ipairs(run_now.optimizers) do
    for _, entry in ipairs(optimizer:state()) do list[#list + 1] = entry[2] end
  end
  for _, entry in ipairs(run_now.ema and run_now.ema:state() or {}) do list[#list + 1] = entry[2] end
  return list
end

local function copies(tensors)
  local list = {}
  for i, tensor in ipairs(tensors) do list[i] = tensor:detach():clone() end
  return list
end

local function put_back(tensors, saved)
  gamut.no_grad(function()
    for i, tensor in ipairs(tensors) do tensor:copy_(saved[i]) end
  end)
end

local function gradients()
  local list = {}
  for _, parameter in ipairs(run_now.model:parameters()) do list[#list + 1] = parameter.grad end
  return list
end

-- Runs fn as the device would: no batch is fetched, and numbers of Lua are those of the recording.
local function on_device(fn)
  device.is_busy = true
  local ok, result = pcall(fn)
  device.is_busy = false
  if not ok then error(result, 0) end
  return result
end

function Graph:record(pool, fn)
  testing.equal(pool, 7)
  local tensors, rng = writable(), gamut.rng_state()
  local saved = copies(tensors)
  self.frozen = number.value
  local ok, result = pcall(on_device, fn)
  put_back(tensors, saved)
  gamut.set_rng_state(rng)
  if not ok then error(result, 0) end
  device.recorded[#device.recorded + 1] = result and "gradients" or "update"
  self.fn, self.loss = fn, result
  if result then -- nothing was computed yet
    self.outputs = gamut.keep(gradients())
    gamut.no_grad(function() gamut._foreach_mul_({result, table.unpack(self.outputs)}, 0 / 0) end)
  end
  return result
end

function Graph:replay()
  device.replays = device.replays + 1
  local current = number.value
  number.value = self.frozen -- a recording knows the number of its time
  if self.loss then
    run_now.model:zero_grad()
    local loss = on_device(self.fn)
    put_back({self.loss, table.unpack(self.outputs)}, {loss, table.unpack(gradients())})
    run_now.model:zero_grad()
  else
    on_device(self.fn)
  end
  number.value = current
  if device.after_replay then device.after_replay(self) end
end

local function stand_in()
  return {
    recorded = {}, replays = 0, addresses = native.addresses, pool = function() return 7 end,
    graph = function() return setmetatable({}, Graph) end, synchronize = function() end, empty_cache = function() end,
    use_own_stream = function() end,
  }
end

-- Batches that depend on their number alone, of `lengths[n % #lengths + 1]` steps.
local function stream(lengths, has_window)
  local data = {at = 0, fingerprint = "none"}
  function data:state() return {at = self.at} end
  function data:load_state(state) self.at = state.at end
  function data:next()
    if device and device.is_busy then error("a batch was fetched while the device was at work", 0) end
    self.at = self.at + 1
    local length = lengths[self.at % #lengths + 1]
    local generator = gamut.generator{seed = self.at}
    local ids = gamut.randint(17, {2, length + 1}, {generator = generator})
    return ids:narrow(1, 0, length), ids:narrow(1, 1, length), has_window and {item = self.at} or nil
  end
  return data
end

-- A run like those of the experiments: a hybrid with dropout, Muon and AdamW, averaged weights.
local function start(options)
  runs = runs + 1
  settings.run_dir = ("%s/%d"):format(folder, runs)
  gamut.manual_seed(5)
  local model = nn.Decoder{
    vocab_size = 17, d_model = 8, layers = {"gdn", "attention"}, dropout = 0.1, tied = true,
    mlp = {kind = "swiglu", d_ff = 12}, mixers = {gdn = {n_heads = 2}, attention = {n_heads = 2}},
  }
  local matrices, others = {}, {}
  for _, entry in ipairs(model:named_parameters()) do
    local group = entry[1]:match "^blocks" and entry[2].ndim == 2 and matrices or others
    group[#group + 1] = entry
  end
  local run = train.start{
    model = model, data = stream(options.lengths or {6}, options.windows), steps = options.steps or 8,
    tokens_per_step = 24,
    optimizers = options.optimizers and options.optimizers(model)
      or {optim.muon{{params = matrices}, lr = 0.02}, optim.adamw{{params = others}, lr = 3e-3, weight_decay = 0.1}},
    ema = train.ema(model, 0.9), autocast = options.autocast, graph = options.graph,
  }
  run_now, run.said = run, {}
  function run.folder:event(_, _, text) table.insert(run.said, text) end -- luacheck: ignore 212
  return run
end

-- The loop of the quickstart, with the momentum that the golf study schedules: what it logs, and what it leaves.
local function train_all(run, options)
  local schedule = train.schedule.linear_warmdown{warmup_steps = 3, warmdown_steps = 4}
  local count, losses = options.count or 2, {}
  local function micro_step(i)
    local x, y, window = run.data:next()
    if options.inside then options.inside(run, i, window) end
    return run.model:loss(x, y) * number.value
  end
  for step in run:steps() do
    if options.before then options.before(run, step) end
    local loss = run:accumulate(count, micro_step)
    local norm = train.clip_grad_norm(run.model, 0.5)
    run.optimizers[1].groups[1].momentum = 0.8 + 0.01 * step
    if run:healthy(loss, norm) then run:update(schedule(run)) end
    run:log{train_loss = loss, grad_norm = norm}
    losses[#losses + 1] = ("%a %a"):format(loss, norm)
  end
  return {
    losses = losses, weights = copies(writable()), rng = gamut.rng_state(), position = run.data:state().at,
    graphs = run.graphs and run.graphs:describe(), said = table.concat(run.said, "\n"),
  }
end

-- Runs without and with graphs must be equal to the last bit.
local function compare(options)
  device = nil
  options.graph = false
  local plain = train_all(start(options), options)
  device = stand_in()
  graphs.device, graphs.serves = device, function() return true end
  for key, value in pairs(options.device or {}) do device[key] = value end
  options.graph = options.wanted
  local recorded = train_all(start(options), options)
  testing.equal(recorded.losses, plain.losses)
  testing.equal(recorded.weights, plain.weights)
  testing.equal(recorded.rng, plain.rng)
  testing.equal(recorded.position, plain.position)
  return recorded
end

local test, equal, is_true = testing.test, testing.equal, testing.is_true

local function has(text, part) is_true(text:find(part, 1, true), ("no `%s` in\n%s"):format(part, text)) end

test("replayed steps have the bits of plain ones", function()
  local run = compare{}
  equal(device.recorded, {"gradients", "update"})
  equal(device.replays, 2 * (8 - 3))
  equal(run.graphs, {gradients = "recorded", update = "recorded"})
  has(run.said, "steps are replayed as CUDA graphs")
end)

test("under autocast too, with one micro-batch", function()
  compare{autocast = "bfloat16", count = 1}
  equal(device.recorded, {"gradients", "update"})
end)

test("batches of several shapes have a graph each", function()
  compare{lengths = {8, 6}, count = 1, steps = 10}
  equal(device.recorded, {"gradients", "update", "gradients", "update"})
end)

test("an option that is part of a recording has the update recorded anew", function()
  compare{before = function(run, step) run.optimizers[2].groups[1].eps = step < 6 and 1e-8 or 1e-6 end}
  equal(device.recorded, {"gradients", "update", "update"})
end)

test("weights that move are recorded anew", function()
  compare{before = function(run, step) if step == 5 then run.model:to{device = "cpu", dtype = "float32"} end end}
  equal(device.recorded, {"gradients", "update"})
  compare{before = function(run, step)
    local weight = run.model:parameters()[1]
    if step == 5 then require("gamut.native.nn").set_data(weight, weight:detach():clone()) end
  end}
  equal(device.recorded, {"gradients", "update", "gradients", "update"})
end)

test("a number of Lua's that changes is seen, and the step done again plainly", function()
  local run = compare{before = function(_, step) number.value = step < 7 and 1.0 or 0.5 end}
  number.value = 1.0
  has(run.graphs.gradients, "plain: replay 4 gave a loss of")
  has(run.said, "something in it changes from step to step")
  equal(device.replays, 3 + 4)
end)

test("gradients that a replay got wrong are seen", function()
  local run = compare{device = {after_replay = function(graph)
    if graph.outputs then gamut.no_grad(function() graph.outputs[1]:mul_(1.1) end) end
  end}}
  has(run.graphs.gradients, "plain: the gradients of the recorded step are off by")
end)

test("a step that cannot be recorded stays plain, and says why", function()
  local function waits()
    if device and device.is_busy then error("operation not permitted when stream is capturing", 0) end
  end
  local run = compare{inside = waits}
  has(run.graphs.gradients, "plain: operation not permitted when stream is capturing")
  equal({device.replays, device.recorded}, {0, {}})
  testing.raises(function() compare{inside = waits, wanted = true} end,
    "graph = true, but steps cannot be replayed as CUDA graphs: operation not permitted")
end)

test("what a loader gives beside tensors is not to be had in a recording", function()
  local run = compare{windows = true, inside = function(_, _, window) return window.item end}
  has(run.graphs.gradients, "plain: `item` of what data:next() gives beside tensors is not there")
end)

test("another number of batches than before is put right", function()
  local sentence = "plain: equal calls of run:accumulate take different numbers of batches"
  local run = compare{inside = function(now, i) if i == 1 and now.current == 3 then now.data:next() end end}
  has(run.graphs.gradients, sentence)
  run = compare{inside = function(now, i) if i == 1 and now.current < 3 then now.data:next() end end}
  has(run.graphs.gradients, sentence)
end)

test("gradients that are there already are said, and added to", function()
  local run = compare{before = function(now, step)
    if step == 6 then now.model:parameters()[2].grad = gamut.ones(now.model:parameters()[2].shape) end
  end}
  has(run.graphs.gradients, "has a gradient already when run:accumulate begins")
end)

test("a value that is another each step is no kind of step of its own", function()
  device = stand_in()
  graphs.device = device
  local run = start{steps = 11}
  for step in run:steps() do
    run:accumulate(1, function() return run.model:loss(run.data:next()) * (1 + 1 / step) end)
    run:update()
  end
  has(run.graphs:describe().gradients, "plain: there are more than 8 kinds of step")
  equal(device.recorded, {})
end)

test("an optimizer that cannot be recorded updates plainly", function()
  local function own(model)
    local list = {}
    for i, parameter in ipairs(model:parameters()) do list[i] = {"p" .. i, parameter} end
    local optimizer = {name = "by hand", groups = {{lr = 0.05, momentum = 0.0}}}
    function optimizer:step()
      gamut.no_grad(function() for _, e in ipairs(list) do e[2]:sub_(e[2].grad * self.groups[1].lr) end end)
    end
    function optimizer:zero_grad() model:zero_grad() end -- luacheck: ignore 212
    function optimizer:state() return {} end             -- luacheck: ignore 212
    return {optimizer}
  end
  local run = compare{optimizers = own}
  equal(device.recorded, {"gradients"})
  equal(run.graphs.gradients, "recorded")
  has(run.graphs.update, "plain: optimizer by hand does not offer a step that can be recorded")
  testing.raises(function() compare{optimizers = own, wanted = true} end, "updates cannot be replayed as CUDA graphs")
end)

test("a warm-up records, and the run goes on with what it recorded", function()
  local results = {}
  for i, graph in ipairs{false, "auto"} do
    device = stand_in()
    graphs.device = device
    local run = start{steps = 4, graph = graph}
    local losses = {}
    local function train_step()
      local loss = run:accumulate(2, function() return run.model:loss(run.data:next()) end)
      run:update(0.5)
      return loss
    end
    train.warm_up(run, 5, train_step)
    for _ in run:steps() do losses[#losses + 1] = train_step() end
    results[i] = {losses, copies(writable()), gamut.rng_state(), run.data.at}
  end
  equal(results[2], results[1])
  equal({device.recorded, device.replays}, {{"gradients", "update"}, 2 * (2 + 4)})
end)

test("without a device `auto` is plain, and true an error in words", function()
  device = nil
  graphs.serves = function(name) return name:match "^cuda" ~= nil end
  equal(start{}.graphs, nil)
  testing.raises(function() start{graph = true} end, "needs a CUDA device, and the model is on `cpu`")
  testing.raises(function() start{graph = "yes"} end, '`graph` is "auto", true or false, not yes')
end)

test("gamut.cuda says what is missing", function()
  equal(gamut.cuda.is_available(), gamut.cuda_available())
  if gamut.cuda_available() then return end
  equal(gamut.cuda.device_count(), 0)
  testing.raises(function() gamut.cuda.synchronize() end, "this needs a CUDA device, and none is there: ")
  testing.raises(function() gamut.cuda.device_name() end, "needs a CUDA device")
  testing.raises(function() gamut.cuda.event() end, "needs a CUDA device")
  testing.raises(function() return gamut.cuda.memroy end, "no `memroy`; did you mean `memory`")
  equal(gamut.cuda.is_recording(), false)
end)

os.execute("rm -r '" .. folder .. "'")
testing.finish()
