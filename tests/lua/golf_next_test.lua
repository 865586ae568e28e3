-- The author's next experiments: what they compare, how a sweep chooses, where two step times cross, what seeds show.
package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local testing = require "gamut.testing"
local comparison = require "golf.comparison"
local probe_store = require "golf.probe_store"
local rescaling = require "golf.rescaling"
local step_time = require "golf.step_time"
local statistics = require "gamut.statistics"
local tuning = require "golf.tuning"
local variants = require "golf.variants"

testing.test("the study's statistic: mean of steps 6 to 10, of a shorter probe its later half", function()
  local seconds = { 9.0, 3.0, 1.0, 1.0, 1.0, 0.5, 0.6, 0.7, 0.8, 0.9, 77.0 }
  testing.close(step_time.of(seconds).step_ms, 700, 1e-9)
  testing.equal({ step_time.of(seconds).first, step_time.of(seconds).last }, { 6, 10 })
  local short = step_time.of { 9.0, 3.0, 1.0, 2.0, 4.0 }
  testing.close(short.step_ms, 7000 / 3, 1e-9)
  testing.equal({ short.first, short.last }, { 3, 5 })
  testing.equal(step_time.of { 1.0, 1.0, 1.0 }, nil)
end)

testing.test("the published step times cross between 8k and 16k", function()
  local points, times = {}, { baseline = {}, hybrid = {} }
  for i, context in ipairs { 4096, 8192, 16384, 32768 } do
    local a, b = rescaling.published(context, "baseline").step_ms, rescaling.published(context, "hybrid").step_ms
    points[i], times.baseline[context], times.hybrid[context] = { context = context, a = a, b = b }, a, b
  end
  -- ln(757 / 899) = -0.1719 at 2^13, ln(1220 / 1037) = 0.1625 at 2^14.
  testing.close(step_time.crossing(points), 8192 * 2 ^ 0.5141, 2)
  testing.equal(step_time.verdict({ 32768, 4096, 8192, 16384 }, times, "baseline", "hybrid"),
    "From about 11699 tokens on a step of hybrid is the faster one")
  testing.equal(step_time.crossing { points[3], points[4] }, nil)
  testing.equal(step_time.verdict({ 16384, 32768 }, times, "baseline", "hybrid"),
    "A step of hybrid is faster from 16384 to 32768 tokens")
  testing.equal(step_time.crossing { { context = 64, a = 1.0, b = 1.0 } }, 64)
end)

testing.test("the rule of a step time's crossing is exact for powers of the context", function()
  local points = {}
  for i, context in ipairs { 1000, 3000, 9000, 27000 } do
    points[i] = { context = context, a = context ^ 1.5, b = 5000 ^ 0.5 * context }
  end
  testing.close(step_time.crossing(points), 5000, 1e-6)
end)

local function entry(changes)
  local one = {
    context = 8192, architecture = "hybrid", machine = { kind = "cuda", gpu = "NVIDIA H100 80GB HBM3", threads = 16 },
    program = { gamut = "0.1.0", libtorch = "2.11.0" }, settings = { "context=8192", "precision=bfloat16" },
  }
  for name, value in pairs(changes or {}) do one[name] = value end
  return one
end

testing.test("a step time is kept as long as machine, program and settings are the same", function()
  local probes = {
    entry { step_ms = 1.0, architecture = "baseline" }, entry { step_ms = 2.0 },
    entry { step_ms = 3.0, settings = { "context=8192", "precision=float32" } },
  }
  testing.equal(probe_store.find(probes, entry()).step_ms, 2.0)
  testing.equal(probe_store.find(probes, entry { settings = { "context=8192", "precision=float32" } }).step_ms, 3.0)
  testing.equal({ probe_store.find(probes, entry { context = 4096 }) }, {})
  local kept, changed = probe_store.find({ entry { step_ms = 2.0 } }, entry {
    machine = { kind = "cuda", gpu = "NVIDIA H200", threads = 16 }, settings = { "context=8192", "accumulate=4" },
  })
  testing.equal(kept, nil)
  testing.equal(changed, "accumulate was left out and is 4; machine.gpu was NVIDIA H100 80GB HBM3 and is NVIDIA H200; "
    .. "precision was bfloat16 and is left out")
end)

