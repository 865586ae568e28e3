-- One cell of a study: a run with a name, its settings, and what its folder tells of it.

local check = require "gamut.options"
local json = require "gamut.native.json"
local process = require "gamut.native.process"
local settings = require "gamut.study.settings"
local system = require "gamut.native.system"
local telemetry = require "gamut.native.telemetry"

---@class gamut.study.Cell
---@field name string its folder's name
---@field title string what the terminal and the page call it
---@field dir string its run folder
---@field script string path of the script
---@field settings table<string, any>
---@field labels table<string, any> where it stands in the study, such as {width = 64, seed = 1}
---@field status "planned"|"running"|"interrupted"|"failed"|"finished"
---@field holder? string of a running one: who works on it
---@field record? table run.json
---@field results table<string, any> figures of run:result
---@field seconds? number wall-clock time so far
---@field error? string the last words of a failed one
local Cell = {}
Cell.__index = Cell

local FIELDS = {
  name = "string", script = "string", settings = "table?", labels = "table?", title = "string?", seconds = "number?",
}

local function is_scalar(value) return type(value) ~= "table" end

-- Settings of one value each, where the author gave no labels.
local function scalars(settings_of_cell)
  local labels = {}
  for name, value in pairs(settings_of_cell) do
    if is_scalar(value) and value ~= json.null then labels[name] = value end
  end
  return labels
end

local function check_cell(given)
  check("a cell of a study", given, FIELDS)
  for name, value in pairs(given.labels or {}) do
    if not is_scalar(value) then
      error(("cell %s: the label %s is a table; a label is a number, a text or a boolean"):format(given.name, name), 0)
    end
  end
  if not given.name:match "^[%w_][%w_.+-]*$" then
    error(("a cell's name is that of its folder: letters, digits and `_.+-`, not %q"):format(given.name), 0)
  end
end

-- `given` is the author's table; relative scripts are below `script_dir`.
local function new(given, folder, script_dir)
  check_cell(given)
  local script = given.script:sub(1, 1) == "/" and given.script or script_dir .. "/" .. given.script
  if not system.exists(script) then error(("cell %s: there is no script %s"):format(given.name, script), 0) end
  local self = setmetatable({
    name = given.name, title = given.title or given.name, dir = folder .. "/" .. given.name, script = script,
    settings = given.settings or {}, labels = given.labels or scalars(given.settings or {}), estimate = given.seconds,
  }, Cell)
  self.words = settings.words(self.settings)
  return self
end

-- A cell of an earlier command, as study.json tells of it: to be shown, not to be run.
local function recall(row, folder)
  return setmetatable({
    name = row.name, title = row.title, dir = folder .. "/" .. row.name, script = row.script,
    settings = row.settings or {}, labels = row.labels or {}, error = row.error, is_recalled = true,
  }, Cell)
end

local function read_record(dir)
  local path = dir .. "/run.json"
  if not system.exists(path) then return nil end
  local ok, record = pcall(function() return json.decode(system.read_file(path)) end)
  return ok and type(record) == "table" and record or nil
end

function Cell:lock_path() return self.dir .. "/.lock" end

-- Who works in the folder, or nil: another study by its claim, a run that was started by hand by the folder's lock.
local function holder_of(self)
  if not system.exists(self.dir) then return nil end
  local holder = process.holder(self:lock_path())
  if holder then return holder end
  local lock <close> = system.lock_folder(self.dir)
  return not lock and "another process" or nil
end

local function status_of(self)
  local status = self.record and self.record.status
  if status == "finished" then return "finished" end
  self.holder = holder_of(self)
  if self.holder then return "running" end
  if status == "failed" or self.error then return "failed" end
  return self:is_begun() and "interrupted" or "planned"
end

-- Whether there is something to go on with.
function Cell:is_begun()
  return self.record ~= nil or system.exists(self.dir .. "/run.json") or system.exists(self.dir .. "/checkpoints")
end

-- Reads the folder anew.
---@return gamut.study.Cell self
function Cell:refresh()
  self.record = read_record(self.dir)
  self.results = self.record and type(self.record.results) == "table" and self.record.results or {}
  self.seconds = self.record and self.record.seconds
  self.holder = nil
  self.status = status_of(self)
  if self.status == "finished" then self.error = nil end
  return self
end

-- The metrics of the run by name: {val_bpb = {step = {…}, value = {…}}, …}; {} before there are any.
---@return table<string, {step: integer[], value: number[]}>
function Cell:series()
  local path = self.dir .. "/metrics.jsonl"
  return system.exists(path) and telemetry.read_metrics(path).series or {}
end

-- A figure by name: of the results, else of the record, else the last value of the metric of that name.
---@param name string
---@return number?
function Cell:figure(name)
  local value = self.results[name] or self.record and self.record[name]
  if value ~= nil then return value end
  local series = self:series()[name]
  return series and series.value[#series.value]
end

-- What study.json keeps of it.
function Cell:row()
  return {
    name = self.name, title = self.title, script = self.script, settings = self.settings, labels = self.labels,
    status = self.status, seconds = self.seconds, error = self.error,
  }
end

return {new = new, recall = recall}
