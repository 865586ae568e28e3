-- index.html of a study: the table over the seeds, every cell, and curves by step and by time.

local chart = require "gamut.report.chart"
local check = require "gamut.options"
local clock = require "gamut.study.clock"
local format = require "gamut.report.format"
local html = require "gamut.report.html"
local report = require "gamut.report"
local sections = require "gamut.report.sections"
local summary = require "gamut.study.summary"
local system = require "gamut.native.system"

local tag = html.tag
local COLORS = 8

-- The curves of a metric, those of one group in one colour and under one key. Time is that of training where the run
-- logs `train_seconds`, else that of the clock on the wall.
local function curves_of(groups, metric, x)
  local list = {}
  for i, group in ipairs(groups) do
    for _, cell in ipairs(group.cells) do
      local series = cell:series()
      local one = series[metric]
      local xs = one and one.step
      if one and x == "time" then xs = clock(one.step, series.train_seconds or series.time) end
      if xs and #xs > 0 then
        list[#list + 1] = {
          label = cell.title, key = summary.group_title(group), step = xs, value = one.value,
          color = (i - 1) % COLORS + 1, smooth = #xs > 100,
        }
      end
    end
  end
  return list
end

local function charts_of(groups, metrics)
  local figures = {}
  for _, metric in ipairs(metrics) do
    for _, x in ipairs{"step", "time"} do
      local series = curves_of(groups, metric, x)
      if #series > 0 then
        figures[#figures + 1] = chart.figure{title = format.title(metric), id = #figures + 1, x = x, series = series}
      end
    end
  end
  return figures
end

-- Every cell with a link to its own report.
local function cell_table(cells)
  local rows = {}
  for i, cell in ipairs(cells) do
    local record = cell.record or {}
    rows[i] = {
      cell.title, cell.error and "failed: " .. cell.error or cell.status, record.steps and format.count(record.steps),
      cell.seconds and format.duration(cell.seconds),
      links = system.exists(cell.dir .. "/report.html") and {cell.name .. "/report.html"} or nil,
    }
  end
  return {columns = {{"run"}, {"status"}, {"steps", number = true}, {"time", number = true}}, rows = rows}
end

local function section(title, one) return sections.section(title, sections.table(one)) end

local function header(title, cells)
  local finished = 0
  for _, cell in ipairs(cells) do finished = finished + (cell.status == "finished" and 1 or 0) end
  return tag("header", nil, tag("h1", nil, title), tag("p", nil, ("%d of %d runs finished"):format(finished, #cells)))
end

-- Writes index.html into the study's folder, as a whole or not at all; returns its path.
---@param plan gamut.study.Plan
---@param options {figures: string[], metrics?: string[], title?: string, over?: string} figures: of the table, as for
---  study.summarize; metrics: of the curves, by default val_loss and train_loss
---@return string path
return function(plan, options)
  check("study.page", options, {figures = "table", metrics = "table?", title = "string?", over = "string?"})
  local cells, title = plan:all_cells(), options.title or plan.folder:match "([^/]+)/*$"
  local groups = summary.summarize(cells, {figures = options.figures, over = options.over})
  local body = {header(title, cells), section("Results", summary.table(groups, options.figures))}
  local figures = charts_of(groups, options.metrics or {"val_loss", "train_loss"})
  if #figures > 0 then body[#body + 1] = sections.figures(figures) end
  body[#body + 1] = section("Runs", cell_table(cells))
  local path = plan:path "index.html"
  system.write_file(path, report.page(title, body))
  return path
end
