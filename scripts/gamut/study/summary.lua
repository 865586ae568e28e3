-- What the cells of a study came to: figures by group, mean and spread over the cells of each.

local check = require "gamut.options"
local format = require "gamut.report.format"
local text_table = require "gamut.report.text_table"

local summary = {}

-- n, mean, sample standard deviation (of two or more: n - 1 in the denominator), least and greatest of some numbers.
---@param values number[] one or more
---@return {n: integer, mean: number, sd: number?, min: number, max: number}
function summary.statistics(values)
  local n = #values
  if n == 0 then error("study.statistics needs one number or more", 2) end
  local sum, least, greatest = 0.0, math.huge, -math.huge
  for _, value in ipairs(values) do
    sum, least, greatest = sum + value, math.min(least, value), math.max(greatest, value)
  end
  local mean, squares = sum / n, 0.0
  for _, value in ipairs(values) do squares = squares + (value - mean) ^ 2 end
  return {n = n, mean = mean, sd = n > 1 and math.sqrt(squares / (n - 1)) or nil, min = least, max = greatest}
end

local function sorted(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- The labels without the one that is averaged over, and a text that is the same for equal ones.
local function group_of(cell, over)
  local labels, key = {}, {}
  for _, name in ipairs(sorted(cell.labels)) do
    if name ~= over then
      labels[name] = cell.labels[name]
      key[#key + 1] = name .. "=" .. tostring(cell.labels[name])
    end
  end
  return labels, table.concat(key, "\0")
end

-- Groups of cells that differ in one label only, in the order of their first cells, with the statistics of the
-- finished ones' figures.
---@param cells gamut.study.Cell[]
---@param options {figures: string[], over?: string} over: the label that may differ, by default `seed`
---@return {labels: table, cells: gamut.study.Cell[], finished: integer, figures: table<string, table>}[]
function summary.summarize(cells, options)
  check("study.summarize", options, {figures = "table", over = "string?"})
  local groups, by_key = {}, {}
  for _, cell in ipairs(cells) do
    local labels, key = group_of(cell, options.over or "seed")
    local group = by_key[key]
    if not group then
      group = {labels = labels, cells = {}, finished = 0, figures = {}}
      by_key[key], groups[#groups + 1] = group, group
    end
    group.cells[#group.cells + 1] = cell
    if cell.status == "finished" then group.finished = group.finished + 1 end
  end
  for _, group in ipairs(groups) do
    for _, name in ipairs(options.figures) do
      local values = {}
      for _, cell in ipairs(group.cells) do
        local value = cell.status == "finished" and cell:figure(name)
        if type(value) == "number" then values[#values + 1] = value end
      end
      group.figures[name] = #values > 0 and summary.statistics(values) or nil
    end
  end
  return groups
end

-- "1.3507 ± 0.0012" of two or more, "1.3507" of one, "–" of none.
local function in_words(figure)
  if not figure then return "–" end
  if not figure.sd then return format.metric(figure.mean) end
  return ("%s ± %s"):format(format.metric(figure.mean), format.metric(figure.sd))
end

-- The groups as rows of texts, a head first: labels, cells finished, then each figure's mean and spread.
---@param groups table[] of study.summarize
---@param figures string[]
---@return string[][]
function summary.table(groups, figures)
  local names = {}
  for _, group in ipairs(groups) do
    for name in pairs(group.labels) do names[name] = true end
  end
  names = sorted(names)
  local head = table.move(names, 1, #names, 1, {})
  head[#head + 1] = "runs"
  for _, name in ipairs(figures) do head[#head + 1] = format.label(name) end
  local rows = {head}
  for _, group in ipairs(groups) do
    local row = {}
    for i, name in ipairs(names) do row[i] = tostring(group.labels[name] == nil and "–" or group.labels[name]) end
    row[#row + 1] = group.finished == #group.cells and tostring(group.finished)
      or ("%d of %d"):format(group.finished, #group.cells)
    for _, name in ipairs(figures) do row[#row + 1] = in_words(group.figures[name]) end
    rows[#rows + 1] = row
  end
  return rows
end

-- Prints summary.table.
function summary.print(groups, figures)
  for _, line in ipairs(text_table(summary.table(groups, figures))) do print(line) end
end

return summary
