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

-- Name and width; lines appear as they are measured, so widths are fixed, and what is wider moves the others.
local function columns_of(on_gpu)
  local columns = { { "operator", -22 }, { "shape", -44 }, { "forward", 9 }, { "+-", 4 } }
  local function add_floor()
    for _, name in ipairs { "bytes", "arith" } do columns[#columns + 1] = { name, 8 } end
    if not on_gpu then columns[#columns + 1] = { "exps", 8 } end
    columns[#columns + 1] = { "x", 6 }
  end
  add_floor()
  for _, column in ipairs { { "train", 9 }, { "+-", 4 }, { "backward", 9 } } do columns[#columns + 1] = column end
  add_floor()
  if on_gpu then columns[#columns + 1] = { "host", 7 } end
  return columns
end

local function print_line(columns, texts)
  local parts = {}
  for i, column in ipairs(columns) do parts[i] = ("%" .. column[2] .. "s"):format(texts[i] or "") end
  print((table.concat(parts, " ") .. (texts.remark and "  " .. texts.remark or "")):match "^(.-) *$")
  io.stdout:flush()
end

local function milliseconds(value)
  return value >= 100 and ("%.1f"):format(value) or value >= 1 and ("%.3f"):format(value) or ("%.4f"):format(value)
end

-- Half of the distance between the quartiles, in percent of the median.
local function spread(figure) return ("%.0f%%"):format(50 * (figure.high - figure.low) / figure.median) end

-- The floors of all kinds, and the median in units of the highest.
local function floor_texts(figure, floor, on_gpu)
  local texts = { milliseconds(floor.bytes_ms), milliseconds(floor.arithmetic_ms) }
  if not on_gpu then texts[3] = milliseconds(floor.exps_ms) end
  texts[#texts + 1] = floor.ms > 0 and ("%.2f"):format(figure.median / floor.ms) or ""
  return texts
end

local function append(texts, more) table.move(more, 1, #more, #texts + 1, texts) end

local function line_of(result, on_gpu)
  local texts = { result.operator, result.label .. " " .. result.title }
  if result.failure then
    texts.remark = "FAILED: " .. result.failure
    return texts
  end
  append(texts, { milliseconds(result.forward.median), spread(result.forward) })
  append(texts, floor_texts(result.forward, result.forward_floor, on_gpu))
  if result.training then
    local backward = milliseconds(result.backward.median)
    append(texts, { milliseconds(result.training.median), spread(result.training), backward })
    append(texts, floor_texts(result.training, result.training_floor, on_gpu))
  else
    append(texts, { "", "", "", "", "", "", on_gpu and "" or nil })
  end
  if on_gpu then append(texts, { milliseconds(result.training_host_ms or result.forward_host_ms) }) end
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
  print "ms, medians; +- half the distance of the quartiles; bytes, arith: floors by what must be read and written, and"
  print(("by products%s; x: times the highest floor; train: forward and backward%s\n"):format(
    timer.is_cuda and "" or "; exps: by exponentials", timer.is_cuda and "; host: to queue such a call" or ""))
end

local function measure_all(chosen, list, timer, found, given)
  local results, failed = {}, 0
  local columns, names = columns_of(timer.is_cuda), {}
  for i, column in ipairs(columns) do names[i] = column[1] end
  print_line(columns, names)
  for _, operator in ipairs(chosen) do
    for _, shape in ipairs(operator.shapes[list]) do
      local result = case(operator, shape, { clock = timer, ceilings = found, given = given })
      results[#results + 1] = result
      collectgarbage()
      if timer.is_cuda then gamut.cuda.empty_cache() end
      if result.failure then failed = failed + 1 end
      print_line(columns, line_of(result, timer.is_cuda))
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
