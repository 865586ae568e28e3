-- gamut.safetensors and gamut.native.checkpoint as scripts use them; the formats and the failures
-- are in tests/unit/checkpoint.
local gamut = require "gamut"
local store = require "gamut.native.checkpoint"
local testing = require "gamut.testing"

local folder = os.tmpname()
os.remove(folder)
os.execute("mkdir " .. folder)
local function path(name) return folder .. "/" .. name end

testing.test("a list of pairs comes back by position and by name, with its metadata", function()
  local a, b = gamut.arange(6):reshape{2, 3}, gamut.ones({2}, {dtype = "bfloat16"})
  gamut.safetensors.save(path "t", {{"a", a}, {"b.weight", b}}, {format = "pt", note = "x"})
  local tensors, metadata = gamut.safetensors.load(path "t")
  testing.equal(#tensors, 2)
  testing.equal(tensors.a, a)
  testing.equal(tensors["b.weight"], b)
  testing.equal(tensors[1], {"a", a})
  testing.equal(metadata, {format = "pt", note = "x"})
  testing.equal(gamut.safetensors.header(path "t"), {
    {name = "a", dtype = "I64", shape = {2, 3}, bytes = 48},
    {name = "b.weight", dtype = "BF16", shape = {2}, bytes = 4},
  })
end)

testing.test("tables by name are saved too, and what was loaded is saved again", function()
  gamut.safetensors.save(path "map", {w = gamut.zeros{3}})
  local loaded = gamut.safetensors.load(path "map", {copy = true})
  gamut.safetensors.save(path "again", loaded)
  testing.equal(gamut.safetensors.load(path "again").w, gamut.zeros{3})
  loaded.w = gamut.ones{3}
  testing.raises(function() gamut.safetensors.save(path "again", loaded) end, "tensors%.w is another tensor")
end)

testing.test("a trained parameter is saved without its graph", function()
  local w = gamut.ones{2}
  w.requires_grad = true
  gamut.safetensors.save(path "grad", {{"w", w * 2}})
  testing.equal(gamut.safetensors.load(path "grad").w.requires_grad, false)
end)

testing.test("wrong arguments are named", function()
  testing.raises(function() gamut.safetensors.save(path "x", {{"a", 1}}) end, "tensors%[1%], `a`, must be a tensor")
  testing.raises(function() gamut.safetensors.save(path "x", {{1, gamut.ones{1}}}) end, "its name is a number")
  testing.raises(function() gamut.safetensors.save(path "x", {a = {}}) end, "tensors%.a must be a tensor")
  testing.raises(function() gamut.safetensors.save(path "x", {a = gamut.ones{1}}, {k = 1}) end, "strings by name")
  testing.raises(function() gamut.safetensors.load(path "none") end, "cannot open .*none")
  testing.raises(function() store.save{step = 1, files = {}} end, "needs `dir`")
  testing.raises(function() store.save{dir = path "c", step = 1} end, "needs `files`")
  testing.raises(function() store.save{dir = path "c", stp = 1} end, "no option `stp`; did you mean `step`")
  testing.raises(function() store.save{dir = path "c", step = 1.5, files = {}} end, "`step` must be a whole number")
  testing.raises(function()
    store.save{dir = path "c", step = 1, files = {m = {}}, state = {f = print}}
  end, "state%.f is a function")
  testing.raises(function() store.load(path "c", {verify = "maybe"}) end, "verify must be")
end)

testing.test("a checkpoint comes back with its exact state", function()
  local state = {step = 3, loss = 0.1, best = math.huge, data = {files = {"a", "b"}, offset = 12345678901}, empty = {}}
  local saved, warnings = store.save{
    dir = path "run/checkpoints", step = 3, state = state, files = {model = {{"w", gamut.full({2}, 3.0)}}, ema = {}},
  }
  testing.equal(saved, path "run/checkpoints/step_000003")
  testing.equal(warnings, {})
  for _, where in ipairs{path "run", path "run/checkpoints", saved} do
    local loaded = store.load(where, {verify = "full"})
    testing.equal({loaded.step, loaded.path, loaded.notes}, {3, saved, {}})
    testing.equal(loaded.state, state)
    testing.equal(loaded.files.model.w, gamut.full({2}, 3.0))
    testing.equal(loaded.files.ema, {})
  end
end)

testing.test("old ones go, damage is listed and passed over with a note", function()
  local dir = path "kept"
  for step = 1, 4 do
    store.save{dir = dir, step = step, keep = 2, milestone = step == 1, files = {model = {{"w", gamut.ones{1}}}}}
  end
  local steps = {}
  for i, info in ipairs(store.list(dir)) do steps[i] = info.step end
  testing.equal(steps, {1, 3, 4})
  local file = io.open(dir .. "/step_000004/state.json", "w")
  file:write("{} longer")
  file:close()
  testing.is_true(store.list(dir)[3].damage)
  local loaded = store.load(dir)
  testing.equal(loaded.step, 3)
  testing.is_true(loaded.notes[1]:find("step 4 cannot be used: .*state.json.*; going on from step 3"))
  testing.raises(function() store.load(dir, {step = 4}) end, "state%.json is damaged")
  testing.raises(function() store.load(dir, {step = 2}) end, "no checkpoint of step 2 .*steps 1, 3, 4")
  testing.equal(#store.supersede_after(dir, 1), 2)
  testing.equal(store.load(dir).step, 1)
end)

os.execute("rm -r " .. folder)
testing.finish()
