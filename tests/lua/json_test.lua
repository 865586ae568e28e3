-- gamut.json: values come back exactly, and what JSON cannot hold is refused with its path.
local gamut = require "gamut"
local testing = require "gamut.testing"
local json = gamut.json

local function round_trip(value, options) return json.decode(json.encode(value, options), options) end

testing.test("numbers come back bit for bit and in their type", function()
  local numbers = {
    0, -1, math.maxinteger, math.mininteger, 0.1, 1.0, -0.0, 1e22, 5e-324, 1.7976931348623157e308, 2 ^ 53, 1 / 3,
  }
  for _, number in ipairs(numbers) do
    local back = round_trip{n = number}.n
    testing.equal(string.pack("n", back), string.pack("n", number))
    testing.equal(math.type(back), math.type(number))
  end
  testing.equal(json.encode(1), "1")
  testing.equal(json.encode(1.0), "1.0")
end)

testing.test("integers beyond 64 bits become floats", function()
  testing.equal(json.decode("9223372036854775807"), math.maxinteger)
  testing.equal(json.decode("9223372036854775808"), 2.0 ^ 63)
  testing.equal(json.decode("1e2"), 100.0)
end)

testing.test("tables, nested and mixed with strings", function()
  local value = {name = "größe \"x\"\n", list = {1, 2.5, {a = true}}, deep = {{{}}}, ["1"] = "a name", off = false}
  testing.equal(round_trip(value), value)
  testing.equal(json.encode{b = 1, a = {1, 2}}, '{"a":[1,2],"b":1}')
  testing.equal(json.encode({a = {}}, {indent = 2}), '{\n  "a": {}\n}')
end)

testing.test("an empty table is an object, unless it is marked", function()
  testing.equal(json.encode{}, "{}")
  testing.equal(json.encode(json.array{}), "[]")
  testing.equal(json.encode{a = json.array()}, '{"a":[]}')
  testing.equal(json.encode(json.decode('{"a":[],"b":{}}')), '{"a":[],"b":{}}')
end)

testing.test("null is a value", function()
  testing.equal(json.decode("[null]")[1], json.null)
  testing.equal(json.encode{json.null, 2}, "[null,2]")
end)

testing.test("NaN and infinities follow the policy", function()
  local odd = {nan = 0 / 0, up = math.huge, down = -math.huge}
  testing.raises(function() json.encode{best = {loss = math.huge}} end, "value%.best%.loss is inf")
  testing.equal(json.encode({math.huge}, {nonfinite = "null"}), "[null]")
  local back = round_trip(odd, {nonfinite = "tagged"})
  testing.is_true(back.nan ~= back.nan)
  testing.equal({back.up, back.down}, {math.huge, -math.huge})
  testing.raises(function() json.encode({["$number"] = "x"}, {nonfinite = "tagged"}) end, "only key")
end)

testing.test("what JSON cannot hold is named by its path", function()
  local loop = {}
  loop.inner = {1, loop}
  testing.raises(function() json.encode(loop) end, "value%.inner%[2%] contains itself")
  testing.raises(function() json.encode{a = {1, 2, print}} end, "value%.a%[3%] is a function")
  testing.raises(function() json.encode{t = gamut.zeros{2}} end, "value%.t is a .*Tensor")
  testing.raises(function() json.encode{1, 2, x = 3} end, "value is a list and has the key x")
  testing.raises(function() json.encode{x = {[3] = 1}} end, "value%.x is a table with names and has the key 3")
  testing.raises(function() json.encode{x = {1, nil, 3}} end, "value%.x")
  testing.raises(function() json.encode{[1.5] = 1} end, "key 1%.5")
  testing.raises(function() json.encode{s = "\xff"} end, "value%.s is a string that is not valid UTF%-8")
  local deep = {}
  for _ = 1, 200 do deep = {deep} end
  testing.raises(function() json.encode(deep) end, "nested deeper than 100")
end)

testing.test("the same table twice is no cycle", function()
  local shared = {1}
  testing.equal(json.encode{shared, shared}, "[[1],[1]]")
end)

testing.test("bad text is refused", function()
  testing.raises(function() json.decode '{"a":1,"a":2}' end, "the key `a` twice")
  testing.raises(function() json.decode "{} x" end, "no valid JSON")
  testing.raises(function() json.decode "{}\0" end, "zero byte")
  testing.raises(function() json.decode(("["):rep(100000)) end, "nested deeper")
  testing.raises(function() json.decode "NaN" end, "no valid JSON")
end)

testing.test("options are checked", function()
  testing.raises(function() json.encode({}, {indnt = 2}) end, "no option `indnt`; did you mean `indent`")
  testing.raises(function() json.encode({}, {indent = "x"}) end, "`indent` must be a whole number")
  testing.raises(function() json.encode({}, {nonfinite = "maybe"}) end, "nonfinite must be")
end)

testing.finish()
