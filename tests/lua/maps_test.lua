-- gamut.maps and gamut.options: keys in order, one map on top of another, options checked.
local check = require "gamut.options"
local maps = require "gamut.maps"
local testing = require("gamut").testing
local test, equal, raises = testing.test, testing.equal, testing.raises

test("keys come in order, all or those that are asked for", function()
  local map = { steps = 3, lr = 0.1, data = "d", ["model.d_model"] = 64 }
  equal(maps.keys(map), { "data", "lr", "model.d_model", "steps" })
  equal(maps.keys(map, function(name, value) return name ~= "lr" and type(value) == "number" end),
    { "model.d_model", "steps" })
  equal(maps.keys {}, {})
end)

test("one map on top of another by its keys; nothing is changed in place", function()
  local base, over = { a = 1, b = { 2, 3 } }, { b = { 4 }, c = false }
  equal(maps.over(base, over), { a = 1, b = { 4 }, c = false })
  equal(maps.over(nil, over), over)
  equal(maps.over(base), base)
  equal({ base, over }, { { a = 1, b = { 2, 3 } }, { b = { 4 }, c = false } })
end)

test("maps inside are merged too, lists are replaced", function()
  local base = { model = { a = 1, layers = { "gdn", "mamba" } }, b = { 1, 2 } }
  equal(maps.merged(base, { model = { c = false }, b = { 3 } }),
    { model = { a = 1, c = false, layers = { "gdn", "mamba" } }, b = { 3 } })
  equal(maps.merged(base, { model = { layers = { "gdn" } } }).model.layers, { "gdn" })
  equal(maps.merged(base, { model = {}, b = {} }), { model = base.model, b = {} })
  equal(maps.merged(base, { model = 7 }).model, 7)
  equal(maps.merged(base), base)
  equal(base, { model = { a = 1, layers = { "gdn", "mamba" } }, b = { 1, 2 } })
end)

test("options of other names or types, and missing ones, are told", function()
  local known = { steps = "integer", rate = "number?", model = "object" }
  equal(check("f", { steps = 1, model = {} }, known), { steps = 1, model = {} })
  check("f", { steps = 1, model = io.stdout }, known) -- userdata
  raises(function() check("f", { steps = 1, model = {}, step = 2 }, known) end,
    "f has no option `step`; did you mean `steps`%?")
  raises(function() check("f", { steps = 1.5, model = {} }, known) end,
    "f: `steps` must be an integer, got 1.5 %(number%)")
  raises(function() check("f", { steps = 1, model = "x" }, known) end, "f: `model` must be an object, got x %(string%)")
  raises(function() check("f", { model = {} }, known) end, "f needs `steps`")
end)

testing.finish()
