-- Planning and summing up a study: what needs no run. tests/end_to_end/study.py runs some.
local gamut = require "gamut"
local json = require "gamut.native.json"
local settings = require "gamut.study.settings"
local testing = require "gamut.testing"
local study = gamut.study
local test, equal, close, raises = testing.test, testing.equal, testing.close, testing.raises

test("settings become words of a command line, maps by dotted keys", function()
  equal(settings.words{
    seed = 1, lr = 3e-4, big = 600.0, model = {d_model = 64, gdn = {expand_v = 2.0}}, name = "a b",
    path = "data/x-1.bin",
    odd = "no: yes", number = "12", yes = "true", flag = false, nothing = json.null, layers = {"gdn", "attention"},
    none = {},
  }, {
    "big=600.0", "flag=false", 'layers=["gdn","attention"]', "lr=0.0003", "model.d_model=64",
    "model.gdn.expand_v=2.0", "name=a b", "none=[]", "nothing=null", 'number="12"', 'odd="no: yes"',
    "path=data/x-1.bin",
    "seed=1", 'yes="true"',
  })
end)

test("what the words say is what was meant", function()
  local template = os.tmpname()
  local file = assert(io.open(template, "w"))
  file:write("seed: 1\nlr: 0.1\nname: a\nanything: null\nlayers: [a]\nopen: !open {}\nmodel:\n  width: 8\n")
  file:close()
  local config = require "gamut.native.config"
  local function resolved(given) return config.load(template, {overrides = settings.words(given)}):plain() end
  local given = {
    seed = 7, lr = 1 / 3, name = "true", anything = "12", layers = {"b", "c d"}, open = {deep = {x = 1, y = "z"}},
    model = {width = 16},
  }
  equal(resolved(given), given)
  equal(resolved{anything = json.null, layers = {}}.layers, {})
  os.remove(template)
end)

test("a grid has every point, the last axis fastest, and leaves out what its function does", function()
  local seen = study.grid({{"a", {1, 2}}, {"b", {"x", "y"}}}, function(at)
    return not (at.a == 2 and at.b == "x") and at or nil
  end)
  equal(seen, {{a = 1, b = "x"}, {a = 1, b = "y"}, {a = 2, b = "y"}})
  equal(study.grid({}, function(at) return at end), {{}})
end)

test("the time of a step lies on the line between two readings of the clock", function()
  local clock = require "gamut.study.clock"
  equal(clock({0, 5, 10, 15, 20, 30}, {step = {0, 10, 20}, value = {0.0, 10.0, 40.0}}),
    {0.0, 5.0, 10.0, 25.0, 40.0, 70.0})
  equal(clock({1, 2}, {step = {7}, value = {3.0}}), {3.0, 3.0})
  equal(clock({1}, {step = {}, value = {}}), nil)
  equal(clock({1}, nil), nil)
end)

-- A cell as study.summarize sees it.
local function cell(labels, status, figures)
  return {labels = labels, status = status, figure = function(_, name) return figures[name] end}
end

local CELLS = {
  cell({width = 64, seed = 1}, "finished", {bpb = 1.5, note = "text"}),
  cell({width = 32, seed = 1}, "interrupted", {bpb = 9.0}),
  cell({width = 64, seed = 2}, "finished", {bpb = 1.7}),
  cell({width = 64, seed = 3}, "planned", {}),
}

