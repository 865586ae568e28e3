-- gamut bench: figures, floors, the table of operators, comparisons that must fail, and steps of a stand-in for CUDA.
local ceilings = require "gamut.bench.ceilings"
local clock = require "gamut.bench.clock"
local comparison = require "gamut.bench.comparison"
local crossing = require "gamut.bench.crossing"
local gamut = require "gamut"
local json = require "gamut.native.json"
local maps = require "gamut.maps"
local measure = require "gamut.bench.measure"
local operators = require "gamut.bench.operators"
local published = require "gamut.bench.published"
local step_case = require "gamut.bench.step_case"
local step_work = require "gamut.bench.step_work"
local tensor = require "gamut.native.tensor"
local testing = require "gamut.testing"

local function operator(name) return operators.find { name }[1] end

testing.test("a figure is the median with its quartiles", function()
  local figure = measure.summary { 5.0, 1.0, 2.0, 4.0, 3.0 }
  testing.equal({ figure.median, figure.low, figure.high, figure.min, figure.calls }, { 3.0, 2.0, 4.0, 1.0, 5 })
  testing.equal(measure.summary({ 1.0, 2.0 }).median, 1.5)
end)

-- A clock whose time is what calls say it is.
local function scripted_clock(is_cuda)
  local now = 0.0
  return {
    device = "cpu", is_cuda = is_cuda, kind = "scripted", mark = function() return now end, wait = function() end,
    ms = function(from, to) return to - from end, pass = function(ms) now = now + ms end,
    busy = is_cuda and gamut.zeros { 1 } or nil,
  }
end

testing.test("parts of a call are added up by name, warm-up calls do not count", function()
  local timer, calls = scripted_clock(false), 0
  local parts, whole = measure.parts(timer, function()
    calls = calls + 1
    local marks = { timer.mark(), part = { 1, 2, 1 } }
    for i, ms in ipairs { 1.0, 10.0, calls <= 2 and 500.0 or 3.0 } do
      timer.pass(ms)
      marks[i + 1] = timer.mark()
    end
    return marks
  end, { seconds = 0, repeats = 7 })
  testing.equal({ parts[1].median, parts[2].median, whole.median, whole.calls }, { 4.0, 10.0, 14.0, 7 })
end)

testing.test("series behind a head start measure the same", function()
  local timer = scripted_clock(true)
  local figure = measure.whole(timer, function() timer.pass(2.5) end, { seconds = 0, repeats = 23 })
  testing.equal({ figure.median, figure.calls }, { 2.5, 23 })
end)

