-- Reads a run folder. Whatever is missing or broken is left out: a report of a crashed run is the
-- one that is needed most.

local json = require "gamut.native.json"
local native = require "gamut.native.report"
local telemetry = require "gamut.native.telemetry"

local MAX_TEXT = 20000        -- bytes shown of one text sample
local MAX_AUDIO = 24 * 2 ^ 20 -- bytes of audio embedded in all

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

local function step_of(name)
  return math.tointeger(tonumber(name:match "step_0*(%d+)"))
end

local function text_sample(path, name)
  local text = read(path) or ""
  local cut = #text > MAX_TEXT
  return {name = name, step = step_of(name), text = cut and text:sub(1, MAX_TEXT) or text, cut = cut and #text}
end

-- A player's source: the sound itself while there is room, then a link into the run folder.
local function audio_sample(path, name, embedded)
  local bytes = read(path) or ""
  local sample = {name = name, step = step_of(name), href = "samples/" .. name}
  if embedded + #bytes > MAX_AUDIO then return sample, embedded end
  local kind = name:match "%.(%w+)$":lower()
  sample.source = ("data:audio/%s;base64,%s"):format(kind == "mp3" and "mpeg" or kind, native.base64(bytes))
  return sample, embedded + #bytes
end

-- Newest first.
local function samples(root)
  local found, embedded = {texts = {}, sounds = {}}, 0
  local names = native.list_directory(root .. "/samples")
  for i = #names, 1, -1 do
    local name, path = names[i], root .. "/samples/" .. names[i]
    local extension = (name:match "%.(%w+)$" or ""):lower()
    if extension == "txt" then
      table.insert(found.texts, text_sample(path, name))
    elseif extension == "wav" or extension == "flac" or extension == "mp3" or extension == "ogg" then
      local sample
      sample, embedded = audio_sample(path, name, embedded)
      table.insert(found.sounds, sample)
    end
  end
  return found
end

-- The lines of `model:describe()`: {{text =, depth =, count =}, …}.
local function modules(description)
  local rows = {}
  for line in description:gmatch "[^\n]+" do
    if not line:match "^total:" then
      local text, count = line:match "^(.-)%s%s+([%d,]+)$"
      rows[#rows + 1] = {
        text = text or line, depth = #line:match "^ *" // 2,
        count = count and tonumber((count:gsub(",", ""))),
      }
    end
  end
  return rows
end

-- {root =, name =, record =, config =, series =, events =, samples =, modules =}
return function(root)
  root = root:gsub("(.)/+$", "%1")
  local record_text, has_metrics = read(root .. "/run.json"), read(root .. "/metrics.jsonl") ~= nil
  if not record_text and not has_metrics then
    error(("%s is not a run folder: it has neither run.json nor metrics.jsonl"):format(root), 0)
  end
  local readable, record = pcall(json.decode, record_text or "{}")
  local metrics = has_metrics and telemetry.read_metrics(root .. "/metrics.jsonl")
    or {series = {}, events = {}, bad_lines = 0}
  record = readable and type(record) == "table" and record or {}
  return {
    root = root, name = root:match "([^/]+)$", record = record, record_broken = not readable,
    config = read(root .. "/config.yaml"),
    series = metrics.series, events = metrics.events, bad_lines = metrics.bad_lines,
    samples = samples(root), modules = modules(type(record.describe) == "string" and record.describe or ""),
  }
end