testing.test("probes.json keeps every step time and the last schedule of each model and context", function()
  local path = os.tmpname()
  probe_store.add(path, "probes", { entry { step_ms = 1.0 } })
  probe_store.add(path, "probes", { entry { step_ms = 2.0 } })
  local first = { { context = 8, architecture = "a", steps = 1 }, { context = 9, architecture = "a", steps = 2 } }
  probe_store.add(path, "schedules", first, true)
  probe_store.add(path, "schedules", { { context = 8, architecture = "a", steps = 3 } }, true)
  local saved = probe_store.read(path)
  os.remove(path)
  testing.equal({ #saved.probes, saved.probes[1].step_ms, saved.probes[2].step_ms }, { 2, 1.0, 2.0 })
  testing.equal(saved.schedules, {
    { context = 9, architecture = "a", steps = 2 }, { context = 8, architecture = "a", steps = 3 },
  })
  testing.equal(#probe_store.read("/nowhere/probes.json").probes, 0)
end)

testing.test("variants: places of attention among nine layers, at the hybrid's width or by a budget", function()
  local two_six = variants.hybrid({ 2, 6 }, 17424332)
  testing.equal(two_six, {
    name = "attention_2_6", like = "hybrid",
    model = {
      parameters = 17424332, layers = { "gdn", "gdn", "attention", "gdn", "gdn", "gdn", "attention", "gdn", "gdn" },
    },
  })
  testing.equal(variants.hybrid({ 4 }).model.d_model, 448)
  testing.raises(function() variants.hybrid { 9 } end, "layer 9; layers are 0 to 8")
end)

local function group(model, values, ms)
  local mean = #values > 0 and statistics.summary(values) or nil
  return {
    context = 16384, model = model, published = {},
    figures = { bpb = { ours = mean, values = values }, step_average_ms = { ours = ms and { mean = ms } } },
  }
end

testing.test("seeds: the difference, its interval and both tests", function()
  local groups = {
    group("baseline", { 1.4353, 1.4387 }, 900), group("hybrid", { 1.4029, 1.3970 }, 600), group("other", { 1.5 }),
    group("planned", {}),
  }
  local found = comparison.of(groups, { "baseline" })
  testing.equal(#found, 3)
  testing.equal({ found[1].model, found[1].reference, found[1].n[1], found[1].n[2] }, { "hybrid", "baseline", 2, 2 })
  testing.close(found[1].difference, -0.03705, 1e-9)
  testing.close(found[1].welch.p, 0.017298, 1e-6)
  testing.close(found[1].permutation.p, 1 / 3, 1e-9)
  testing.close(found[1].speed, 1.5, 1e-12)
  testing.equal(comparison.sentence(found[1]), "16384: hybrid - baseline = -0.0371 (2 against 2 seeds), 95 % from "
    .. "-0.0559 to -0.0182; Welch t = -10.88, 1.6 degrees, p = 0.017; permutation p = 0.33 of 6 splits")
  testing.is_true(comparison.sentence(found[2]):find "two seeds each would show")
  testing.equal({ found[3].n[2], found[3].difference }, { 0, nil })
  local pairs_of = {}
  for i, one in ipairs(comparison.of(groups, { "other", "hybrid" })) do
    pairs_of[i] = one.model .. " " .. one.reference
  end
  testing.equal(pairs_of, { "baseline other", "hybrid other", "planned other", "baseline hybrid", "planned hybrid" })
  testing.equal(comparison.of(groups, { "nothing" }), {})
end)

testing.test("a stage of the sweep varies one setting and keeps the one in hand first", function()
  local config = { context = 8192, architecture = "hybrid", tokens = { 196608, 393216, 524288 } }
  local list = tuning.candidates(tuning.start(config), "tokens", config.tokens)
  testing.equal(list, {
    { tokens = 393216, rate = 1.0, warmdown = 0.36 }, { tokens = 196608, rate = 1.0, warmdown = 0.36 },
    { tokens = 524288, rate = 1.0, warmdown = 0.36 },
  })
  testing.equal(tuning.name(list[2]), "196608_tokens_rate_1_warmdown_0.36")
  config = { context = 64, architecture = "hybrid", tokens = { 512, 1024 } }
  testing.equal(tuning.start(config), { tokens = 512, rate = 1.0, warmdown = 0.36 })
end)

testing.test("what replaces the setting in hand must be better by more than the margin", function()
  local function chosen(margin, ...)
    local scored = {}
    for i, score in ipairs { ... } do scored[i] = { point = i, score = score or nil } end
    return tuning.select(scored, margin)
  end
  testing.equal(chosen(0.002, 1.380, 1.379, 1.385), 1)
  testing.equal(chosen(0.002, 1.380, 1.377, 1.376), 3)
  testing.equal(chosen(0.0, 1.380, 1.379), 2)
  testing.equal(chosen(0.002, false, 1.385, 1.384), 3)
  testing.equal(chosen(0.002, 1.380, false), 1)
  testing.equal(chosen(0.002, false, false), nil)
end)

testing.finish()
