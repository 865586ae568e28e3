-- Metrics, events and progress from Lua.
local gamut = require "gamut"
local testing = require "gamut.testing"
local system = require "gamut.native.system"
local telemetry = require "gamut.native.telemetry"

local stem = os.tmpname()
local folder = stem .. "_telemetry"
system.make_directories(folder)
local path = folder .. "/metrics.jsonl"

testing.test("metrics are written in a fixed order and read back exactly", function()
  local metrics = telemetry.metrics(path)
  metrics:write(1, {train_loss = 1 / 3, tokens = 64, time = 0.5, bad = 0 / 0})
  metrics:write(2, {event = "resumed", message = 'say "so"'})
  local first = system.read_file(path):match "[^\n]+"
  testing.is_true(first:find('{"step":1,"time":0.5,"tokens":64,"bad":"', 1, true), first)
  local history = telemetry.read_metrics(path)
  testing.equal(history.series.train_loss, {step = {1}, value = {1 / 3}})
  testing.equal(history.events, {{step = 2, event = "resumed", message = 'say "so"'}})
end)

testing.test("resuming cuts what came after", function()
  telemetry.metrics(path, {resume_step = 1}):write(2, {train_loss = 0.25})
  testing.equal(telemetry.read_metrics(path).series.train_loss, {step = {1, 2}, value = {1 / 3, 0.25}})
end)

testing.test("a run that begins again keeps nothing of its first beginning", function()
  local again = path .. ".again"
  telemetry.metrics(again):write(0, {val_loss = 2.0})
  telemetry.metrics(again, {resume_step = -1}):write(0, {val_loss = 1.0})
  testing.equal(telemetry.read_metrics(again).series.val_loss, {step = {0}, value = {1.0}})
  os.remove(again)
end)

testing.test("what is no metric is refused by name", function()
  local metrics = telemetry.metrics(path)
  testing.raises(function() metrics:write(3, {loss = gamut.ones({})}) end, "`loss` .* take :item")
  testing.raises(function() metrics:write(3, {step = 3}) end, "`step` is the first argument")
  testing.raises(function() metrics:write(-1, {}) end, "not negative")
  testing.raises(function() telemetry.metrics(path, {resume_stp = 1}) end, "resume_stp.*did you mean `resume_step`")
  testing.raises(function() telemetry.metrics(path, {resume_step = 1.5}) end, "whole number")
end)

testing.test("events take scalars, texts and histograms", function()
  local events = telemetry.events(folder)
  local function size() return #system.read_file(events:path()) end
  local before = size()
  events:scalar("loss", 1, 2.5)
  testing.is_true(size() > before)
  events:text("sample", 1, "hello")
  events:histogram("weights", 1, gamut.randn({100}):bfloat16())
  testing.is_true(system.read_file(events:path()):find("sample", 1, true))
  testing.raises(function() events:histogram("weights", 1, 3) end, "[Tt]ensor")
end)

testing.test("progress knows what it is told and refuses the rest", function()
  local progress = telemetry.progress{total_steps = 10, budget_seconds = 100, spent_seconds = 40}
  testing.is_true(progress:seconds_left() <= 60)
  progress:update(10, {loss = 1.5, tokens_per_second = 1000, extras = {{"bpb", 1.25}, {"note", "x"}}})
  progress:finish()
  testing.raises(function() progress:update(1, {lss = 1}) end, "did you mean `loss`")
  testing.raises(function() telemetry.progress{steps = 3} end, "telemetry.progress has no option `steps`")
end)

testing.test("memory is in bytes", function()
  local memory = telemetry.memory()
  testing.is_true(memory.resident > 1e6 and memory.resident_peak > 1e6)
end)

os.remove(stem)
os.execute("rm -r '" .. folder .. "'")
testing.finish()
