-- `gamut bench parity`: every operator on a device beside its definition in float64 on the CPU, at odd sizes and fresh
-- random inputs: outputs, all gradients, and whether a second call gives the same bits.
local clock = require "gamut.bench.clock"
local comparison = require "gamut.bench.comparison"
local failure = require "gamut.bench.failure"
local gamut = require "gamut"
local json = require "gamut.native.json"
local machine = require "gamut.train.machine"
local operators = require "gamut.bench.operators"
local settings = require "gamut.bench.settings"
local system = require "gamut.native.system"
local text_table = require "gamut.report.text_table"

local SETTINGS = {
  { "device", "string", default = "auto", choices = { "auto", "cpu", "cuda" }, doc = "auto: CUDA where it answers" },
  { "dtype", "string", default = "all", choices = { "all", "float32", "bfloat16", "float16" },
    doc = "of the inputs; all: each that a device computes in" },
  { "size", "string", default = "full", choices = { "small", "full" }, doc = "of the shapes; small: a few seconds" },
  { "seed", "integer", default = 0, min = 0, doc = "of the inputs; 0: another one each time, which is told" },
  { "json", "string", default = "", doc = "write all figures to this file" },
}

-- The worst of the quantities that `keep` keeps, as "1.2e-03 dk", and whether all are within their bounds.
local function worst(quantities, keep)
  local found
  for _, quantity in ipairs(quantities) do
    local by = quantity.error / quantity.bound
    if keep(quantity) and (not found or by > found.error / found.bound) then found = quantity end
  end
  if not found then return "", true end
  return ("%.1e %s"):format(found.error, found.name), found.error <= found.bound
end

local function is_output(quantity) return quantity.name:match "^output" ~= nil end
local function is_gradient(quantity) return not is_output(quantity) end

-- The parity of a shape in one type as a line of the table and an entry of the file.
local function checked(operator, shape, device, dtype)
  local ok, result = pcall(gamut.scope, comparison.of, operator, shape, device, dtype)
  local line = { operator.name, shape.label .. " " .. operators.title(operator, shape), dtype }
  local entry = { operator = operator.name, label = shape.label, dtype = dtype }
  if not ok then
    entry.passed, entry.failure = false, failure.text(result)
    line[4], line[5], line[6], line[7] = "", "", "", "FAILED: " .. entry.failure
    return line, entry
  end
  local output, output_fits = worst(result.quantities, is_output)
  local gradient, gradient_fits = worst(result.quantities, is_gradient)
  entry.passed, entry.same_bits = output_fits and gradient_fits, result.repeats
  entry.quantities = comparison.recorded(result.quantities)
  line[4], line[5], line[6] = output, gradient, result.repeats and "yes" or "no"
  line[7] = entry.passed and "ok" or "FAILED"
  return line, entry
end

local function each_case(chosen, wanted, visit)
  for _, operator in ipairs(chosen) do
    for _, dtype in ipairs { "float32", "bfloat16", "float16" } do
      local has = not operator.dtypes or operator.dtypes[dtype]
      if has and (wanted.dtype == dtype or wanted.dtype == "all" and (dtype ~= "float16" or wanted.on_gpu)) then
        for _, shape in ipairs(operator.reference and operator.parity[wanted.size] or {}) do
          visit(operator, shape, dtype)
        end
      end
    end
  end
end

local HEADINGS = { "operator", "shape", "type", "outputs", "gradients", "repeats", "" }

local function run(words)
  local given, names = settings.parse(SETTINGS, words, "gamut bench parity")
  local device, chosen = clock.device(given.device), operators.find(names)
  local seed = given.seed > 0 and given.seed or os.time() % 1000000 + 1
  gamut.manual_seed(seed)
  local bounds = comparison.BOUNDS.bfloat16
  print(("On %s, seed %d; the worst relative error of each case (bounds in bfloat16 and float16: outputs %g, gradients "
    .. "%g, gates %g)\n"):format(device, seed, bounds.output, bounds.gradient, bounds.gate))
  local lines, entries, failed = { HEADINGS }, {}, 0
  local wanted = { dtype = given.dtype, size = given.size, on_gpu = device ~= "cpu" }
  each_case(chosen, wanted, function(operator, shape, dtype)
    local line, entry = checked(operator, shape, device, dtype)
    lines[#lines + 1], entries[#entries + 1] = line, entry
    if not entry.passed then failed = failed + 1 end
  end)
  for _, line in ipairs(text_table(lines)) do print(line) end
  print(("\n%d cases, %d failed"):format(#entries, failed))
  if given.json ~= "" then
    local record = { machine = machine(device), seed = seed, size = given.size, cases = entries }
    system.write_file(given.json, json.encode(record))
  end
  if failed > 0 then
    error(("%d of %d cases are further from the definition than their bounds; `seed=%d` draws the same inputs again")
      :format(failed, #entries, seed), 0)
  end
end

local function help()
  print "gamut bench parity: operators on a device beside their definitions in float64 on the CPU.\n"
  print "Usage: gamut bench parity [OPERATOR...] [key=value...]\n"
  settings.describe(SETTINGS)
  print("\nOperators, or parts of their names: " .. table.concat(operators.names(), ", "))
end

---@param mode "run"|"help"
return function(mode, ...)
  if mode == "help" then return help() end
  run { ... }
end
