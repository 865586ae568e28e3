-- The study's results as a page (index.html, self-contained), as table.md and table.json, and as text for the terminal.
local chart = require "gamut.report.chart"
local comparison = require "golf.comparison"
local format = require "gamut.report.format"
local html = require "gamut.report.html"
local json = require "gamut.native.json"
local report = require "gamut.report"
local report_table = require "gamut.report.table"
local results = require "golf.results"
local sections = require "gamut.report.sections"
local submission = require "golf.submission"
local system = require "gamut.native.system"
local tables = require "golf.tables"

local tag, section, card = html.tag, sections.section, sections.table
local page = {}

-- Colours of the charts by model, the same at every context.
local function colors_of(found)
  local colors, count = {}, 0
  for _, group in ipairs(found.groups) do
    if not colors[group.model] then
      count = count + 1
      colors[group.model] = (count - 1) % 8 + 1
    end
  end
  return colors
end

-- Published curves have no clock; at their average pace they come close.
local function seconds_of(run, curve)
  if curve.seconds then return curve.seconds end
  local seconds = {}
  for i, step in ipairs(curve.step) do seconds[i] = step * run.step_average_ms / 1000 end
  return seconds
end

-- The curves of one chart: `curve` "validation" or "train", `value` its column, x "step" or "time".
local function add_curves(list, group, color, what)
  local function add(run, is_published)
    local curve = run[what.curve]
    local xs = curve and curve[what.value] and (what.x == "step" and curve.step or seconds_of(run, curve))
    if not xs or #xs == 0 then return end
    local name = is_published and group.model .. " published" or group.model
    list[#list + 1] = {
      label = ("%s %s"):format(name, run.seed), key = name, step = xs, value = curve[what.value], color = color,
      dashed = is_published, smooth = what.smooth and not is_published and #xs > 300,
    }
  end
  for _, run in ipairs(group.all_runs) do
    -- Without the clock of a validation there is no time to draw by.
    local curve = run[what.curve]
    if curve and (what.x == "step" or curve.seconds) then add(run, false) end
  end
  for _, run in ipairs(group.published) do add(run, true) end
end

local CHARTS = {
  { title = "Validation bits per byte", curve = "validation", value = "bpb", x = "step", settled = 0.12 },
  { title = "Validation bits per byte", curve = "validation", value = "bpb", x = "time", settled = 0.12 },
  { title = "Training loss", curve = "train", value = "loss", x = "step", settled = 0.12, smooth = true },
  { title = "Training loss", curve = "train", value = "loss", x = "time", settled = 0.12, smooth = true },
}

-- A chart counts only with a curve of ours.
local function is_drawn(series)
  for _, one in ipairs(series) do
    if not one.dashed then return true end
  end
  return false
end

