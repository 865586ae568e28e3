-- Runs side by side: results, the settings in which they differ, and curves over one another.

local chart = require "gamut.report.chart"
local collect = require "gamut.report.collect"
local config = require "gamut.native.config"
local format = require "gamut.report.format"
local html = require "gamut.report.html"
local maps = require "gamut.maps"
local report = require "gamut.report"
local results = require "gamut.report.results"
local sections = require "gamut.report.sections"
local system = require "gamut.native.system"
local text_table = require "gamut.report.text_table"

local tag = html.tag

-- Names that tell the runs apart: the folder's, with its parent's where two are the same.
local function name_runs(runs)
  local count = {}
  for _, run in ipairs(runs) do count[run.name] = (count[run.name] or 0) + 1 end
  for i, run in ipairs(runs) do
    run.label = count[run.name] > 1 and (run.root:match "([^/]+/[^/]+)$" or run.root) or run.name
    for k = 1, i - 1 do
      if runs[k].label == run.label then run.label = run.root end
    end
  end
end

-- {{name =, cells = {text for each run}, best = index or nil}, …}
local function result_rows(runs)
  local rows, by_label = {}, {}
  for i, run in ipairs(runs) do
    for _, result in ipairs(results(run)) do
      local row = by_label[result.label]
      if not row then
        row = {name = result.label, cells = {}}
        by_label[result.label], rows[#rows + 1] = row, row
      end
      row.cells[i] = result.text
      if result.lower and (not row.least or result.value < row.least) then row.least, row.best = result.value, i end
    end
  end
  return rows
end

-- The settings that are not the same in all runs, in the order of the first run's file.
local function setting_rows(runs)
  local rows, by_key = {}, {}
  local base = runs[1].root .. "/config.yaml"
  for i = 2, #runs do
    local path = runs[i].root .. "/config.yaml"
    for _, change in ipairs(config.diff(base, config.load(path))) do
      local row = by_key[change.key]
      if not row then
        row = {name = change.key, cells = {}}
        for k = 1, #runs do row.cells[k] = change.old end
        by_key[change.key], rows[#rows + 1] = row, row
      end
      row.cells[i] = change.new
    end
  end
  return rows
end

local function comparison(title, runs, rows)
  if #rows == 0 then return nil end
  local head = {tag("th", nil, "")}
  for i, run in ipairs(runs) do head[i + 1] = tag("th", nil, tag("i", {class = "c" .. i}), run.label) end
  local body = {tag("tr", nil, head)}
  for _, row in ipairs(rows) do
    local cells = {tag("th", nil, row.name)}
    for i = 1, #runs do cells[i + 1] = tag("td", {class = row.best == i and "best"}, row.cells[i] or "–") end
    body[#body + 1] = tag("tr", nil, cells)
  end
  local card = tag("div", {class = "card"}, tag("table", {class = "compared"}, body))
  return tag("section", nil, tag("h2", nil, title), card)
end

local FIRST = {"train_loss", "val_loss", "val_bpb"}

-- One chart for each metric that two runs have, losses first.
local function figures(runs)
  local names, known, found = {}, {time = true, tokens = true}, {}
  for _, name in ipairs(FIRST) do names[#names + 1], known[name] = name, true end
  local all = {}
  for _, run in ipairs(runs) do all = maps.over(all, run.series) end
  local others = maps.keys(all, function(name) return not known[name] end)
  table.move(others, 1, #others, #names + 1, names)
  for _, name in ipairs(names) do
    local curves = {}
    for i, run in ipairs(runs) do
      local series = run.series[name]
      if series then
        local smooth = name ~= "lr" and #series.step > 100
        curves[#curves + 1] = {
          label = run.label, step = series.step, value = series.value, smooth = smooth, color = i,
        }
      end
    end
    if #curves > 1 then
      found[#found + 1] = chart.figure{title = format.title(name), id = #found + 1, series = curves}
    end
  end
  return found
end

local function print_rows(rows, runs)
  local lines = {{""}}
  for i, run in ipairs(runs) do lines[1][i + 1] = run.label end
  for _, row in ipairs(rows) do
    local line = {row.name}
    for i = 1, #runs do line[i + 1] = row.cells[i] or "-" end
    lines[#lines + 1] = line
  end
  for _, line in ipairs(text_table(lines)) do print(line) end
end

-- Prints the results and differing settings of the run folders and writes the page.
return function(output, ...)
  local runs = {}
  for i, root in ipairs{...} do runs[i] = collect(root) end
  name_runs(runs)
  local outcome = result_rows(runs)
  local complete = true
  for _, run in ipairs(runs) do complete = complete and run.config end
  local settings = complete and setting_rows(runs) or {}
  local rows = table.move(settings, 1, #settings, #outcome + 1, table.move(outcome, 1, #outcome, 1, {}))
  print_rows(rows, runs)
  local curves = figures(runs)
  local body = {
    tag("header", nil, tag("h1", nil, ("%d runs compared"):format(#runs))),
    comparison("Results", runs, outcome) or "", comparison("Settings that differ", runs, settings) or "",
    #curves > 0 and sections.figures(curves) or "",
  }
  system.write_file(output, report.page("Comparison", body))
  print(("\nCurves: %s"):format(output))
end