testing.test("on a GPU marks are events, and reading a time is left to them", function()
  local cuda, log = gamut.cuda, {}
  local event, synchronize, now = cuda.event, cuda.synchronize, 0
  cuda.event = function()
    return {
      record = function(self)
        now = now + 1
        self.at = now
        return self
      end,
      since = function(self, earlier) return 10 * (self.at - earlier.at) end,
    }
  end
  cuda.synchronize = function(device) log[#log + 1] = device end
  local timer = clock.of "cuda:0"
  local from, to = timer.mark(), timer.mark()
  timer.wait()
  cuda.event, cuda.synchronize = event, synchronize
  testing.equal({ timer.is_cuda, timer.ms(from, to), log }, { true, 10, { "cuda:0" } })
end)

testing.test("the floor is the largest of what the work takes", function()
  local found = { products = { bfloat16 = 1e12, float32 = 1e11 }, bytes = 1e11 }
  local work = { flop = 2e9, bytes = 1e8, exps = 1e12 }
  local floor = ceilings.floor(found, work, "bfloat16")
  testing.equal({ floor.ms, floor.by, floor.bytes_ms }, { 2.0, "arithmetic", 1.0 })
  testing.equal(ceilings.floor(found, { flop = 2e9 }, "float32").ms, 20.0)
  testing.equal(ceilings.floor(found, { bytes = 1e8 }, "bfloat16").by, "bytes")
end)

-- (1, 8192, 16, 128, 128) has 134 MB of q, k, v and o in bfloat16, and 21.5 GFLOP with the late solve.
testing.test("work of the delta rule at the anchor", function()
  local work = operator("gated_delta_rule").work({ B = 1, T = 8192, H = 16, K = 128, V = 128 }, 2)
  testing.close(work.forward.flop / 1e9, 21.475, 1e-3)
  testing.close(work.forward.bytes / 1e6, 135.27, 1e-2)
  testing.equal(work.training.flop, 3.5 * work.forward.flop)
end)

testing.test("operators are found by parts of their names", function()
  testing.equal(#operators.find {}, #operators.all)
  testing.equal(operators.find({ "rms_norm" })[2].name, "rms_norm_gated")
  testing.raises(function() operators.find { "rope", "rms_nrom" } end, "no operator is called `rms_nrom`; did you mean")
end)

testing.test("every operator is compared with its definition", function()
  local has, names = { exp_rate = true, file_sha256 = true, read_safetensors = true }, 0 -- these compute nothing
  for _, entry in ipairs(operators.all) do
    if entry.reference then has[entry.name:gsub("_gated$", "")] = #entry.parity.small > 0 and #entry.parity.full > 0 end
  end
  for _, name in ipairs(tensor.operator_names "gamut") do
    if not name:match "_reference$" and not name:match "_pack$" then
      names = names + 1
      testing.is_true(has[name], ("bench/operators has no parity of %s"):format(name))
    end
  end
  testing.is_true(names >= 17, "the operators are listed")
end)

-- Calls of an operator with something wrong in them.
local function broken(name, call)
  local entry = maps.over(operator(name), {})
  local honest = entry.call
  entry.call = function(run, ...)
    if run == entry.reference then return honest(run, ...) end
    return call(honest, run, ...)
  end
  return entry
end

local function passes(entry, dtype)
  for _, quantity in ipairs(comparison.of(entry, entry.parity.small[1], "cpu", dtype).quantities) do
    if not (quantity.error <= quantity.bound) then return false, quantity.name end
  end
  return true
end

testing.test("what is wrong is found: an output, a gradient, one element that is not finite", function()
  local honest = operator "relu_squared"
  for _, dtype in ipairs { "float32", "bfloat16" } do
    testing.equal(passes(honest, dtype), true)
    local scaled = broken("relu_squared", function(call, run, x) return call(run, x) * 1.02 end)
    testing.equal({ passes(scaled, dtype) }, { false, "output 1" })
    local detached = broken("relu_squared", function(call, run, x)
      local y = call(run, x)
      return y:detach() + 1.02 * (y - y:detach())
    end)
    testing.equal({ passes(detached, dtype) }, { false, "dx" })
    local spoiled = broken("relu_squared", function(call, run, x)
      local y = call(run, x)
      return y + gamut.zeros_like(y):index_fill(0, gamut.tensor { 3 }, 0 / 0)
    end)
    testing.equal(passes(spoiled, dtype), false)
    local found = comparison.of(spoiled, spoiled.parity.small[1], "cpu", dtype).quantities
    testing.is_true(json.encode(comparison.recorded(found)):find "output 1", "a file holds it")
  end
end)

testing.test("a call that differs from time to time is told", function()
  local calls = 0
  local restless = broken("relu_squared", function(call, run, x)
    calls = calls + 1
    return call(run, x) * (1 + calls * 1e-6)
  end)
  testing.equal(comparison.of(restless, restless.parity.small[1], "cpu", "float32").repeats, false)
end)

testing.test("published figures stand beside their shape, with the chip", function()
  local entries = published.of("gated_delta_rule", { B = 1, T = 8192, H = 16, HV = 16, K = 128, V = 128 })
  testing.equal(published.text(entries), "forward FlashQLA 0.178, FLA 0.334, FlashInfer 0.418 on H200")
  testing.equal(published.of("gated_delta_rule", { B = 1, T = 8192, H = 16, HV = 16, K = 64, V = 64 }), {})
end)

testing.test("where two times cross, in words", function()
  local points = {
    { context = 8192, a = 594.0, b = 757.0 }, { context = 16384, a = 952.0, b = 847.0 },
  }
  testing.equal(crossing.text(points, "attention", "the hybrid"),
    "from about 13077 tokens on the hybrid is the faster one")
  testing.equal(crossing.text({ points[1] }, "attention", "the hybrid"), "attention is faster from 8192 to 8192 tokens")
end)

testing.test("attention and the delta rule cross where their cases say so", function()
  local function result(name, T, forward)
    return { operator = name, label = "crossing", shape = { T = T }, forward = { median = forward } }
  end
  local lines = crossing.verdicts {
    result("sdpa", 1024, 1.0), result("gated_delta_rule", 1024, 2.0),
    result("sdpa", 4096, 4.0), result("gated_delta_rule", 4096, 2.0), result("sdpa", 8192, 8.0),
  }
  testing.equal(#lines, 1)
  testing.is_true(lines[1]:find "^Crossing, forward.*from about 2048 tokens on the delta rule is the faster", lines[1])
end)

-- A small model with both optimizers.
local function small_step()
  gamut.manual_seed(1)
  local model = gamut.nn.Decoder {
    vocab_size = 16, d_model = 8, layers = { "gdn" }, tied = true, mlp = { kind = "swiglu", d_ff = 8 },
    mixers = { gdn = { n_heads = 2, head_dim = 4, expand_v = 1.0 } },
  }
  local ids = gamut.randint(0, 16, { 2, 9 }, { dtype = "int64" })
  local matrices, others = {}, {}
  for _, entry in ipairs(model:named_parameters()) do
    local into = entry[1]:match "^blocks" and entry[2].ndim == 2 and matrices or others
    into[#into + 1] = entry
  end
  return {
    model = model, accumulate = 2, tokens = 32, clip = 1.0, dtype = "float32",
    optimizers = { gamut.optim.muon { { params = matrices }, lr = 0.01 },
      gamut.optim.adamw { { params = others }, lr = 0.01 } },
    loss = function() return model:loss(ids:narrow(1, 0, 8), ids:narrow(1, 1, 8)) end,
    is_product = function() return true end,
    mixers = { { operator = "gated_delta_rule", layers = 1, shape = { B = 2, T = 8, H = 2, K = 4, V = 4 } } },
  }
end

testing.test("a step is timed with its parts, and trains", function()
  local step = small_step()
  local before = step.loss(1):item()
  local times = step_case.time(step, clock.of "cpu", { seconds = 0, repeats = 6, graph = false })
  testing.equal({ times.step.calls, times.graph }, { 6, nil })
  testing.is_true(times.forward.min > 0 and times.backward.min > 0 and times.update.min > 0, "each part takes time")
  local least = times.forward.min + times.backward.min + times.update.min
  testing.is_true(least <= times.step.high * 1.001, "parts of a whole")
  testing.is_true(step.loss(1):item() < before, "the loss falls")
end)

testing.test("the work of a step counts weights, mixers and Muon's iteration", function()
  local step = small_step()
  local work, weights, flop = step_work(step), 0, 0
  for _, entry in ipairs(step.model:named_parameters()) do
    if entry[2].ndim == 2 then weights = weights + entry[2]:numel() end
  end
  for _, entry in ipairs(step.optimizers[1].groups[1].params) do
    local m, n = math.min(table.unpack(entry[2].shape)), math.max(table.unpack(entry[2].shape))
    flop = flop + 5 * (4 * m * m * n + 2 * m ^ 3)
  end
  testing.equal({ work.products, work.update }, { 6 * weights * 32, flop })
  testing.equal(work.mixers, 2 * 3.5 * 2 * 8 * 2 * (6 * 4 * 4 + 4 * 64 * 8))
  testing.equal(work.flop, work.products + work.mixers + work.update)
end)

-- Records by running, replays by running again, on the CPU.
local function with_stand_in(fn)
  local native, cuda = require "gamut.native.cuda", gamut.cuda
  local kept = { graph = native.graph, pool = native.pool, empty_cache = native.empty_cache }
  local memory, reset = cuda.memory, cuda.reset_peak_memory
  local log = {}
  native.pool = function() return 7 end
  native.empty_cache = function() end
  native.graph = function()
    local graph = {}
    function graph:record(pool, body)
      log[#log + 1] = "record " .. pool
      self.body = body
      body()
    end
    function graph:replay()
      log[#log + 1] = "replay"
      self.body()
    end
    return graph
  end
  cuda.memory, cuda.reset_peak_memory = function() return { allocated_peak = 12345 } end, function() end
  local ok, message = pcall(fn, log)
  for name, value in pairs(kept) do native[name] = value end
  cuda.memory, cuda.reset_peak_memory = memory, reset
  if not ok then error(message, 0) end
end

testing.test("a recorded step is replayed: gradients, clipping, update", function()
  with_stand_in(function(log)
    local step, timer = small_step(), maps.over(clock.of "cpu", { is_cuda = true, busy = gamut.zeros { 1 } })
    local times = step_case.time(step, timer, { seconds = 0, repeats = 3, graph = true })
    testing.equal({ times.graph_failure, times.graph.calls, times.peak_bytes }, { nil, 3, 12345 })
    testing.equal({ log[1], log[2], log[3], log[4] }, { "record 7", "record 7", "replay", "replay" })
  end)
end)

testing.test("a step that cannot be recorded says why, and its plain times stand", function()
  with_stand_in(function()
    local step, timer = small_step(), maps.over(clock.of "cpu", { is_cuda = true, busy = gamut.zeros { 1 } })
    require "gamut.native.cuda".graph = function()
      return { record = function() error("operation not permitted when stream is capturing", 0) end }
    end
    local times = step_case.time(step, timer, { seconds = 0, repeats = 3, graph = true })
    testing.equal({ times.graph, times.step.calls }, { nil, 3 })
    testing.is_true(times.graph_failure:find "not permitted", times.graph_failure)
  end)
end)

testing.finish()