local function charts_of(found)
  local colors, by_context, groups, id = colors_of(found), {}, {}, 0
  for _, group in ipairs(found.groups) do
    if not by_context[group.context] then
      by_context[group.context] = {}
      local title = ("Context %s"):format(format.count(group.context))
      groups[#groups + 1] = { title = title, context = group.context, figures = {} }
    end
    table.insert(by_context[group.context], group)
  end
  local drawn = {}
  for _, one in ipairs(groups) do
    for _, what in ipairs(CHARTS) do
      local series = {}
      for _, group in ipairs(by_context[one.context]) do add_curves(series, group, colors[group.model], what) end
      if is_drawn(series) then
        id = id + 1
        table.insert(one.figures, chart.figure {
          title = what.title, id = id, x = what.x, settled = what.settled, series = series,
        })
      end
    end
    if #one.figures > 0 then drawn[#drawn + 1] = one end
  end
  return #drawn > 0 and sections.figure_groups(drawn) or nil
end

local function list(texts)
  if #texts == 0 then return "" end
  local items = {}
  for i, text in ipairs(texts) do items[i] = tag("li", nil, text) end
  return tag("ul", { class = "notes" }, items)
end

-- The machines that the runs were on, in words.
local function devices_of(found)
  local names, known = {}, {}
  for _, group in ipairs(found.groups) do
    for _, run in ipairs(group.all_runs) do
      local device = run.device
      local name = device and (device.gpu or device.processor)
      if type(device) == "table" and type(name) == "string" and not known[name] then
        known[name], names[#names + 1] = true, name
      end
    end
  end
  return table.concat(names, ", ")
end

local function header(found, title)
  local counts = found.counts
  local done = counts.finished or 0
  local status = done == counts.all and "finished" or (counts.running and "running" or "incomplete")
  local parts = { ("%d of %d runs finished"):format(done, counts.all) }
  for _, name in ipairs { "running", "interrupted", "failed" } do
    if counts[name] then parts[#parts + 1] = ("%d %s"):format(counts[name], name) end
  end
  local devices = devices_of(found)
  if devices ~= "" then parts[#parts + 1] = devices end
  local heading = tag("h1", nil, title, tag("span", { class = "status " .. status }, status))
  return tag("header", nil, heading, tag("p", nil, table.concat(parts, " · ")))
end

local function has_dashes(found)
  for _, group in ipairs(found.groups) do
    if #group.published > 0 then return true end
  end
  return false
end

local LEGEND = "Dashed: published; by time, where there is no log of the run, at its average time a step."

local COMPARED = "Models compared"

local function render(found, title)
  local body = { header(found, title) }
  body[#body + 1] = section("Results", card(tables.main(found)), list(tables.notes(found)))
  local compared = tables.comparison(found)
  if compared then body[#body + 1] = section(COMPARED, card(compared)) end
  local charts = charts_of(found)
  if charts then
    body[#body + 1] = charts
    if has_dashes(found) then body[#body + 1] = tag("p", { class = "faint" }, LEGEND) end
  end
  body[#body + 1] = section("Runs", card(tables.runs(found)))
  local schedules = tables.schedules(found)
  if schedules then body[#body + 1] = section("Schedules", card(schedules)) end
  local first = tables.first_losses(found)
  if first then
    body[#body + 1] = section("Training loss of the first ten steps", card(first))
  end
  return report.page(title, body)
end

-- Every table under its title, as Markdown or as text.
local function all_tables(found, write, heading)
  local parts = {}
  local function add(title, one)
    if one then parts[#parts + 1] = heading(title) .. write(one) end
  end
  add("Results", tables.main(found))
  add(COMPARED, tables.comparison(found))
  return parts
end

---The tables for a terminal.
---@param found table what results.collect returned
---@return string
function page.text(found)
  local parts = all_tables(found, report_table.text, function(title) return title .. "\n" end)
  local notes = tables.notes(found)
  if #notes > 0 then parts[#parts + 1] = table.concat(notes, "\n") .. "\n" end
  return table.concat(parts, "\n")
end

local function markdown(found, title)
  local parts = all_tables(found, report_table.markdown, function(name) return "## " .. name .. "\n\n" end)
  parts[#parts + 1] = "## Runs\n\n" .. report_table.markdown(tables.runs(found))
  local notes = tables.notes(found)
  for i, note in ipairs(notes) do notes[i] = "- " .. note .. "\n" end
  if #notes > 0 then parts[#parts + 1] = table.concat(notes) end
  return "# " .. title .. "\n\n" .. table.concat(parts, "\n")
end

-- Figures for programs: of every group ours and published with n, mean, sd, min and max, and of every run.
local function figures_of(found)
  local groups = json.array {}
  for i, group in ipairs(found.groups) do
    local figures = {}
    for name, one in pairs(group.figures) do
      figures[name] = { ours = one.ours, published = one.published, difference = one.difference, ratio = one.ratio }
    end
    local runs = json.array {}
    for k, run in ipairs(group.all_runs) do
      runs[k] = {
        name = run.name, seed = run.seed, status = run.status, steps = run.steps, step_average_ms = run.step_average_ms,
        pre_quant = run.pre_quant, post_quant = run.post_quant, artifact_bytes = run.artifact_bytes,
        submission_bytes = run.submission_bytes, eval_ms = run.eval_ms, peak_mib = run.peak_mib,
      }
    end
    groups[i] = { context = group.context, model = group.model, figures = figures, runs = runs }
  end
  local comparisons = json.array {}
  for i, one in ipairs(found.comparisons) do comparisons[i] = comparison.figures(one) end
  return { format = 1, counts = found.counts, groups = groups, comparisons = comparisons }
end

---Writes index.html, table.md, table.json and submissions/ into the study's folder, each file as a whole or not at all.
---@param folder string
---@param cells gamut.study.Cell[]
---@param title? string
---@param references? string[] as for results.collect
---@return table results what results.collect made of the cells
function page.write(folder, cells, title, references)
  title = title or "Long-context golf"
  local found = results.collect(cells, references)
  system.write_file(folder .. "/index.html", render(found, title))
  system.write_file(folder .. "/table.md", markdown(found, title))
  system.write_file(folder .. "/table.json", json.encode(figures_of(found), { indent = 2, nonfinite = "null" }) .. "\n")
  submission.write_study(folder, found)
  return found
end

return page
