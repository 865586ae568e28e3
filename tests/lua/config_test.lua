-- A study's configuration in Lua: strict reading, what was never read, expectations, resuming.
local testing = require "gamut.testing"
local config = require "gamut.native.config"

local temporary = {}

local function file_of(text)
  local path = os.tmpname()
  temporary[#temporary + 1] = path
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

local TEMPLATE = file_of [[
seed: 1
lr: 1e-3
name: base
data: null
betas: [0.9, 0.95]
optimizer:
  weight_decay: 0.1
  deep: {momentum: 0.95}
mixer: !open {name: gdn, sizes: [1, 2], inner: {x: true}}
]]

local function load(overrides, files)
  return config.load(TEMPLATE, {overrides = overrides, files = files})
end

testing.test("values arrive with their types", function()
  local c = load{"optimizer.deep.momentum=1"}
  testing.equal(c.seed, 1)
  testing.equal(c.lr, 0.001)
  testing.equal(c.optimizer.deep.momentum, 1.0)
  testing.equal(c.data, nil)
  testing.equal(c.betas, {0.9, 0.95})
  testing.equal(c.mixer, {name = "gdn", sizes = {1, 2}, inner = {x = true}})
end)

testing.test("files go below arguments", function()
  local c = load({"seed=3"}, {file_of "seed: 2\nlr: 2\n"})
  testing.equal(c.seed, 3)
  testing.equal(c.lr, 2.0)
end)

testing.test("a missing key names the nearest and the script's line", function()
  local c = load()
  local message = testing.raises(function() return c.optimizer.weigth_decay end, "did you mean `weight_decay`")
  testing.is_true(message:find "config_test%.lua:%d+", message)
  testing.raises(function() return c.optimiser end, "`optimiser`; did you mean `optimizer`")
  testing.raises(function() return c[1] end, "no key `1`")
  testing.equal(c:get "nothing", nil)
  testing.equal(c:get("data", "default"), "default")
  testing.equal(c:get("seed", 9), 1)
end)

testing.test("a configuration cannot be changed, its plain copy can", function()
  local c = load()
  testing.raises(function() c.lr = 3 end, "read%-only: `lr` cannot be set")
  testing.raises(function() c.optimizer.new = 3 end, "`optimizer.new` cannot be set")
  local plain = c:plain()
  plain.lr = 3
  testing.equal(plain.optimizer, {weight_decay = 0.1, deep = {momentum = 0.95}})
  testing.equal(c.lr, 0.001)
end)

testing.test("pairs goes in the order of the file", function()
  local keys = {}
  for key in pairs(load()) do keys[#keys + 1] = key end
  testing.equal(table.concat(keys, " "), "seed lr name betas optimizer mixer")
end)

testing.test("settings that nothing read are reported with their place", function()
  local c = load{"name=other"}
  for _, key in ipairs{"seed", "lr", "betas", "mixer"} do testing.is_true(c[key]) end
  testing.is_true(c.optimizer.deep.momentum)
  local function keys(list)
    local names = {}
    for i, one in ipairs(list) do names[i] = one.key end
    return table.concat(names, " ")
  end
  local unused = c:unused()
  testing.equal(keys(unused), "name data optimizer.weight_decay")
  testing.equal(unused[1].message, "argument `name=other`: `name` is not used by this script")
  testing.equal(unused[3].where, TEMPLATE .. ":7")
  testing.equal(keys(c:unused "later = config.optimizer.weight_decay; datas(rename)"), "name data")
  c:plain()
  testing.equal(#c:unused(), 0)
end)

testing.test("expectations cite the line or the argument", function()
  local c = load{"optimizer.deep.momentum=1.5"}
  testing.raises(function() c:expect{lr = {min = 1}} end, ":2: `lr` is 0.001; it should be at least 1")
  testing.raises(function() c:expect{optimizer = {deep = {momentum = {below = 1}}}} end,
    "argument `optimizer.deep.momentum=1.5`: .* below 1")
  testing.raises(function() c:expect{name = {one_of = {"a", "b"}}} end, "one of a, b")
  testing.raises(function() c:expect{lr = {least = 1}} end, "`least` is not one of")
  testing.raises(function() c:expect{rl = {min = 1}} end, "no key `rl`")
  c:expect{lr = {above = 0, max = 1}, data = {min = 0}, betas = {min = 0, below = 1}}
  c:expect{mixer = {name = {one_of = {"gdn"}}}}
end)

testing.test("mistakes name the argument and are never taken silently", function()
  testing.raises(function() load{"sed=1"} end, "argument `sed=1`: unknown key `sed`; did you mean `seed`%?")
  testing.raises(function() config.load(nil, {overrides = {"lr=1"}}) end, "has no config.yaml")
  testing.raises(function() config.load "/nowhere/config.yaml" end, "/nowhere/config.yaml")
  testing.raises(function() load{3} end, "list of strings")
end)

testing.test("a dump loads to the same values, and differences are listed", function()
  local c = load{"lr=0.3333333333333333", "data=a: b", "mixer.extra=[1, 2]"}
  local saved = file_of(c:dump())
  testing.equal(#config.diff(saved, c), 0)
  testing.equal(config.load(saved).lr, 0.3333333333333333)
  local changes = config.diff(saved, load{"data=c"})
  testing.equal(#changes, 3)
  testing.equal(changes[1], {key = "lr", old = "0.3333333333333333", new = "0.001", where = TEMPLATE .. ":2"})
  testing.equal(changes[2].old, '"a: b"')
  testing.equal(changes[3].new, "(not set)")
end)

for _, path in ipairs(temporary) do os.remove(path) end
testing.finish()
