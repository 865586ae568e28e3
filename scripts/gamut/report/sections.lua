-- The parts of a report, each from what collect.lua read; a part with nothing to show is nil.

local chart = require "gamut.report.chart"
local format = require "gamut.report.format"
local html = require "gamut.report.html"
local maps = require "gamut.maps"
local native = require "gamut.native.json"
local report_table = require "gamut.report.table"
local results = require "gamut.report.results"

local tag = html.tag
local sections = {}

-- A part of a page under its heading.
local function section(title, ...)
  return tag("section", nil, tag("h2", nil, title), ...)
end
sections.section = section

-- A table as report.table takes it, on a card.
function sections.table(one)
  return tag("div", {class = "card"}, report_table.html(one))
end

function sections.header(run)
  local record = run.record
  local status = record.status and tag("span", {class = "status " .. record.status}, record.status)
  local line = {run.root}
  if type(record.started) == "string" then line[#line + 1] = "started " .. record.started end
  local heading = tag("h1", nil, record.study or run.name, status or "")
  return tag("header", nil, heading, tag("p", nil, table.concat(line, " · ")))
end

-- The figures a reader looks for first.
function sections.tiles(run)
  local tiles = {}
  for _, result in ipairs(results(run)) do
    tiles[#tiles + 1] = tag("div", {class = "tile"}, tag("b", nil, result.text), tag("span", nil, result.label))
  end
  return #tiles > 0 and tag("div", {class = "tiles"}, tiles) or nil
end

-- First what everybody looks at, in this order; then every other metric by name.
local GROUPS = {
  {title = "Loss", {"train_loss", "train", true}, {"val_loss", "validation"}},
  {title = "Bits per byte", {"train_bpb", "train", true}, {"val_bpb", "validation"}},
  {title = "Learning rate", {"lr", "lr"}},
  {title = "Tokens a second", {"tokens_per_second", "tokens/s", true}},
  {title = "Gradient norm", {"grad_norm", "grad norm", true}},
}

function sections.charts(run)
  local figures, shown = {}, {time = true, tokens = true}
  local function figure(title, curves)
    if #curves > 0 then
      figures[#figures + 1] = chart.figure{title = title, id = #figures + 1, series = curves}
    end
  end
  for _, group in ipairs(GROUPS) do
    local curves = {}
    for _, entry in ipairs(group) do
      local series = run.series[entry[1]]
      shown[entry[1]] = true
      if series then
        curves[#curves + 1] = {label = entry[2], step = series.step, value = series.value, smooth = entry[3]}
      end
    end
    figure(group.title, curves)
  end
  for _, name in ipairs(maps.keys(run.series, function(name) return not shown[name] end)) do
    local series = run.series[name]
    local smooth = #series.step > 100
    local curve = {label = format.label(name), step = series.step, value = series.value, smooth = smooth}
    figure(format.title(name), {curve})
  end
  if #figures == 0 then return nil end
  return sections.figures(figures)
end

-- Charts under their heading, with the smoothing slider.
function sections.figures(figures)
  return sections.figure_groups{{figures = figures}}
end

-- Charts in groups with a heading each: {{title =, figures =}, …}; one slider smooths them all.
function sections.figure_groups(groups)
  local input = tag("input", {id = "smoothing", type = "range", min = 0, max = 100, value = 50})
  local slider = tag("label", nil, "Smoothing", input, tag("output", nil, chart.SMOOTHING))
  local parts = {tag("div", {class = "bar"}, tag("h2", nil, "Curves"), slider)}
  for _, group in ipairs(groups) do
    if group.title then parts[#parts + 1] = tag("h3", nil, group.title) end
    parts[#parts + 1] = tag("div", {class = "charts"}, group.figures)
  end
  return tag("section", nil, parts)
end

-- config.yaml, as Gamut writes it: one key a line, nested by two spaces.
function sections.config(run)
  if not run.config or not run.config:match "%S" then return nil end
  local rows = {}
  for line in run.config:gmatch "[^\n]+" do
    local indent, key, value = line:match "^( *)([^%s:#][^:]*): ?(.*)$"
    if key then
      rows[#rows + 1] = tag("tr", nil,
        tag("th", {class = "mono", style = ("padding-left:%.1fem"):format(#indent * 0.7)}, key),
        tag("td", {class = "mono"}, (value:gsub("^!%l+ ?", "")))) -- without the type's tag
    elseif line:match "%S" then
      rows[#rows + 1] = tag("tr", nil, tag("td", {class = "mono", colspan = 2}, line))
    end
  end
  return section("Configuration", tag("div", {class = "card"}, tag("table", {class = "facts config"}, rows)))
end

-- A value of run.json in words: lists by commas, maps as `key value` pairs in the order of their keys.
local function in_words(value)
  if value == native.null then return "none" end
  if math.type(value) == "float" then return ("%.6g"):format(value) end
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  if #value > 0 then
    local nested = type(value[1]) == "table"
    for i, item in ipairs(value) do parts[i] = in_words(item) end
    return table.concat(parts, nested and "\n" or ", ")
  end
  for i, key in ipairs(maps.keys(value)) do parts[i] = format.label(key) .. " " .. in_words(value[key]) end
  return table.concat(parts, ", ")
end

-- Facts that read better in words of their own.
local WORDS = {}

function WORDS.git(git)
  if type(git) ~= "table" or type(git.revision) ~= "string" then return in_words(git) end
  return git.revision:sub(1, 12) .. (git.modified == true and ", with changes that are not committed" or "")
end

function WORDS.plugins(plugins)
  local lines = {}
  for i, plugin in ipairs(type(plugins) == "table" and plugins or {}) do
    local known = type(plugin) == "table" and plugin.kind and plugin.name
    lines[i] = known and table.concat({plugin.kind, plugin.name, plugin.version}, " ") or in_words(plugin)
  end
  return table.concat(lines, "\n")
end

function WORDS.resumed(resumed)
  local lines = {}
  for i, one in ipairs(type(resumed) == "table" and resumed or {}) do
    local known = type(one) == "table" and one.step and one.time
    lines[i] = known and ("at step %s, %s"):format(in_words(one.step), in_words(one.time)) or in_words(one)
  end
  return table.concat(lines, "\n")
end

function WORDS.command(command)
  return type(command) == "table" and table.concat(command, " ") or in_words(command)
end

local FACTS = {
  "command", "script", "started", "resumed", "status", "seconds", "training_seconds", "device", "git",
  "gamut", "libtorch", "plugins", "data",
}
local NOT_FACTS = {describe = true, format = true, study = true, steps = true, tokens = true, parameters = true}

local function fact(name, value)
  local text
  if name:match "seconds$" and type(value) == "number" then
    name, text = name:gsub("seconds", "time"), format.duration(value)
    if name == "time" then name = "wall-clock time" end
  else
    text = (WORDS[name] or in_words)(value)
  end
  if text == "" then return nil end
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = tag("div", nil, line) end
  local mono = name == "command" or name == "script" or name:match "sha256"
  return tag("tr", nil, tag("th", nil, format.label(name)), tag("td", {class = mono and "mono"}, lines))
end

function sections.facts(run)
  local rows, known = {}, {}
  local function add(name)
    local value = run.record[name]
    known[name] = true
    if value ~= nil then rows[#rows + 1] = fact(name, value) end
  end
  for _, name in ipairs(FACTS) do add(name) end
  local rest = maps.keys(run.record, function(name) return not known[name] and not NOT_FACTS[name] end)
  for _, name in ipairs(rest) do add(name) end
  if run.record_broken then rows[#rows + 1] = fact("run.json", "cannot be read") end
  if #rows == 0 then return nil end
  return section("Run", tag("div", {class = "card"}, tag("table", {class = "facts"}, rows)))
end

local function module_table(modules, total, depth)
  local rows = {}
  for _, module in ipairs(modules) do
    local share = module.count and total > 0 and ("width:%.1f%%"):format(100 * module.count / total)
    if module.depth <= depth then
      rows[#rows + 1] = tag("tr", nil,
        tag("td", {class = "mono"}, module.text),
        tag("td", {class = "number"}, module.count and format.count(module.count) or ""),
        tag("td", {class = "meter"}, share and tag("span", {class = "share", style = share}) or ""))
    end
  end
  return tag("table", {class = "modules"}, rows), #rows
end

-- Parameters by module: the upper levels, and every tensor on demand.
function sections.modules(run)
  if #run.modules == 0 then return nil end
  local total = run.modules[1].count or 0
  local upper, shown = module_table(run.modules, total, 2)
  local all = ""
  if shown < #run.modules then
    all = tag("details", nil, tag("summary", nil, "Every parameter"), (module_table(run.modules, total, math.huge)))
  end
  local title = ("Model: %s parameters"):format(format.count(total))
  return section(title, tag("div", {class = "card"}, upper, all))
end

function sections.samples(run)
  local parts = {}
  local function title(sample)
    return sample.step and ("Step %s"):format(format.count(sample.step)) or sample.name
  end
  for i, sample in ipairs(run.samples.sounds) do
    parts[#parts + 1] = tag("details", {open = i <= 8},
      tag("summary", nil, title(sample), " ", tag("span", {class = "faint"}, sample.name)),
      tag("audio", {controls = true, preload = "none", src = sample.source or sample.href}),
      sample.source and "" or tag("p", {class = "faint"}, "Too large to embed; played from the run folder."))
  end
  for i, sample in ipairs(run.samples.texts) do
    local cut = sample.cut
      and ("The first %s of %s bytes."):format(format.count(#sample.text), format.count(sample.cut))
    parts[#parts + 1] = tag("details", {open = i == 1},
      tag("summary", nil, title(sample), " ", tag("span", {class = "faint"}, sample.name)),
      tag("pre", nil, sample.text),
      cut and tag("p", {class = "faint"}, cut) or "")
  end
  return #parts > 0 and section("Samples", tag("div", {class = "card"}, parts)) or nil
end

function sections.events(run)
  local rows = {}
  for _, event in ipairs(run.events) do
    local kind = event.event:gsub("[^%w]", "-")
    rows[#rows + 1] = tag("tr", nil,
      tag("td", {class = "number"}, format.count(event.step)),
      tag("td", {class = "event " .. kind}, event.event), tag("td", nil, event.message))
  end
  if run.bad_lines and run.bad_lines > 0 then
    rows[#rows + 1] = tag("tr", nil, tag("td", nil, ""), tag("td", {class = "event"}, "torn lines"),
      tag("td", nil, ("lines of metrics.jsonl that are not whole and were left out: %d"):format(run.bad_lines)))
  end
  if #rows == 0 then return nil end
  local head = tag("tr", nil, tag("th", {class = "number narrow"}, "step"), tag("th", {class = "narrow"}, "event"),
    tag("th", nil, ""))
  return section("Events", tag("div", {class = "card"}, tag("table", nil, head, rows)))
end

return sections
