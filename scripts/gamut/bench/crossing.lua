-- The context at which two things take the same time: attention grows with its square, a recurrence does not.
local crossing = {}

---Where two curves of times cross, by a line between the logarithms of their ratio over the logarithm of the context.
---@param points {context: number, a: number, b: number}[] by context upwards
---@return number? context nil where one is faster throughout
function crossing.at(points)
  local before
  for _, point in ipairs(points) do
    local ratio = math.log(point.a / point.b)
    if ratio == 0.0 then return point.context end
    if before and before.ratio * ratio < 0 then
      local share = before.ratio / (before.ratio - ratio)
      return before.context * (point.context / before.context) ^ share
    end
    before = { context = point.context, ratio = ratio }
  end
end

---The same in words.
---@param points {context: number, a: number, b: number}[] by context upwards
---@param a string what the first is called
---@param b string
---@return string
function crossing.text(points, a, b)
  local at, last = crossing.at(points), points[#points]
  local faster = last.a < last.b and a or b
  if at then return ("from about %.0f tokens on %s is the faster one"):format(at, faster) end
  return ("%s is faster from %d to %d tokens"):format(faster, points[1].context, last.context)
end

-- Times by context of the cases that are labelled so.
local function curve(results, operator, pass)
  local times = {}
  for _, result in ipairs(results) do
    if result.operator == operator and result.label == "crossing" and result[pass] then
      times[result.shape.T] = result[pass].median
    end
  end
  return times
end

---Where LibTorch's attention and the delta rule cross, of results that have both.
---@param results gamut.bench.Result[]
---@return string[] a line for each pass
function crossing.verdicts(results)
  local lines = {}
  for _, pass in ipairs { "forward", "training" } do
    local attention, delta = curve(results, "sdpa", pass), curve(results, "gated_delta_rule", pass)
    local points = {}
    for context, ms in pairs(attention) do
      if delta[context] then points[#points + 1] = { context = context, a = ms, b = delta[context] } end
    end
    table.sort(points, function(one, other) return one.context < other.context end)
    if #points > 1 then
      lines[#lines + 1] = ("Crossing, %s, 32,768 tokens, golf's heads: %s")
        :format(pass, crossing.text(points, "attention", "the delta rule"))
    end
  end
  return lines
end

return crossing
