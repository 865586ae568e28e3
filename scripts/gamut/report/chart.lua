-- A line chart as inline SVG. Lua draws all of it; interactive.lua adds the read-out under the
-- pointer and redraws the smoothed curves.

local html = require "gamut.report.html"
local scale = require "gamut.report.scale"

local chart = {}

-- In units of the view box; the page scales it to the column's width and keeps the text's size.
local WIDTH, HEIGHT = 560, 300
local LEFT, RIGHT, TOP, BOTTOM = 58, 24, 14, 34
local MAX_POINTS = 1200
chart.SMOOTHING = 0.9

local function coordinate(value)
  return (("%.1f"):format(value):gsub("%.0$", ""))
end

-- The values that set the range of y: those from `from` on, all where that leaves none of any curve.
local function settled_values(series, from)
  local lists, found, all = {}, false, {}
  for i, one in ipairs(series) do
    lists[i], all[i] = {}, one.value
    for k, x in ipairs(one.step) do
      if x >= from then table.insert(lists[i], one.value[k]) end
    end
    found = found or #lists[i] > 0
  end
  return found and lists or all
end

local function plane(series, settled)
  local first, last = math.huge, -math.huge
  for _, one in ipairs(series) do
    first, last = math.min(first, one.step[1]), math.max(last, one.step[#one.step])
  end
  local low, high = scale.range(settled_values(series, first + settled * (last - first)))
  if first == last then first, last = first - 1, last + 1 end
  return {
    x0 = first, x1 = last, y0 = low, y1 = high,
    left = LEFT, right = WIDTH - RIGHT, top = TOP, bottom = HEIGHT - BOTTOM,
  }
end

local function x_of(p, step)
  return p.left + (step - p.x0) / (p.x1 - p.x0) * (p.right - p.left)
end

local function y_of(p, value)
  return p.bottom - (value - p.y0) / (p.y1 - p.y0) * (p.bottom - p.top)
end

-- Path data; a value that is not finite breaks the line.
local function path_of(p, steps, values)
  local parts, pen = {}, "M"
  for i, step in ipairs(steps) do
    if scale.finite(values[i]) then
      parts[#parts + 1] = pen .. coordinate(x_of(p, step)) .. " " .. coordinate(y_of(p, values[i]))
      pen = "L"
    else
      pen = "M"
    end
  end
  return table.concat(parts)
end

-- What the x axis counts: steps, or time in the unit that suits its length.
local function axis_of(kind, series)
  if kind ~= "time" then return {name = "step", unit = "", size = 1, digits = "%.0f"} end
  local longest = 0
  for _, one in ipairs(series) do longest = math.max(longest, one.step[#one.step]) end
  local unit, size = "s", 1
  if longest > 3 * 3600 then unit, size = "h", 3600 elseif longest > 180 then unit, size = "min", 60 end
  return {name = "time", unit = " " .. unit, size = size, digits = "%.6g"}
end

local function grid(p, axis)
  local marks = {}
  for _, tick in ipairs(scale.ticks(p.y0, p.y1, 8)) do
    local y = coordinate(y_of(p, tick.value))
    marks[#marks + 1] = html.tag("line", {class = "grid", x1 = p.left, x2 = p.right, y1 = y, y2 = y})
    marks[#marks + 1] = html.tag("text", {class = "tick y", x = p.left - 8, y = y}, tick.label)
  end
  for _, tick in ipairs(scale.ticks(p.x0, p.x1, 6)) do
    local x = coordinate(x_of(p, tick.value))
    if axis.name == "time" or tick.value % 1 == 0 then -- there are no halves of steps
      local label = tick.value == 0 and "0" or tick.label .. axis.unit
      marks[#marks + 1] = html.tag("text", {class = "tick x", x = x, y = p.bottom + 8}, label)
    end
  end
  marks[#marks + 1] = html.tag("line", {class = "axis", x1 = p.left, x2 = p.right, y1 = p.bottom, y2 = p.bottom})
  return marks
end

-- Few points are dots on a line, many a line; a noisy line pales behind its smoothed one; a reference is dashed.
local function curve(p, one, index)
  local color = one.color or index
  local smoothed = one.smooth and #one.step > 20
  local class = "curve c" .. color .. (one.dashed and " dashed" or "")
  local line = path_of(p, one.step, one.value)
  local parts = {html.tag("path", {class = class .. (smoothed and " noisy" or ""), d = line})}
  if smoothed then
    parts[2] = html.tag("path", {
      class = class .. " smooth", ["data-series"] = index - 1,
      d = path_of(p, one.step, scale.smooth(one.value, chart.SMOOTHING)),
    })
  elseif #one.step <= 40 and not one.dashed then
    for i, step in ipairs(one.step) do
      if scale.finite(one.value[i]) then
        parts[#parts + 1] = html.tag("circle", {
          class = "dot c" .. color, r = 3, cx = coordinate(x_of(p, step)), cy = coordinate(y_of(p, one.value[i])),
        })
      end
    end
  end
  return parts
end

local function json_numbers(values, pattern)
  local parts = {}
  for i, value in ipairs(values) do parts[i] = scale.finite(value) and pattern:format(value) or "null" end
  return "[" .. table.concat(parts, ",") .. "]"
end

-- What the read-out needs: the plane, and every curve's points.
local function data_of(p, axis, series)
  local curves = {}
  for i, one in ipairs(series) do
    local xs, ys = json_numbers(one.step, axis.digits), json_numbers(one.value, "%.6g")
    curves[i] = ('{"name":"%s","color":%d,"x":%s,"y":%s}'):format(one.label, one.color or i, xs, ys)
  end
  return ('{"axis":"%s","unit":"%s","x0":%.9g,"x1":%.9g,"y0":%.9g,"y1":%.9g,"left":%d,"right":%d,"top":%d,"bottom":%d,'
    .. '"curves":[%s]}'):format(axis.name, axis.unit, p.x0, p.x1, p.y0, p.y1, p.left, p.right, p.top, p.bottom,
    table.concat(curves, ","))
end

-- Curves of one key (several seeds of a model, say) have one entry.
local function legend(series)
  local items, known = {}, {}
  for i, one in ipairs(series) do
    local key = one.key or one.label
    if not known[key] then
      local class = "c" .. (one.color or i) .. (one.dashed and " dashed" or "")
      items[#items + 1] = html.tag("span", {class = "key"}, html.tag("i", {class = class}), key)
    end
    known[key] = true
  end
  return #items > 1 and html.tag("div", {class = "legend"}, items) or {}
end

local function plain(label)
  return (label:gsub("[^%w _./-]", "?"))
end

-- The curves as they are drawn: thinned, and in the axis's unit.
local function drawn(list, axis)
  local series = {}
  for i, one in ipairs(list) do
    local thinned = scale.thin(one, MAX_POINTS)
    local xs = thinned.step
    if axis.size ~= 1 then
      xs = {}
      for k, x in ipairs(thinned.step) do xs[k] = x / axis.size end
    end
    series[i] = {
      label = plain(one.label), key = one.key and plain(one.key), step = xs, value = thinned.value,
      smooth = one.smooth, color = one.color, dashed = one.dashed,
    }
  end
  return series
end

-- A figure of curves: {title =, id =, x = "step" or "time", settled =, series = {{label =, step =, value =}, …}}.
-- By time, `step` holds seconds; the heading says by what where `x` is given. `settled` (default 0) is the share of the
-- x axis after which values set the range of y; what is above enters from the top. Of a curve also: `smooth`, `color`
-- (1 to 8), `dashed` for a reference, `key` in the legend (default its label). Labels are letters, digits, spaces and
-- `_./-`.
function chart.figure(options)
  local axis = axis_of(options.x, options.series)
  local series = drawn(options.series, axis)
  local p = plane(series, options.settled or 0)
  local by_axis = options.title .. " by " .. axis.name
  local clip = "clip-" .. options.id
  local curves = {}
  for i, one in ipairs(series) do curves[i] = curve(p, one, i) end
  local frame = html.tag("rect", {
    x = LEFT - 4, y = TOP - 4, width = WIDTH - LEFT - RIGHT + 8, height = HEIGHT - TOP - BOTTOM + 6,
  })
  local svg = html.tag("svg", {
      viewBox = ("0 0 %d %d"):format(WIDTH, HEIGHT), role = "img", ["aria-label"] = by_axis,
    },
    html.tag("clipPath", {id = clip}, frame),
    grid(p, axis), html.tag("g", {["clip-path"] = ("url(#%s)"):format(clip)}, curves),
    html.tag("g", {class = "cursor"}))
  local data = html.tag("script", {type = "application/json"}, html.raw(html.script_json(data_of(p, axis, series))))
  return html.tag("figure", {class = "chart"},
    html.tag("figcaption", nil, html.tag("b", nil, options.x and by_axis or options.title), legend(series)),
    html.tag("div", {class = "plot"}, svg, data))
end

return chart
