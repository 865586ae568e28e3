-- What the cells of a study came to: figures by group, mean and spread over the cells of each.

local check = require "gamut.options"
local format = require "gamut.report.format"
local maps = require "gamut.maps"
local report_table = require "gamut.report.table"
local statistics = require "gamut.statistics"

local summary = {}

-- The labels without the one that is averaged over, and a text that is the same for equal ones.
local function group_of(cell, over)
  local labels, key = {}, {}
  for _, name in ipairs(maps.keys(cell.labels)) do
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
      group.figures[name] = #values > 0 and statistics.summary(values) or nil
    end
  end
  return groups
end

-- "1.3507 ± 0.0012" of two or more, "1.3507" of one; the spread in as many decimals as the mean.
local function in_words(figure)
  if not figure then return nil end
  local size = math.abs(figure.mean)
  local is_fine = size >= 0.01 and size < 1000 and math.type(figure.mean) == "float"
  local function write(value) return is_fine and ("%.4f"):format(value) or format.metric(value) end
  return figure.sd and ("%s ± %s"):format(write(figure.mean), write(figure.sd)) or format.metric(figure.mean)
end

-- The labels of a group in words: "width 64".
---@return string
function summary.group_title(group)
  local parts = {}
  for i, name in ipairs(maps.keys(group.labels)) do parts[i] = name .. " " .. tostring(group.labels[name]) end
  return table.concat(parts, ", ")
end

local function label_names(groups)
  local names = {}
  for _, group in ipairs(groups) do names = maps.over(names, group.labels) end
  return maps.keys(names)
end

-- The groups as a table for gamut.report.table: labels, cells finished, then each figure's mean and spread.
---@param groups table[] of study.summarize
---@param figures string[]
---@return {columns: table[], rows: table[]}
function summary.table(groups, figures)
  local names, columns, rows = label_names(groups), {}, {}
  for i, name in ipairs(names) do columns[i] = {format.label(name)} end
  columns[#columns + 1] = {"runs", number = true}
  for _, name in ipairs(figures) do columns[#columns + 1] = {format.label(name), number = true} end
  for i, group in ipairs(groups) do
    local row = {}
    for k, name in ipairs(names) do row[k] = group.labels[name] end
    row[#names + 1] = group.finished == #group.cells and tostring(group.finished)
      or ("%d of %d"):format(group.finished, #group.cells)
    for k, name in ipairs(figures) do row[#names + 1 + k] = in_words(group.figures[name]) end
    rows[i] = row
  end
  return {columns = columns, rows = rows}
end

-- Prints summary.table.
function summary.print(groups, figures)
  io.stdout:write(report_table.text(summary.table(groups, figures)))
end

return summary
