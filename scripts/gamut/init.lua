-- The gamut library: tensors, operators and, loaded on first use, everything else.
--
-- `gamut.<operator>` is any operator of LibTorch, looked up by name when it is first used; other
-- namespaces are under gamut.ops. Dimensions and indices count from 0, as in PyTorch.

local tensor = require "gamut.native.tensor"

local gamut = {}
package.loaded["gamut"] = gamut -- submodules require it while it is still being made

for _, name in ipairs{"tensor", "autograd", "random", "runtime"} do
  for key, value in pairs(require("gamut.native." .. name)) do gamut[key] = value end
end

-- Operators by name are for the library itself: scripts write gamut.<operator>.
for _, name in ipairs{"operator", "operator_names", "signatures", "signatures_of", "nearest", "operator_stubs"} do
  gamut[name] = nil
end

-- Fields that are modules of their own.
local submodules = {
  nn = "gamut.nn", data = "gamut.data", optim = "gamut.optim", train = "gamut.train",
  eval = "gamut.eval", report = "gamut.report", study = "gamut.study", testing = "gamut.testing",
  json = "gamut.native.json", safetensors = "gamut.native.safetensors",
  torch_file = "gamut.torch_file", zlib = "gamut.native.zlib",
  plugins = "gamut.native.plugins", statistics = "gamut.statistics",
  cuda = "gamut.cuda",
}
gamut.submodules = submodules -- for completion

-- A tokenizer plugin by name: gamut.tokenizer "bytes".
function gamut.tokenizer(name, options) return gamut.plugins.tokenizer(name, options) end

-- Looks an operator up once and keeps the function.
local function operator(into, space, name)
  local fn = tensor.operator(space, name)
  if fn then rawset(into, name, fn) end
  return fn
end

local function known_names()
  local names = tensor.operator_names("aten")
  for key in next, gamut do names[#names + 1] = key end
  for key in next, submodules do
    if rawget(gamut, key) == nil then names[#names + 1] = key end
  end
  return names
end

local function did_you_mean(names, wanted)
  local near = tensor.nearest(names, wanted)
  if #near == 0 then return "" end
  return ("; did you mean `%s`?"):format(table.concat(near, "`, `"))
end

setmetatable(gamut, {
  __index = function(self, name)
    local module = submodules[name]
    if module then
      local loaded = require(module)
      rawset(self, name, loaded)
      return loaded
    end
    local fn = type(name) == "string" and operator(self, "aten", name)
    if fn then return fn end
    error(("gamut has no operator or module `%s`%s")
      :format(tostring(name), did_you_mean(known_names(), tostring(name))), 2)
  end,
})

-- gamut.ops.<namespace>.<operator>, for what plugins register with TORCH_LIBRARY.
gamut.ops = setmetatable({}, {
  __index = function(ops, space)
    local members = setmetatable({}, {
      __index = function(self, name)
        local fn = operator(self, space, name)
        if fn then return fn end
        local names = tensor.operator_names(space)
        if #names == 0 then
          error(("no operators are registered under gamut.ops.%s"):format(space), 2)
        end
        error(("gamut.ops.%s has no operator `%s`%s"):format(space, name, did_you_mean(names, name)), 2)
      end,
    })
    rawset(ops, space, members)
    return members
  end,
})

local function global_names()
  local names = {}
  for key in next, _G do
    if type(key) == "string" then names[#names + 1] = key end
  end
  return names
end

-- From here on reading a global that was never set is an error, with the nearest name. Call it at
-- the top of a script: the commonest slip in Lua is a misspelt name that reads as nil.
function gamut.strict()
  local meta = getmetatable(_G) or {}
  meta.__index = function(_, name)
    error(("there is no global `%s`%s"):format(tostring(name), did_you_mean(global_names(), tostring(name))), 2)
  end
  setmetatable(_G, meta)
end

return gamut
