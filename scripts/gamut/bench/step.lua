-- `gamut bench step`: whole training steps of an experiment, where their time goes, and how far they are from the floor.
--
-- An experiment offers them in bench.lua beside its train.lua, which returns
--   { doc = "...", settings = {{name, type, default =, doc =}, ...},
--     cases = function(given, device) -> {{label =, curve =, context =, published_ms =, make = function() -> Step}} }
-- A Step is described in step_case.lua. Cases of two curves over the same contexts are told where they cross.
local ceilings = require "gamut.bench.ceilings"
local clock = require "gamut.bench.clock"
local crossing = require "gamut.bench.crossing"
local failure = require "gamut.bench.failure"
local format = require "gamut.report.format"
local gamut = require "gamut"
local json = require "gamut.native.json"
local machine = require "gamut.train.machine"
local native = require "gamut.native.cuda"
local settings = require "gamut.bench.settings"
local step_case = require "gamut.bench.step_case"
local step_work = require "gamut.bench.step_work"
local system = require "gamut.native.system"

local SETTINGS = {
  { "device", "string", default = "auto", choices = { "auto", "cpu", "cuda" }, doc = "auto: CUDA where it answers" },
  { "graph", "string", default = "auto", choices = { "auto", "on", "off" },
    doc = "replayed as CUDA graphs too; auto: where there is CUDA" },
  { "seconds", "number", default = 3.0, min = 0, doc = "to spend on each case, five steps at least" },
  { "repeats", "integer", default = 0, min = 0, doc = "steps that are timed; 0: as many as fit into the seconds" },
  { "seed", "integer", default = 1, min = 0, doc = "of weights and inputs" },
  { "json", "string", default = "", doc = "write all figures to this file" },
}

-- ---- Experiments ----

-- Where the experiments of this installation or checkout are: beside the library.
local function shipped_folder()
  local here = package.searchpath("gamut.bench.step", package.path)
  return here and here:gsub("scripts/gamut/bench/step%.lua$", "experiments")
end

local function find_folder(name)
  local tried = { name, (shipped_folder() or ".") .. "/" .. name }
  for _, folder in ipairs(tried) do
    if system.exists(folder .. "/bench.lua") then return folder end
  end
  error(("there is no %s/bench.lua; name a folder that holds one, or an experiment that ships with Gamut, such as "
    .. "quickstart"):format(tried[1]), 0)
end

local function load_experiment(name)
  local folder = find_folder(name)
  package.path = folder .. "/?.lua;" .. package.path
  return dofile(folder .. "/bench.lua")
end

