-- Models of a study against one of them: the difference of a figure's mean over the seeds, and whether it is more than
-- the seeds' own spread.
local gamut = require "gamut"
local check = require "gamut.options"
local json = require "gamut.native.json"
local system = require "gamut.native.system"
local statistics = gamut.statistics

local comparison = {}

---@class golf.Difference
---@field context integer
---@field model string
---@field reference string
---@field n integer[] seeds of the reference and of the model
---@field difference number mean of the model minus mean of the reference
---@field welch gamut.Welch? from two seeds each
---@field permutation gamut.Permutation? from two seeds each

-- Values of the finished cells by context and model, with the contexts and models in order.
local function gather(cells, figure)
  local values, contexts, models = {}, {}, {}
  local function list_of(map, key, order)
    if not map[key] then map[key], order[#order + 1] = {}, key end
    return map[key]
  end
  local known = {}
  for _, cell in ipairs(cells) do
    local value = cell.status == "finished" and cell:figure(figure)
    local context, model = cell.labels.context, cell.labels.architecture
    list_of(known, model, models)
    local list = list_of(list_of(values, context, contexts), model, {})
    if type(value) == "number" then list[#list + 1] = value end
  end
  return values, contexts, models
end

local function mean(values)
  local total = 0.0
  for _, value in ipairs(values) do total = total + value end
  return total / #values
end

---Every model but the reference against it, at every context where both have finished runs.
---@param cells gamut.study.Cell[] with the labels context, architecture and seed
---@param options {figure: string, reference?: string} reference: the first cell's model unless it is given
---@return golf.Difference[]
function comparison.of(cells, options)
  check("comparison.of", options, { figure = "string", reference = "string?" })
  local values, contexts, models = gather(cells, options.figure)
  local reference, list = options.reference or models[1], {}
  for _, context in ipairs(contexts) do
    local a = values[context][reference] or {}
    for _, model in ipairs(models) do
      local b = values[context][model] or {}
      if model ~= reference and #a > 0 and #b > 0 then
        local enough = #a > 1 and #b > 1
        list[#list + 1] = {
          context = context, model = model, reference = reference, n = { #a, #b }, difference = mean(b) - mean(a),
          welch = enough and statistics.welch(a, b) or nil, permutation = enough and statistics.permutation(a, b) or nil,
        }
      end
    end
  end
  return list
end

---A difference in words: "16384: hybrid - baseline = -0.0370 (5 and 5 seeds), 95 % from ...".
---@param d golf.Difference
---@return string
function comparison.sentence(d)
  local text = ("%d: %s - %s = %+.4f (%d against %d seed%s)"):format(d.context, d.model, d.reference, d.difference,
    d.n[2], d.n[1], d.n[1] == 1 and "" or "s")
  if not d.welch then return text .. "; two seeds each would show whether that is more than their spread" end
  return text .. (", 95 %% from %+.4f to %+.4f; Welch t = %.2f, %.1f degrees, p = %.2g; permutation p = %.2g of %d splits")
    :format(d.welch.low, d.welch.high, d.welch.t, d.welch.degrees, d.welch.p, d.permutation.p, d.permutation.splits)
end

---Prints differences and keeps them in differences.json.
---@param folder string
---@param differences golf.Difference[]
function comparison.report(folder, differences)
  for _, difference in ipairs(differences) do print(comparison.sentence(difference)) end
  local text = json.encode({ format = 1, differences = json.array(differences) }, { indent = 2, nonfinite = "null" })
  system.write_file(folder .. "/differences.json", text .. "\n")
end

return comparison
