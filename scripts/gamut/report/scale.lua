-- From data to the plane of a chart: ticks at round numbers, ranges, thinning, smoothing.

local scale = {}

-- The round step (1, 2 or 5 times a power of ten) that divides `span` into at most `count` parts.
local function round_step(span, count)
  local rough = span / count
  local power = 10.0 ^ math.floor(math.log(rough, 10))
  for _, factor in ipairs{1, 2, 5, 10} do
    if factor * power >= rough * (1 - 1e-9) then return factor * power end
  end
end

-- Ticks inside of [low, high] at round numbers, with labels of equal precision.
function scale.ticks(low, high, count)
  local step = round_step(high - low, count)
  local digits = math.max(0, -math.floor(math.log(step, 10) + 1e-9))
  local ticks = {}
  for i = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) do
    local value = i * step
    ticks[#ticks + 1] = {value = value, label = scale.tick_label(value, step, digits)}
  end
  return ticks
end

-- "25k" for 25,000 and "2e-5" for tiny steps; else as many decimals as the step has.
function scale.tick_label(value, step, digits)
  if value == 0 then return "0" end
  if step >= 1e6 then return ("%gM"):format(value / 1e6) end
  if step >= 1e3 or math.abs(value) >= 1e5 then return ("%gk"):format(value / 1e3) end
  if digits > 4 then
    return (("%.2g"):format(value):gsub("e([-+])0*", "e%1"):gsub("e%+", "e"))
  end
  return ("%." .. digits .. "f"):format(value)
end

-- Whether a value can be drawn.
function scale.finite(value)
  return value == value and value ~= math.huge and value ~= -math.huge
end

-- The range that shows the curves well: a start far above the rest is cut, and the curve enters from the top.
function scale.range(lists)
  local values = {}
  for _, list in ipairs(lists) do
    for _, value in ipairs(list) do
      if scale.finite(value) then values[#values + 1] = value end
    end
  end
  if #values == 0 then return 0, 1 end
  table.sort(values)
  local low, high = values[1], values[#values]
  local typical = values[math.max(1, math.floor(#values * 0.96))]
  if #values >= 50 and high - low > 2 * (typical - low) and typical > low then high = typical end
  if high == low then
    local pad = math.abs(low) > 0 and math.abs(low) * 0.1 or 1
    return low - pad, high + pad
  end
  local pad = (high - low) * 0.05
  local floor = low >= 0 and math.max(0, low - pad) or low - pad
  return floor, high + pad
end

-- At most about `limit` points: of every bucket of neighbours the least and the greatest, in order,
-- so that spikes stay.
function scale.thin(series, limit)
  local count = #series.step
  if count <= limit then return series end
  local thinned = {step = {}, value = {}}
  local function keep(i)
    thinned.step[#thinned.step + 1], thinned.value[#thinned.value + 1] = series.step[i], series.value[i]
  end
  local buckets = limit // 2
  for bucket = 0, buckets - 1 do
    local first, last = bucket * count // buckets + 1, (bucket + 1) * count // buckets
    local least, greatest = first, first
    for i = first, last do
      local value = series.value[i]
      if value < series.value[least] then least = i end
      if value > series.value[greatest] then greatest = i end
    end
    keep(math.min(least, greatest))
    if least ~= greatest then keep(math.max(least, greatest)) end
  end
  return thinned
end

-- Exponential moving average without the pull of its start; gaps (not finite) stay gaps.
function scale.smooth(values, weight)
  local smoothed, average, mass = {}, 0.0, 0.0
  for i, value in ipairs(values) do
    if scale.finite(value) then
      average = weight * average + (1 - weight) * value
      mass = weight * mass + (1 - weight)
      smoothed[i] = average / mass
    else
      smoothed[i] = 0 / 0
    end
  end
  return smoothed
end

return scale
