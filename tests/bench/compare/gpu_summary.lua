-- What a run of gpu.sh found, as one page of tables: gamut exec gpu_summary.lua FOLDER writes FOLDER/summary.md and
-- prints it.
local crossing = require "gamut.bench.crossing"
local json = require "gamut.native.json"
local published = require "gamut.bench.published"
local system = require "gamut.native.system"

local folder = arg[1]
local lines = {}

local function add(text, ...) lines[#lines + 1] = select("#", ...) > 0 and text:format(...) or text end

-- A file of the folder as a table; nil where its part gave none.
local function read(name)
  local path = folder .. "/" .. name
  return system.exists(path) and json.decode(system.read_file(path)) or nil
end

local function add_table(rows)
  add("| %s |", table.concat(rows[1], " | "))
  add("|%s", ("---|"):rep(#rows[1]))
  for i = 2, #rows do add("| %s |", table.concat(rows[i], " | ")) end
  add ""
end

local function ms(value) return value and ("%.4g"):format(value) or "" end
local function times(value) return value and ("%.2fx"):format(value) or "" end

-- ---- Parts ----

local function add_parts()
  add "# Gamut on a GPU\n"
  local rows = { { "part", "outcome", "took" } }
  for line in system.read_file(folder .. "/parts.txt"):gmatch "[^\n]+" do
    rows[#rows + 1] = { line:match "^(.-)\t(.-)\t(.*)$" }
  end
  add_table(rows)
end

-- The cases that are outside of their bounds, and the nearest to them that is not.
local function add_parity()
  local parity = read "parity.json"
  if not parity then return end
  local failed, worst, restless = {}, {}, 0
  for _, case in ipairs(parity.cases) do
    if not case.passed then failed[#failed + 1] = ("%s %s %s"):format(case.operator, case.label, case.dtype) end
    if case.same_bits == false then restless = restless + 1 end
    for _, quantity in ipairs(case.quantities or {}) do
      local kind = case.dtype .. (quantity.name:match "^output" and " outputs" or " gradients")
      local share = quantity.error and quantity.error / quantity.bound or math.huge
      if not worst[kind] or share > worst[kind].share then
        worst[kind] = { share = share, error = quantity.error, bound = quantity.bound,
          what = ("%s, %s, %s"):format(case.operator, case.label, quantity.name) }
      end
    end
  end
  add("## Parity with float64 references\n\n%d cases, %d outside of their bounds%s; %d gave other bits in a second "
    .. "call; seed %d.\n", #parity.cases, #failed, #failed > 0 and " (" .. table.concat(failed, "; ") .. ")" or "",
    restless, parity.seed)
  local kinds = {}
  for kind in pairs(worst) do kinds[#kinds + 1] = kind end
  table.sort(kinds)
  local rows = { { "", "worst relative error", "bound", "where" } }
  for _, kind in ipairs(kinds) do
    local entry = worst[kind]
    rows[#rows + 1] = { kind, entry.error and ("%.1e"):format(entry.error) or "not finite", ("%g"):format(entry.bound),
      entry.what }
  end
  add_table(rows)
end

-- ---- Kernels ----

-- What FLA took here at the shape of a result; an empty table where it was not timed.
local function fla_of(fla, result)
  for _, entry in ipairs(fla and fla.results or {}) do
    if entry.title == result.title and entry.label == result.label then return entry end
  end
  return {}
end

local function median(figure) return figure and figure.median or nil end

local function add_delta_rule(kernels, fla)
  local rows = { { "shape", "forward ms", "x floor", "FLA here", "", "backward ms", "FLA here", "", "published" } }
  for _, result in ipairs(kernels.results) do
    if result.operator == "gated_delta_rule" and result.forward then
      local other, forward, backward = fla_of(fla, result), median(result.forward), median(result.backward)
      rows[#rows + 1] = {
        result.label .. " " .. result.title, ms(forward), times(forward / result.forward_floor.ms),
        ms(other.forward_ms), times(other.forward_ms and other.forward_ms / forward),
        ms(backward), ms(other.backward_ms),
        times(other.backward_ms and other.backward_ms / backward), published.text(result.published),
      }
    end
  end
  add("## Gated delta rule, %s\n\nThe ratios beside FLA's times are how many times faster Gamut is.\n", kernels.dtype)
  add_table(rows)
end

local function add_others(kernels)
  local rows = { { "operator", "shape", "forward ms", "x floor", "training ms", "x floor", "host ms" } }
  for _, result in ipairs(kernels.results) do
    if result.operator ~= "gated_delta_rule" then
      local forward, training = median(result.forward), median(result.training)
      rows[#rows + 1] = {
        result.operator, result.label .. " " .. result.title, result.failure or ms(forward),
        times(forward and forward / result.forward_floor.ms), ms(training),
        times(training and training / result.training_floor.ms), ms(result.training_host_ms or result.forward_host_ms),
      }
    end
  end
  add "## Other operators\n"
  add_table(rows)
  for _, verdict in ipairs(crossing.verdicts(kernels.results)) do add(verdict .. ".\n") end
end

local function add_kernels()
  local kernels, fla = read "kernels.json", read "fla.json"
  if not kernels then return end
  local rates = {}
  for dtype, rate in pairs(kernels.ceilings.products) do
    rates[#rates + 1] = ("%.3g TFLOP/s %s"):format(rate / 1e12, dtype)
  end
  table.sort(rates)
  add("%s. Ceilings: %s, copies %.4g GB/s.%s\n", kernels.machine.gpu or kernels.machine.processor or "",
    table.concat(rates, ", "), kernels.ceilings.bytes / 1e9,
    fla and (" FLA %s with torch %s."):format(fla.versions.fla, fla.versions.torch) or "")
  add_delta_rule(kernels, fla)
  add_others(kernels)
end

-- ---- Steps ----

local function step_row(case)
  if case.failure then return { case.label, case.failure, "", "", "", "", "", "", "" } end
  local plain, graph = case.times.step.median, median(case.times.graph)
  local best = graph or plain
  return {
    case.label, tostring(case.tokens), ms(plain), graph and ms(graph) or case.times.graph_failure or "",
    ("%.0f"):format(1e3 * case.tokens / best), times(best / case.floor.ms),
    case.times.peak_bytes and ("%.0f"):format(case.times.peak_bytes / 2 ^ 20) or "", ms(case.published_ms),
    times(case.published_ms and case.published_ms / best),
  }
end

-- Of golf's steps: the context from which the hybrid is faster.
local function golf_crossing(cases)
  local by_context = {}
  for _, case in ipairs(cases) do
    if case.times then
      local entry = by_context[case.context] or { context = case.context }
      by_context[case.context] = entry
      entry[case.curve == "baseline" and "a" or "b"] = median(case.times.graph) or case.times.step.median
    end
  end
  local points = {}
  for _, entry in pairs(by_context) do
    if entry.a and entry.b then points[#points + 1] = entry end
  end
  table.sort(points, function(one, other) return one.context < other.context end)
  return #points > 1 and crossing.text(points, "a step of the baseline", "a step of the hybrid") or nil
end

local function add_steps()
  local rows = { {
    "step", "tokens", "plain ms", "graph ms", "tokens/s", "x floor", "peak MiB", "published ms (H100)", "times faster",
  } }
  local golf
  for _, name in ipairs { "golf", "speech", "quickstart" } do
    local found = read(("step_%s.json"):format(name))
    for _, case in ipairs(found and found.cases or {}) do rows[#rows + 1] = step_row(case) end
    golf = golf or name == "golf" and found
  end
  if #rows == 1 then return end
  add "## Training steps\n"
  add_table(rows)
  local verdict = golf and golf_crossing(golf.cases)
  if verdict then add("Golf: %s; published: between 8192 and 16384.\n", verdict) end
end

add_parts()
add_parity()
add_kernels()
add_steps()
local text = table.concat(lines, "\n")
system.write_file(folder .. "/summary.md", text)
print(text)
print(("All files are in %s"):format(folder))
