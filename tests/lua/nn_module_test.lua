-- Modules: registration, names, order, tied parameters, state dicts, conversion, messages.
local gamut = require "gamut"
local testing = require "gamut.testing"
local nn = gamut.nn

local Leaf = nn.module "Leaf"
function Leaf:init(d)
  self.weight = nn.parameter(gamut.ones { d })
  self.count = nn.buffer(gamut.zeros { 1 })
  self.cache = nn.buffer(gamut.zeros { 2 }, { saved = false })
end
function Leaf:forward(x) return x * self.weight end

local Tree = nn.module "Tree"
function Tree:init()
  self.last = nn.Linear(2, 3)
  self.scale = nn.parameter(gamut.ones {})
  self.parts = nn.list { Leaf(2), Leaf(3) }
  self.width = 7
end
function Tree:forward(x)
  for _, part in ipairs(self.parts) do x = part(x) end
  return x
end

local function names(list)
  local result = {}
  for position, entry in ipairs(list) do result[position] = entry.name end
  return result
end

testing.test("names are paths in the order of setting", function()
  local tree = Tree()
  testing.equal(names(tree:named_parameters()),
    { "last.weight", "last.bias", "scale", "parts.0.weight", "parts.1.weight" })
  testing.equal(names(tree:named_buffers()),
    { "parts.0.count", "parts.0.cache", "parts.1.count", "parts.1.cache" })
  testing.equal(names(tree:state_dict()), { "last.weight", "last.bias", "scale", "parts.0.weight",
    "parts.0.count", "parts.1.weight", "parts.1.count" })
  testing.equal(tree.width, 7)
  testing.equal(#tree.parts, 2)
  testing.equal(tree:parameter_count(), 6 + 3 + 1 + 2 + 3)
end)

testing.test("an entry has name and tensor by position too", function()
  local entry = Tree():named_parameters()[1]
  testing.equal(entry[1], entry.name)
  testing.is_true(entry[2] == entry.tensor)
end)

testing.test("setting a field again keeps its place, nil takes it out", function()
  local tree = Tree()
  tree.last = nn.Linear(2, 5, { bias = false })
  testing.equal(names(tree:named_parameters())[1], "last.weight")
  tree.scale = nil
  testing.equal(names(tree:named_parameters()), { "last.weight", "parts.0.weight", "parts.1.weight" })
  tree.scale = nn.parameter(gamut.ones {})
  testing.equal(names(tree:named_parameters())[4], "scale")
end)

testing.test("parameters are leaves with gradients, buffers are not trained", function()
  local leaf = Leaf(2)
  testing.equal(leaf.weight.requires_grad, true)
  testing.equal(leaf.count.requires_grad, false)
  local made = nn.parameter(leaf.weight * 2)
  made:sum():backward()
  testing.equal(made.grad:tolist(), { 1.0, 1.0 })
  testing.is_true(leaf.weight.grad == nil, "a parameter made of another must not lead back to it")
  testing.raises(function() nn.parameter(3) end, "nn.parameter needs a tensor, not a number")
end)

testing.test("mistakes in setting fields are refused in words", function()
  local tree = Tree()
  testing.raises(function() tree.scale = gamut.ones {} end,
    "nn_module_test.lua:%d+: field `scale` of Tree is a parameter; assign nn.parameter")
  testing.raises(function() tree.others = { Leaf(1) } end,
    "nn_module_test.lua:%d+: field `others` of Tree is a plain table that holds modules.*nn.list")
  testing.raises(function() tree.train = nn.parameter(gamut.ones {}) end,
    "nn_module_test.lua:%d+: a parameter of Tree cannot be called `train`")
  testing.raises(function() nn.list { 3 } end, "nn.list holds modules, not a number")
  testing.raises(function() return #tree end, "Tree is no list")
  testing.raises(function() return nn.Liner end, "gamut.nn has no `Liner`")
end)

testing.test("tied parameters are one", function()
  local tree = Tree()
  local before = tree:parameter_count()
  tree.parts[2].weight = tree.parts[1].weight
  testing.equal(tree:parameter_count(), before - 3)
  local tied = tree:named_parameters()[4]
  testing.equal(tied.name, "parts.0.weight")
  testing.equal(tied.aliases, { "parts.1.weight" })
  testing.is_true(tree:describe():find("weight [2] = parts.0.weight", 1, true))
end)

testing.test("state dicts load back, also under either name of a tied tensor", function()
  local from, to = Tree(), Tree()
  gamut.no_grad(function() from.parts[1].weight:fill_(5) end)
  to:load(from:state_dict())
  testing.equal(to.parts[1].weight:tolist(), { 5.0, 5.0 })
  testing.is_true(to.parts[1].weight ~= from.parts[1].weight, "values are copied, not shared")

  local tied = nn.list { Leaf(2), Leaf(2) }
  tied[2].weight = tied[1].weight
  local counts = { ["0.count"] = gamut.ones { 1 }, ["1.count"] = gamut.ones { 1 } }
  counts["1.weight"] = gamut.full({ 2 }, 9.0)
  tied:load(counts)
  testing.equal(tied[1].weight:tolist(), { 9.0, 9.0 })
end)

testing.test("what does not fit is listed in one message, and nothing is copied", function()
  local tree = Tree()
  local message = testing.raises(function()
    tree:load { { "last.weight", gamut.zeros { 3, 2 } }, { "last.bias", gamut.zeros { 4 } },
      { "stray", gamut.zeros { 1 } } }
  end, "nn_module_test.lua:%d+: cannot load into Tree")
  testing.is_true(message:find("missing (5): scale, parts.0.weight", 1, true), message)
  testing.is_true(message:find("unexpected (1): stray", 1, true), message)
  testing.is_true(message:find("last.bias is [3] here and [4] in what is loaded", 1, true), message)
  testing.is_true(tree.last.weight:abs():sum():item() > 0, "last.weight was overwritten")
  local long = {}
  for i = 1, 30 do long["stray" .. i] = gamut.zeros { 1 } end
  testing.raises(function() tree:load(long) end, "and 20 more")
end)

testing.test("strict = false and rename", function()
  local tree = Tree()
  local report = tree:load({ { "model.scale", gamut.full({}, 4.0) }, { "stray", gamut.zeros { 1 } } }, {
    strict = false, rename = function(name) return (name:gsub("^model%.", "")) end,
  })
  testing.equal(tree.scale:item(), 4.0)
  testing.equal(report.unexpected, { "stray" })
  testing.equal(#report.missing, 6)
  report = tree:load({ a = gamut.full({}, 6.0), b = gamut.zeros { 1 } },
    { strict = false, rename = { a = "scale", b = false } })
  testing.equal(tree.scale:item(), 6.0)
  testing.equal(report.unexpected, {})
  testing.raises(function()
    tree:load({ a = gamut.zeros {}, scale = gamut.zeros {} }, { strict = false, rename = { a = "scale" } })
  end, "both `%a+` and `%a+` to `scale`")
end)

testing.test("a file of safetensors loads", function()
  local tree, path = Tree(), os.tmpname()
  gamut.no_grad(function() tree.scale:fill_(2.5) end)
  gamut.safetensors.save(path, tree:state_dict())
  local other = Tree()
  other:load(path)
  os.remove(path)
  testing.equal(other.scale:item(), 2.5)
end)

testing.test("conversion keeps the tensors, their gradients and integer buffers", function()
  local tree = Tree()
  tree.ids = nn.buffer(gamut.tensor({ 1, 2 }, { dtype = "int64" }))
  local held = tree.parts[1].weight
  held:sum():backward()
  tree:to { dtype = "float64" }
  testing.equal(held.dtype, "float64")
  testing.equal(held.grad.dtype, "float64")
  testing.equal(tree.parts[1].count.dtype, "float64")
  testing.equal(tree.ids.dtype, "int64")
  testing.is_true(tree.parts[1].weight == held, "the handle must stay the same tensor")
  testing.raises(function() tree:to { dtyp = "float64" } end, "device, dtype and where, not `dtyp`")
  testing.raises(function() tree:to "cuda" end, "takes a table")
end)

testing.test("conversion of some tensors leaves the others", function()
  local tree = Tree()
  tree:to { dtype = "float64", where = function(name, tensor) return name == "scale" or tensor.ndim == 2 end }
  for _, entry in ipairs(tree:named_parameters()) do
    local chosen = entry.name == "scale" or entry.tensor.ndim == 2
    testing.equal(entry.tensor.dtype, chosen and "float64" or "float32", entry.name)
  end
  testing.raises(function() tree:to { dtype = "float64", where = "scale" } end, "`where` is a function")
end)

testing.test("train, eval, apply, zero_grad", function()
  local tree = Tree()
  tree:eval()
  testing.equal(tree.parts[2].training, false)
  tree:train()
  testing.equal(tree.parts[2].training, true)
  local seen = {}
  tree:apply(function(_, path) seen[#seen + 1] = path end)
  testing.equal(seen, { "last", "parts.0", "parts.1", "parts", "" })
  tree.scale:sum():backward()
  tree:zero_grad()
  testing.is_true(tree.scale.grad == nil)
end)

testing.test("modules made inside a scope outlive it", function()
  local tree
  gamut.scope(function() tree = Tree() end)
  testing.equal(tree.scale:item(), 1.0)
end)

testing.test("describe shows shapes, counts and the total", function()
  testing.equal(nn.list { nn.Linear(2, 3), nn.Linear(2, 3), Leaf(2) }:describe(), table.concat({
    "list                                          20",
    "  0: Linear(2 -> 3)  weight [3, 2], bias [3]   9",
    "  1: like 0                                    9",
    "  2: Leaf                                      2",
    "    weight [2]                                 2",
    "    count [1] buffer",
    "    cache [2] buffer",
    "total: 20 parameters",
  }, "\n"))
  testing.equal(tostring(Leaf(1500)):match("total: [%d,]+"), "total: 1,500")
end)

testing.test("an error says where in the model it was, with the script's line", function()
  local Fails = nn.module "Fails"
  function Fails:forward() error("no luck") end
  local Outer = nn.module "Outer"
  function Outer:init() self.parts = nn.list { Leaf(2), Fails() } end
  function Outer:forward(x)
    for _, part in ipairs(self.parts) do x = part(x) end
    return x
  end
  local outer = Outer()
  testing.raises(function() outer(gamut.ones { 2 }) end,
    "^in parts%.1 %(Fails%): .*nn_module_test.lua:%d+: no luck$")
  testing.raises(function() outer:forward(gamut.ones { 3 }) end, "^in parts%.0 %(Leaf%): ")
  testing.raises(function() outer.parts[2](1) end, "^in Fails: ")
  -- An error that a forward catches leaves no trace in later messages.
  function Outer:forward(x)
    testing.is_true(not pcall(self.parts[2], x))
    return self.parts[1](x)
  end
  testing.equal(outer(gamut.ones { 2 }):tolist(), { 1.0, 1.0 })
  testing.raises(function() outer(gamut.ones { 3 }) end, "^in parts%.0 %(Leaf%): ")
  local thrown = {}
  function Outer:forward() error(thrown) end
  local _, caught = pcall(outer, 1)
  testing.is_true(caught == thrown, "an error value that is no message passes as it is")
  testing.raises(function() nn.module("Empty")()(1) end, "has no forward")
end)

testing.test("classes inherit", function()
  local Twice = nn.module("Twice", Leaf)
  function Twice:forward(x) return Leaf.forward(self, x) * 2 end
  testing.equal(Twice(2)(gamut.ones { 2 }):tolist(), { 2.0, 2.0 })
end)

testing.finish()
