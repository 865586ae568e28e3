-- Models of a study against one of them: the difference of their bits per byte over the seeds, and whether it is more
-- than the seeds' own spread.
local json = require "gamut.native.json"
local published = require "golf.published"
local statistics = require "gamut.statistics"
local system = require "gamut.native.system"

local comparison = {}

---@class golf.Comparison
---@field context integer
---@field model string
---@field reference string
---@field group golf.Group of the model
---@field base golf.Group of the reference
---@field n integer[] seeds of the reference and of the model
---@field difference number? mean of the model minus mean of the reference, where both have finished runs
---@field welch gamut.Welch? from two seeds each
---@field permutation gamut.Permutation? likewise
---@field speed number? the reference's time a step over the model's
---@field published table? the same two as the study sums them up

local function compare(base, group)
  local bpb, of_base = group.figures.bpb, base.figures.bpb
  local ms, of_base_ms = group.figures.step_average_ms.ours, base.figures.step_average_ms.ours
  local enough = #of_base.values > 1 and #bpb.values > 1
  local both_published = #group.published > 0 and #base.published > 0
  return {
    context = group.context, model = group.model, reference = base.model, base = base, group = group,
    n = { #of_base.values, #bpb.values },
    difference = bpb.ours and of_base.ours and bpb.ours.mean - of_base.ours.mean or nil,
    welch = enough and statistics.welch(of_base.values, bpb.values) or nil,
    permutation = enough and statistics.permutation(of_base.values, bpb.values) or nil,
    speed = ms and of_base_ms and of_base_ms.mean / ms.mean,
    published = both_published and base.model == "baseline" and group.model == "hybrid"
      and published.summary[group.context] or nil,
  }
end

-- Groups of one model by context.
local function by_context(groups, model)
  local found = {}
  for _, group in ipairs(groups) do
    if group.model == model then found[group.context] = group end
  end
  return found
end

---Every model against each reference at the contexts that both have; not a reference against one after it.
---@param groups golf.Group[] of results.collect
---@param references string[] models
---@return golf.Comparison[]
function comparison.of(groups, references)
  local list, done = {}, {}
  for _, reference in ipairs(references) do
    local bases = by_context(groups, reference)
    done[reference] = true
    for _, group in ipairs(groups) do
      local base = bases[group.context]
      if base and not done[group.model] then list[#list + 1] = compare(base, group) end
    end
  end
  return list
end

---What a program wants of a comparison.
---@param one golf.Comparison
---@return table
function comparison.figures(one)
  return {
    context = one.context, model = one.model, reference = one.reference, n = one.n, difference = one.difference,
    welch = one.welch, permutation = one.permutation, speed = one.speed, published = one.published,
  }
end

---A difference in words: "16384: hybrid - baseline = -0.0370 (5 against 5 seeds), 95 % from ...".
---@param one golf.Comparison with a difference
---@return string
function comparison.sentence(one)
  local text = ("%d: %s - %s = %+.4f (%d against %d seed%s)"):format(one.context, one.model, one.reference,
    one.difference, one.n[2], one.n[1], one.n[1] == 1 and "" or "s")
  if not one.welch then return text .. "; two seeds each would show whether that is more than their spread" end
  local welch, permutation = one.welch, one.permutation
  text = ("%s, 95 %% from %+.4f to %+.4f; Welch t = %.2f, %.1f degrees, p = %.2g"):format(text, welch.low, welch.high,
    welch.t, welch.degrees, welch.p)
  return ("%s; permutation p = %.2g of %d splits"):format(text, permutation.p, permutation.splits)
end

---Prints the differences that there are and keeps them in differences.json.
---@param folder string
---@param comparisons golf.Comparison[]
function comparison.report(folder, comparisons)
  local differences = json.array {}
  for _, one in ipairs(comparisons) do
    if one.difference then
      print(comparison.sentence(one))
      differences[#differences + 1] = comparison.figures(one)
    end
  end
  local text = json.encode({ format = 1, differences = differences }, { indent = 2, nonfinite = "null" })
  system.write_file(folder .. "/differences.json", text .. "\n")
end

return comparison