test("cells that differ in their seed are one group; only finished ones count", function()
  local groups = study.summarize(CELLS, {figures = {"bpb", "note"}})
  equal(#groups, 2)
  equal(groups[1].labels, {width = 64})
  equal({groups[1].finished, #groups[1].cells}, {2, 3})
  close(groups[1].figures.bpb.mean, 1.6)
  equal(groups[1].figures.note, nil)
  equal({groups[2].finished, groups[2].figures.bpb}, {0, nil})
  local by_seed = study.summarize(CELLS, {figures = {"bpb"}, over = "width"})
  equal({#by_seed, by_seed[1].labels}, {3, {seed = 1}})
end)

test("the table says how many of a group count, and the spread as finely as the mean", function()
  local one = study.table(study.summarize(CELLS, {figures = {"bpb"}}), {"bpb"})
  equal(one.columns, {{"width"}, {"runs", number = true}, {"bpb", number = true}})
  equal(one.rows, {{64, "2 of 3", "1.6000 ± 0.1414"}, {32, "0 of 1"}})
end)

local cells = require "gamut.study.cell"
local folder = os.tmpname()
os.remove(folder)
local script = os.getenv "GAMUT_SOURCE" .. "/experiments/quickstart/train.lua"

local function planned(given)
  given.script = given.script or script
  return cells.new(given, folder, "."):refresh()
end

test("a cell is checked, and has labels and a title", function()
  local one = planned{name = "a.1", settings = {seed = 1, model = {width = 8}, layers = {"gdn"}}}
  equal({one.title, one.labels, one.status, one.dir}, {"a.1", {seed = 1}, "planned", folder .. "/a.1"})
  raises(function() planned{name = "a/b"} end, "letters, digits")
  raises(function() planned{name = "..", settings = {}} end, "letters, digits")
  raises(function() planned{name = "a", sript = 1} end, "did you mean `script`")
  raises(function() planned{name = "a", labels = {width = {8}}} end, "the label width is a table")
  raises(function() planned{name = "a", script = "none.lua"} end, "there is no script ./none.lua")
end)

local system = require "gamut.native.system"

local function with_record(name, record)
  system.make_directories(folder .. "/" .. name)
  system.write_file(folder .. "/" .. name .. "/run.json", type(record) == "string" and record or json.encode(record))
  return planned{name = name}
end

test("what a folder holds tells how a cell stands", function()
  local done = with_record("done", {status = "finished", steps = 5, seconds = 2.5, results = {bpb = 1.25}})
  equal({done.status, done.seconds, done:figure "bpb", done:figure "steps"}, {"finished", 2.5, 1.25, 5})
  equal({with_record("failed", {status = "failed"}).status, with_record("cut", {status = "running"}).status},
    {"failed", "interrupted"})
  equal(with_record("broken", '{"status": "fin').status, "interrupted") -- the run's own check says what is damaged
  local lock <close> = system.lock_folder(folder .. "/cut")
  equal({lock ~= nil, planned{name = "cut"}.status, planned{name = "cut"}.holder}, {true, "running", "another process"})
end)

test("a figure that is no result is the last value of a metric", function()
  local one = with_record("metrics", {status = "stopped"})
  system.write_file(one.dir .. "/metrics.jsonl", '{"step":1,"val_loss":3.0}\n{"step":2,"val_loss":2.5}\n')
  equal({one:figure "val_loss", one:figure "nothing"}, {2.5})
  equal(one:series().val_loss, {step = {1, 2}, value = {3.0, 2.5}})
end)

local process = require "gamut.native.process"

test("a claim has one holder, who is named, and ends with its block", function()
  local path = folder .. "/claimed"
  equal(process.holder(path), nil)
  do
    local claim <close> = process.claim(path)
    testing.is_true(claim)
    local second, holder = process.claim(path)
    equal(second, nil)
    testing.is_true(holder:match "^process %d+ on .", holder)
    equal(process.holder(path), holder)
  end
  equal(process.holder(path), nil)
end)

os.execute(("rm -r '%s'"):format(folder))

local text_table = require "gamut.report.text_table"

test("columns of a text table stand under one another, whatever their bytes", function()
  equal(text_table({{"a", "±", "x"}, {"bb", "1"}}), {"a   ±  x", "bb  1"})
  equal(text_table({{"a", "10"}, {"b", "9"}}, {right = {[2] = true}}), {"a  10", "b   9"})
end)

testing.finish()
