-- Files of torch.save and zlib streams: the bytes that Python writes, what comes back, and refusals in words.
local gamut = require "gamut"
local testing = require "gamut.testing"
local system = require "gamut.native.system"
local test, equal, is_true = testing.test, testing.equal, testing.is_true

local torch_file, zlib, null = gamut.torch_file, gamut.zlib, gamut.json.null
local dict, ordered, tuple, text = torch_file.dict, torch_file.ordered_dict, torch_file.tuple, torch_file.text

local files = os.getenv "GAMUT_SOURCE" .. "/tests/data/torch_files/"
local folder = os.tmpname()
os.remove(folder)
system.make_directories(folder)

-- Fails with that text in its message.
local function raises(words, fn) testing.raises(fn, (words:gsub("%p", "%%%0"))) end

-- 0 to count - 1, each with `value`, or itself.
local function numbers(count, value)
  local list = {}
  for i = 1, count do list[i] = value and { i - 1, value } or i - 1 end
  return list
end

local function tensors_of_variants()
  local saved, tensors = torch_file.load(files .. "variants.pt").state_dict, {}
  for name, tensor in pairs(saved) do tensors[name] = tensor end
  return function(names)
    local list = {}
    for i, name in ipairs(names) do list[i] = tensors[name] end
    return torch_file.list(list)
  end
end

local function tiny_state_dict()
  local versions = {}
  for i, path in ipairs { "", "inner" } do versions[i] = { path, dict { { "version", 1 } } } end
  return ordered({ { "scale", gamut.ones { 2 } }, { "inner.weight", gamut.full({ 1, 2 }, 0.5) } },
    dict { { "_metadata", ordered(versions) } })
end

-- The twin of `kinds` in make_files.py.
local function kinds()
  local pick, twice = tensors_of_variants(), { 1 }
  local ordered_dicts = {}
  for i, count in ipairs { 0, 1, 2, 1000, 1001, 1002 } do ordered_dicts[i] = ordered(numbers(count, null)) end
  local grad = gamut.ones { 1 }
  grad.requires_grad = true
  return dict {
    { "integers", { 0, 255, 256, 65535, 65536, (1 << 31) - 1, 1 << 31, -1, -(1 << 31), -(1 << 31) - 1, (1 << 39) - 1,
      1 << 39, math.maxinteger, math.mininteger } },
    { "numbers", { 0.0, -0.0, 1.5, 1e300, math.huge } },
    { "plain", { null, true, false, "", "x", "tür 日本" } },
    { "tuples", { tuple {}, tuple { 1 }, tuple { 1, 2 }, tuple { 1, 2, 3 }, tuple { 1, 2, 3, 4 } } },
    { "lists", { torch_file.list {}, { 7 }, numbers(1000), numbers(1001) } },
    { "dicts", { {}, { one = 1 }, dict(numbers(999, null)), dict(numbers(1000, null)), dict(numbers(1001, null)) } },
    { "ordered", ordered_dicts },
    { "keys", dict { { 1, "int" }, { 2, "two" }, { "name", false }, { false, 0 } } },
    { "shared", { twice, twice } },
    { "literals", { "per_row", "per_row", "storage", "cpu", "version" } },
    { "fresh", { text "float32", text "float32", "float32" } },
    { "dtypes", pick { "float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8",
      "bool" } },
    { "views", pick { "first_half", "whole", "every_second", "transposed", "expanded", "empty", "scalar", "whole" } },
    { "four", gamut.zeros { 1, 2, 1, 2 } },
    { "grad", grad },
    { "state_dict", tiny_state_dict() },
  }
end

test("every kind of value is written as Python writes it", function()
  torch_file.save(folder .. "/kinds.pt", kinds())
  is_true(system.read_file(folder .. "/kinds.pt") == system.read_file(files .. "kinds.pt"), "other bytes")
end)

test("the texts of storage keys are objects of their own", function()
  local list = {}
  for i = 0, 11 do list[i + 1] = gamut.full({ 1 }, i + 0.0) end
  torch_file.save(folder .. "/keys.pt", dict { { "0", list }, { "10", 11 } })
  is_true(system.read_file(folder .. "/keys.pt") == system.read_file(files .. "keys.pt"), "other bytes")
end)

