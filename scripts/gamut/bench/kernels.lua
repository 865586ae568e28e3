-- `gamut bench kernels`: operators at the shapes that matter, forward and in training, beside the floor that bytes and
-- arithmetic set, with ceilings measured in the same run, and beside what others published.
local case = require "gamut.bench.case"
local ceilings = require "gamut.bench.ceilings"
local clock = require "gamut.bench.clock"
local crossing = require "gamut.bench.crossing"
local gamut = require "gamut"
local json = require "gamut.native.json"
local machine = require "gamut.train.machine"
local operators = require "gamut.bench.operators"
local published = require "gamut.bench.published"
local settings = require "gamut.bench.settings"
local system = require "gamut.native.system"

local SETTINGS = {
  { "device", "string", default = "auto", choices = { "auto", "cpu", "cuda" }, doc = "auto: CUDA where it answers" },
  { "dtype", "string", default = "bfloat16", choices = { "float32", "bfloat16", "float16" }, doc = "of the inputs" },
  { "shapes", "string", default = "auto", choices = { "auto", "device", "small", "tiny" },
    doc = "auto: those of a GPU on CUDA, else small, about a minute" },
  { "seconds", "number", default = 0.3, min = 0, doc = "to spend on each figure" },
  { "repeats", "integer", default = 0, min = 0, doc = "calls of each figure; 0: as many as fit into the seconds" },
  { "rotation", "integer", default = 256, min = 0, doc = "MiB of inputs to rotate among, more than the caches hold" },
  { "seed", "integer", default = 1, min = 0, doc = "of the inputs" },
  { "json", "string", default = "", doc = "write all figures to this file" },
}

-- ---- Lines ----

local COLUMNS = {
  { "operator", 20 }, { "shape", 46 }, { "forward", 9 }, { "+-", 6 }, { "floor", 8 }, { "x", 6 }, { "by", 5 },
  { "train", 9 }, { "+-", 6 }, { "backward", 9 }, { "floor", 8 }, { "x", 6 }, { "by", 5 }, { "host", 7 },
}

-- Lines appear as they are measured: columns have a width, and what is wider moves the others.
local function print_line(texts)
  local parts = {}
  for i, column in ipairs(COLUMNS) do
    local text, width = texts[i] or "", column[2]
    parts[i] = i <= 2 and ("%-" .. width .. "s"):format(text) or ("%" .. width .. "s"):format(text)
  end
  print((table.concat(parts, " ") .. (texts.remark and "  " .. texts.remark or "")):match "^(.-) *$")
  io.stdout:flush()
end

local function milliseconds(value)
  return value >= 100 and ("%.1f"):format(value) or value >= 1 and ("%.3f"):format(value) or ("%.4f"):format(value)
end

-- Half of the distance between the quartiles, in percent of the median.
local function spread(figure) return ("%.0f%%"):format(50 * (figure.high - figure.low) / figure.median) end

local SHORT = { arithmetic = "arith", bytes = "bytes", exps = "exps", ["-"] = "-" }

local function floor_texts(figure, floor)
  return milliseconds(floor.ms), floor.ms > 0 and ("%.2f"):format(figure.median / floor.ms) or "", SHORT[floor.by]
end

local function line_of(result)
  local texts = { result.operator, result.label .. " " .. result.title }
  if result.failure then
    texts.remark = "FAILED: " .. result.failure
    return texts
  end
  texts[3], texts[4] = milliseconds(result.forward.median), spread(result.forward)
  texts[5], texts[6], texts[7] = floor_texts(result.forward, result.forward_floor)
  if result.training then
    texts[8], texts[9] = milliseconds(result.training.median), spread(result.training)
    texts[10] = milliseconds(result.backward.median)
    texts[11], texts[12], texts[13] = floor_texts(result.training, result.training_floor)
  end
  texts[14] = milliseconds(result.training_host_ms or result.forward_host_ms)
  local known = published.text(result.published)
  if known ~= "" then texts.remark = known end
  return texts
end

-- ---- The run ----

-- The list of shapes, once the device is known.
local function shapes_of(which, on_gpu)
  if which ~= "auto" then return which end
  return on_gpu and "device" or "small"
end

local function header(timer, found)
  local here = machine(timer.device)
  print(("%s, %d threads; %s; Gamut %s, LibTorch %s"):format(here.gpu or here.processor or timer.device, here.threads,
    timer.kind, gamut.version, gamut.libtorch_version))
  print("Ceilings: " .. ceilings.text(found))
  print "ms, medians; +- half the distance of the quartiles; floor: the least by bytes or arithmetic; x: times the"
  print "floor; train: forward and backward; host: to queue such a call\n"
end

local function measure_all(chosen, list, timer, found, given)
  local results, failed = {}, 0
  local names = {}
  for i, column in ipairs(COLUMNS) do names[i] = column[1] end
  print_line(names)
  for _, operator in ipairs(chosen) do
    for _, shape in ipairs(operator.shapes[list]) do
      local result = case(operator, shape, { clock = timer, ceilings = found, given = given })
      results[#results + 1] = result
      if result.failure then failed = failed + 1 end
      print_line(line_of(result))
    end
  end
  return results, failed
end

local function run(words)
  local given, names = settings.parse(SETTINGS, words, "gamut bench kernels")
  local chosen, timer = operators.find(names), clock.of(clock.device(given.device))
  gamut.manual_seed(given.seed)
  local list = shapes_of(given.shapes, timer.is_cuda)
  local measured = { seconds = given.seconds, repeats = given.repeats, tiny = list == "tiny" }
  local found = ceilings.measure(timer, given.dtype, measured)
  header(timer, found)
  local results, failed = measure_all(chosen, list, timer, found, given)
  for _, verdict in ipairs(crossing.verdicts(results)) do print("\n" .. verdict) end
  if given.json ~= "" then
    system.write_file(given.json, json.encode {
      machine = machine(timer.device), clock = timer.kind, dtype = given.dtype, ceilings = found, results = results,
    })
  end
  if failed > 0 then error(("%d of %d cases failed"):format(failed, #results), 0) end
end

local function help()
  print "gamut bench kernels: time operators beside the floor that bytes and arithmetic set.\n"
  print "Usage: gamut bench kernels [OPERATOR...] [key=value...]\n"
  settings.describe(SETTINGS)
  print("\nOperators, or parts of their names: " .. table.concat(operators.names(), ", "))
end

---@param mode "run"|"help"
return function(mode, ...)
  if mode == "help" then return help() end
  run { ... }
end
