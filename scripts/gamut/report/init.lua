-- report.html of a run folder: one file that opens from disk, without a network.
--
--   gamut.report.write "runs/quickstart/2026-11-21T10-00-00_seed1"

local collect = require "gamut.report.collect"
local html = require "gamut.report.html"
local interactive = require "gamut.report.interactive"
local sections = require "gamut.report.sections"
local style = require "gamut.report.style"
local system = require "gamut.native.system"

local report = {}

-- A whole page around the elements of its body.
function report.page(title, body)
  local tag = html.tag
  local head = tag("head", nil,
    tag("meta", {charset = "utf-8"}),
    tag("meta", {name = "viewport", content = "width=device-width, initial-scale=1"}),
    tag("title", nil, title, " · Gamut"),
    tag("style", nil, html.raw(style)))
  local footer = tag("footer", nil, os.date "Written by Gamut on %Y-%m-%d %H:%M:%S.")
  local main = tag("main", nil, body, footer)
  local page = tag("html", {lang = "en"}, head, tag("body", nil, main, tag("script", nil, html.raw(interactive))))
  return "<!doctype html>\n" .. tostring(page) .. "\n"
end

-- The report of a run folder as text.
---@param run_dir string
---@return string
function report.render(run_dir)
  local run = collect(run_dir)
  local body = {sections.header(run)}
  for _, name in ipairs{"tiles", "charts", "samples", "events"} do body[#body + 1] = sections[name](run) end
  body[#body + 1] = html.tag("div", {class = "two"}, sections.config(run) or "", sections.facts(run) or "")
  body[#body + 1] = sections.modules(run)
  return report.page(run.record.study or run.name, body)
end

-- Writes report.html into the run folder, as a whole or not at all; returns its path.
---@param run_dir string
---@return string path
function report.write(run_dir)
  local path = run_dir:gsub("(.)/+$", "%1") .. "/report.html"
  system.write_file(path, report.render(run_dir))
  return path
end

return report