test("what Python wrote is read and written again to the same bytes", function()
  for _, name in ipairs { "two_models.pt", "nested.pt", "tensor.pt", "keys.pt" } do
    local bytes = torch_file.save(folder .. "/" .. name, torch_file.load(files .. name))
    local written = system.read_file(folder .. "/" .. name)
    is_true(written == system.read_file(files .. name), name .. " has other bytes")
    equal(bytes, #written)
  end
end)

test("values come back as they were, with their order and what they share", function()
  local value = torch_file.load(files .. "kinds.pt")
  equal(getmetatable(value).keys[1], "integers")
  equal(value.integers[14], math.mininteger)
  equal(1 / value.numbers[2], -math.huge)
  equal(value.plain[1], null)
  equal(value.plain[6], "tür 日本")
  equal(#value.lists[4], 1001)
  equal(value.keys[1], "int")
  equal(value.keys[false], 0)
  is_true(rawequal(value.shared[1], value.shared[2]), "a shared list is two")
  equal(value.dtypes[3].dtype, "bfloat16")
  equal(value.dtypes[8]:tolist(), { -128, 127 })
  equal(value.views[1]:data_ptr(), value.views[2]:data_ptr())
  equal(value.views[4]:stride(), { 1, 6 })
  equal(getmetatable(value.state_dict).attributes._metadata.inner.version, 1)
  equal(getmetatable(value.tuples[5]).kind, "tuple")
  local variants = torch_file.load(files .. "variants.pt")
  equal({ variants.size[1], variants.size[2], #variants.size }, { 2, 3, 2 }) -- a torch.Size
  equal(variants.by_number[1], "one")
  equal(variants.optimizer.state[0].step:item(), 1.0)
end)

test("bytes in memory are what torch.save writes to a buffer, and outlive their text", function()
  local bytes = torch_file.encode { weight = gamut.arange(6):to "int8" }
  is_true(bytes:find("archive/data.pkl", 1, true), "the folder in the archive has another name")
  local value = torch_file.decode(bytes, "the artifact")
  bytes = nil -- luacheck: ignore
  collectgarbage()
  equal(value.weight, gamut.arange(6):to "int8")
  raises("the artifact is truncated", function() torch_file.decode("PK\5\6 and no more", "the artifact") end)
end)

test("a location is what torch.load will be asked for", function()
  local here = torch_file.encode { weight = gamut.ones { 2 } }
  local there = torch_file.encode({ weight = gamut.ones { 2 } }, { location = "cuda:0" })
  is_true(here:find("cpu", 1, true) and not here:find("cuda", 1, true), "cpu is not named")
  is_true(there:find("cuda:0", 1, true), "cuda:0 is not named")
  equal(torch_file.decode(there).weight, gamut.ones { 2 })
end)

test("changed dictionaries are written with their new keys last", function()
  local value = dict { { "b", 1 }, { "a", 2 } }
  value.c, value.b, value.d = 3, nil, 4
  local again = torch_file.decode(torch_file.encode(value))
  equal(getmetatable(again).keys, { "a", "c", "d" })
end)

test("what a file cannot hold is refused with its place", function()
  local cyclic = { 1 }
  cyclic[2] = { inner = cyclic }
  local deep = {}
  for _ = 1, 1001 do deep = { deep } end
  local flat = gamut.arange(4):to "float32"
  local cases = {
    { { list = { 1, print } }, "value.list[2] is a function" }, { cyclic, "value[2].inner contains itself" },
    { { "x", name = 1 }, "value is a list with other keys than 1 to 1" }, { { [2.5] = 1 }, "value has the key 2.5" },
    { { text = "\xff" }, "value.text is a string that is not UTF-8" }, { deep, "nested deeper than 1000" },
    { setmetatable({}, { kind = "set" }), "a metatable that is not one of gamut.torch_file's" },
    { { c = gamut.ones({ 1 }):to "complex64" }, "torch.save has no storage of ComplexFloat" },
    { { flat, flat:view "int32" }, "two tensors to save see one storage as Float and as Int" },
    { { sparse = gamut.eye(2):to_sparse() }, "is not dense" },
  }
  for _, case in ipairs(cases) do
    raises(case[2], function() torch_file.save(folder .. "/refused.pt", case[1]) end)
  end
  is_true(not system.exists(folder .. "/refused.pt"), "a refused value was written")
  raises("twice", function() dict { { "a", 1 }, { "a", 2 } } end)
  raises("no option `place`", function() torch_file.encode({}, { place = "cpu" }) end)
  raises("No such file", function() torch_file.save(folder .. "/none/x.pt", {}) end)
end)

test("files that would harm are refused", function()
  raises("nested deeper than 1000 levels", function() torch_file.load(files .. "deep.pt") end)
  raises("a tuple for a key", function() torch_file.load(files .. "tuple_key.pt") end)
  raises("whole module", function() torch_file.load(files .. "module.pt") end)
  local cycle = torch_file.load(files .. "cycle.pt")
  is_true(rawequal(cycle[2], cycle), "a list in itself is another list")
  raises("contains itself", function() torch_file.encode(cycle) end)
  local bytes = system.read_file(files .. "keys.pt")
  for size = 0, #bytes - 1, 7 do raises("", function() torch_file.decode(bytes:sub(1, size)) end) end
end)

test("zlib gives back what it was given, and never more than the limit", function()
  local words = {}
  for i = 1, 20000 do words[i] = tostring(i * 7919 % 1009) end
  local bytes = table.concat(words, " ")
  for _, level in ipairs { -1, 0, 1, 9 } do
    equal(zlib.decompress(zlib.compress(bytes, level), #bytes), bytes)
  end
  is_true(#zlib.compress(bytes, 9) <= #zlib.compress(bytes, 1), "level 9 is larger than level 1")
  equal(zlib.decompress(zlib.compress "", 0), "")
  local bomb = zlib.compress(("\0"):rep(50 << 20), 9)
  is_true(#bomb < 60000, "no bomb")
  raises("inflates to more than 1000000 bytes", function() zlib.decompress(bomb, 1000000, "the artifact") end)
  raises("from 0 to 9", function() zlib.compress("x", 10) end)
end)

test("damaged zlib streams are refused", function()
  local whole = zlib.compress(("gated delta net "):rep(100), 9)
  for size = 0, #whole - 1 do
    raises("is truncated", function() zlib.decompress(whole:sub(1, size), 10000, "the artifact") end)
  end
  raises("2 bytes behind the end", function() zlib.decompress(whole .. "xx", 10000) end)
  raises("no zlib stream or damaged", function() zlib.decompress("PK\3\4 a zip", 10000) end)
  local last = whole:byte(-1)
  raises("incorrect data check", function() zlib.decompress(whole:sub(1, -2) .. string.char(last ~ 1), 10000) end)
end)

os.execute(("rm -r '%s'"):format(folder))
testing.finish()
