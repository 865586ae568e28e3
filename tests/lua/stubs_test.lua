-- The editor stubs load as Lua, and declare what there is: no more, no less.
local gamut = require "gamut"
local native = require "gamut.native.tensor"
local testing = require "gamut.testing"
local test, is_true = testing.test, testing.is_true

local declared_gamut, declared_tensor = assert(load(native.operator_stubs(), "=operators", "t"))()
local by_hand, tensor_by_hand = assert(loadfile(package.searchpath("gamut.meta", package.path)))()
local x = gamut.zeros{2}

test("every declared operator is there", function()
  local count = 0
  for name, value in pairs(declared_gamut) do
    is_true(type(value) == "function" and type(gamut[name]) == "function", name)
    count = count + 1
  end
  is_true(count > 1000, "declared " .. count)
end)

test("every declared method is there", function()
  for name in pairs(declared_tensor) do is_true(type(x[name]) == "function", name) end
  for name in pairs(tensor_by_hand) do is_true(type(x[name]) == "function", name) end
  for name in pairs(by_hand) do is_true(type(gamut[name]) == "function", name) end
end)

test("every public operator is declared", function()
  for _, name in ipairs(native.operator_names "aten") do
    if name:sub(1, 1) ~= "_" and name ~= "data" and native.operator("aten", name) then
      local only_out = #native.signatures("aten", name) == 0
      is_true(declared_gamut[name] or only_out or name:match "_out$" or name:match "_backward", name)
    end
  end
end)

test("every function and method of the program is declared by hand", function()
  for _, module in ipairs{"autograd", "random", "runtime"} do
    for name, value in pairs(require("gamut.native." .. module)) do
      if type(value) == "function" then is_true(by_hand[name], name) end
    end
  end
  for name, value in pairs(debug.getmetatable(x).members) do
    if type(value) == "function" then is_true(tensor_by_hand[name] or declared_tensor[name], name) end
  end
end)

test("types and defaults are in the text", function()
  local text = native.operator_stubs()
  local softmax = "---@param dim integer\n---@param dtype? dtype default nil\n---@return Tensor\n"
    .. "function gamut.softmax(self, dim, dtype) end"
  is_true(text:find(softmax, 1, true))
  is_true(text:find("---@param named? {alpha?: number}", 1, true))
  is_true(text:find('["repeat"] = function', 1, true))
end)

testing.finish()
