-- What a user reads when something goes wrong.
local gamut = require "gamut"
local testing = require "gamut.testing"
local test, raises, is_true = testing.test, testing.raises, testing.is_true

local x, y = gamut.zeros{2, 3}, gamut.zeros{4}

test("a failing operator: place, sentence, what it was given", function()
  local message = raises(function() return x + y end, "errors_test.lua:%d+: add: The size of tensor a %(3%)")
  is_true(message:find("called as add(float32[2, 3] tensor, float32[4] tensor)", 1, true), message)
  is_true(not message:find("Exception raised from", 1, true), message)
  is_true(not message:find("frame #", 1, true), message)
end)

test("an operator's own name is said once", function()
  local ssd = gamut.ops.gamut.ssd
  local h, g = gamut.zeros{1, 2, 1, 4}, gamut.zeros{1, 2, 1}
  raises(function() ssd(h, g, gamut.zeros{3}, h, h) end, "errors_test.lua:%d+: ssd: A must be %[1%], one for each head")
end)

test("dispatcher errors are one sentence", function()
  local message = raises(function() x:to("meta"):item() end)
  is_true(#message < 300, message)
  message = raises(function() return gamut.mkldnn_convolution(x:to_sparse(), x, nil, {0}, {1}, {1}, 1) end)
  is_true(#message < 500, message)
end)

test("no overload fits", function()
  local message = raises(function() x:softmax("last") end, "no form of `softmax` takes these arguments")
  is_true(message:find('passed: softmax(float32[2, 3] tensor, "last")', 1, true), message)
  is_true(message:find("softmax(Tensor self, integer dim, dtype? dtype = nil)", 1, true), message)
end)

test("misspelt argument", function()
  raises(function() x:softmax{dmi = 0} end, "`softmax` has no argument `dmi`; did you mean `dim`%?")
  raises(function() x:sum{dim = 0, keep_dim = true} end, "no argument `keep_dim`; did you mean `keepdim`%?")
end)

test("a dtype that there is not", function()
  raises(function() gamut.zeros({2}, {dtype = "float23"}) end, "there is no dtype `float23`; did you mean `float32`%?")
end)

test("positions and names do not mix in one table", function()
  raises(function() x:sum{dim = 0, 1} end, "must not hold positional ones")
end)

test("an argument given twice", function()
  raises(function() x:softmax(0, {dim = 1}) end, "no form of `softmax`")
end)

test("wrong self", function()
  raises(function() x.item(3) end, "expected a tensor, got integer 3")
  raises(function() x.item() end, "expected a tensor, got nothing")
end)

test("errors are strings that pcall returns, at the caller's line", function()
  local line = debug.getinfo(1, "l").currentline + 1
  local ok, message = pcall(function() return x:matmul(y) end)
  is_true(not ok and type(message) == "string")
  is_true(message:find("errors_test.lua:" .. line .. ":", 1, true), message)
end)

test("an error deep in a callback of C++ arrives", function()
  local function deep(n)
    if n == 0 then return x + y end
    return (gamut.scope(gamut.no_grad, deep, n - 1))
  end
  raises(function() deep(20) end, "size of tensor a")
end)

test("strict globals", function()
  gamut.strict()
  raises(function() return undefined_name end, "there is no global `undefined_name`")
  raises(function() return prnt("x") end, "did you mean `print`%?")
  getmetatable(_G).__index = nil
end)

testing.finish()