local function all_settings(experiment)
  local declared = table.move(SETTINGS, 1, #SETTINGS, 1, {})
  return table.move(experiment.settings, 1, #experiment.settings, #declared + 1, declared)
end

-- ---- One case ----

-- Times a case and sets it beside its floor.
local function measure_case(case, timer, found, given)
  local step = case.make()
  local times = step_case.time(step, timer, {
    seconds = given.seconds, repeats = given.repeats, graph = given.graph ~= "off" and timer.is_cuda,
  })
  local work = step_work(step)
  return {
    label = case.label, curve = case.curve, context = case.context, published_ms = case.published_ms, times = times,
    tokens = step.tokens, parameters = step.model:parameter_count(), dtype = step.dtype, work = work,
    floor = ceilings.floor(found[step.dtype], work, step.dtype),
  }
end

local function best_of(result) return (result.times.graph or result.times.step).median end

local function tell_graph(result)
  local times = result.times
  if times.graph then
    print(("  graphs    %9.2f ms (plain %.2f, %.2fx), %s tokens/s"):format(times.graph.median, times.step.median,
      times.step.median / times.graph.median, format.count(1e3 * result.tokens / times.graph.median)))
  elseif times.graph_failure then
    print("  graphs    none: " .. failure.text(times.graph_failure))
  end
end

local function tell(result)
  local times, floor = result.times, result.floor
  local spread = 50 * (times.step.high - times.step.low) / times.step.median
  print(("%s: %s parameters, %s tokens a step"):format(result.label, format.count(result.parameters),
    format.count(result.tokens)))
  print(("  step      %9.2f ms +- %.0f%%, %s tokens/s"):format(times.step.median, spread,
    format.count(1e3 * result.tokens / times.step.median)))
  local shares = {}
  for i, name in ipairs { "forward", "backward", "update" } do
    shares[i] = ("%s %.2f ms (%.0f%%)"):format(name, times[name].median, 100 * times[name].median / times.step.median)
  end
  print("            " .. table.concat(shares, ", "))
  tell_graph(result)
  print(("  floor     %9.2f ms by %s: arithmetic %.2f ms (mixers %.0f%% of it), bytes %.2f ms; the step is %.2f times "
    .. "that"):format(floor.ms, floor.by, floor.arithmetic_ms, 100 * result.work.mixers / result.work.flop,
      floor.bytes_ms, best_of(result) / floor.ms))
  if times.peak_bytes then print(("  memory    %9.0f MiB at most"):format(times.peak_bytes / 2 ^ 20)) end
  if result.published_ms then
    print(("  published %9.2f ms on one H100, %.2f times this"):format(result.published_ms,
      result.published_ms / best_of(result)))
  end
  io.stdout:flush()
end

-- ---- All of them ----

-- Ceilings by type of products, each measured when it is first needed.
local function ceilings_for(timer)
  return setmetatable({}, { __index = function(found, dtype)
    local spent = { seconds = 0.2, repeats = 0, tiny = false }
    local measured = ceilings.measure(timer, dtype, spent)
    print("Ceilings: " .. ceilings.text(measured) .. "\n")
    rawset(found, dtype, measured)
    return measured
  end })
end

-- Where two curves cross, for each pair of curves that share two contexts.
local function tell_crossings(results)
  local curves, names = {}, {}
  for _, result in ipairs(results) do
    if result.curve and not result.failure then
      if not curves[result.curve] then curves[result.curve], names[#names + 1] = {}, result.curve end
      curves[result.curve][result.context] = best_of(result)
    end
  end
  for i = 2, #names do
    local points = {}
    for context, ms in pairs(curves[names[1]]) do
      local other = curves[names[i]][context]
      if other then points[#points + 1] = { context = context, a = ms, b = other } end
    end
    table.sort(points, function(one, other) return one.context < other.context end)
    if #points > 1 then
      print("Crossing: " .. crossing.text(points, "a step of " .. names[1], "a step of " .. names[i]))
    end
  end
end

local function measure_all(cases, timer, given)
  local results, failed, found = {}, 0, ceilings_for(timer)
  for _, case in ipairs(cases) do
    gamut.manual_seed(given.seed)
    local ok, result = pcall(gamut.scope, measure_case, case, timer, found, given)
    if ok then
      tell(result)
    else
      failed = failed + 1
      result = { label = case.label, curve = case.curve, context = case.context, failure = failure.text(result) }
      print(("%s: FAILED: %s"):format(case.label, result.failure))
    end
    results[#results + 1] = result
    collectgarbage()
    if timer.is_cuda then gamut.cuda.empty_cache() end
  end
  return results, failed
end

local function run(name, words)
  local experiment = load_experiment(name)
  local given, unknown = settings.parse(all_settings(experiment), words, "gamut bench step " .. name)
  if unknown[1] then error(("`%s` is not of the form key=value"):format(unknown[1]), 0) end
  local timer = clock.of(clock.device(given.device))
  if given.graph == "on" and not timer.is_cuda then
    error("graph=on needs a CUDA device; graph=auto uses one if there is", 0)
  end
  if timer.is_cuda then native.use_own_stream(timer.device) end
  local here = machine(timer.device)
  print(("%s, %d threads; %s; Gamut %s, LibTorch %s"):format(here.gpu or here.processor or timer.device, here.threads,
    timer.kind, gamut.version, gamut.libtorch_version))
  local results, failed = measure_all(experiment.cases(given, timer.device), timer, given)
  tell_crossings(results)
  if given.json ~= "" then
    system.write_file(given.json, json.encode { machine = here, experiment = name, cases = results })
  end
  if failed > 0 then error(("%d of %d cases failed"):format(failed, #results), 0) end
end

local function help(name)
  print "gamut bench step: time training steps of an experiment, and where the time goes.\n"
  print "Usage: gamut bench step EXPERIMENT [key=value...]\n"
  print "quickstart, speech_21m, golf_long_context, or a folder that has a bench.lua\n"
  settings.describe(SETTINGS)
  if not name then return end
  local experiment = load_experiment(name)
  print(("\n%s: %s\n"):format(name, experiment.doc))
  settings.describe(experiment.settings)
end

---@param mode "run"|"help"
---@param name? string
return function(mode, name, ...)
  if mode == "help" or not name then return help(name) end
  run(name, { ... })
end
