-- The operators that are timed and checked, each in one place: how its inputs are drawn, how it is called, what work it
-- is, and at which shapes.
--
-- An operator is a table:
--   name, operator, reference   the last in float64 is its definition; without it there is nothing to check it by
--   inputs(s, draw)             list of {name, tensor, role} for a shape s; roles are in draw.lua
--   call(operator, x, s, dtype) runs it on inputs by name
--   start(operator, x, s, dtype)  instead of `call` where it is timed: a function to be called again and again
--   work(s, size)               {forward =, training =}: the least work (ceilings.lua), `size` bytes an element;
--                               without `training` it has no gradients
--   sizes                       names of a shape's sizes, for its title
--   shapes                      lists of shapes: `device` (those that a GPU is for), `small` (a laptop's), `tiny`
--   parity                      lists of shapes to be checked at: `small`, `full`; `lengths` are of documents
--   dtypes, bounds, gpu_bounds  of parity, where they are not those of all
local gamut = require "gamut"
local maps = require "gamut.maps"
local nearest = require("gamut.native.tensor").nearest

local operators = {}

local FAMILIES = { "delta_rule", "scans", "products", "rows", "codecs", "optimizers" }

---@type table[] in the order of tables
operators.all = {}
for _, family in ipairs(FAMILIES) do
  local list = require("gamut.bench.operators." .. family)
  table.move(list, 1, #list, #operators.all + 1, operators.all)
end

function operators.names()
  local names = {}
  for i, operator in ipairs(operators.all) do names[i] = operator.name end
  return names
end

-- Whether one of the words is in the name; without words all are wanted.
local function is_wanted(name, words)
  for _, word in ipairs(words) do
    if name:find(word, 1, true) then return true end
  end
  return #words == 0
end

---The operators that have one of `wanted` in their names; an error for a word that none has.
---@param wanted string[]
---@return table[]
function operators.find(wanted)
  for _, word in ipairs(wanted) do
    local known = false
    for _, operator in ipairs(operators.all) do known = known or is_wanted(operator.name, { word }) end
    if not known then
      local near = nearest(operators.names(), word)
      local hint = near[1] and ("; did you mean `%s`?"):format(near[1])
        or "; the operators are " .. table.concat(operators.names(), ", ")
      error(("no operator is called `%s`%s"):format(word, hint), 0)
    end
  end
  local found = {}
  for _, operator in ipairs(operators.all) do
    if is_wanted(operator.name, wanted) then found[#found + 1] = operator end
  end
  return found
end

---The shape with the offsets of its documents, which operators take as int64 on the CPU.
---@param shape table
---@return table
function operators.prepared(shape)
  if not shape.lengths then return shape end
  local offsets = { 0 }
  for i, length in ipairs(shape.lengths) do offsets[i + 1] = offsets[i] + length end
  return maps.over(shape, { cu_seqlens = gamut.tensor(offsets, { dtype = "int64" }) })
end

---"(1, 8192, 16, 128)", in the order of `sizes`; a size that is not given is left out.
---@param operator table
---@param shape table
---@return string
function operators.title(operator, shape)
  local words = {}
  for _, name in ipairs(operator.sizes) do
    if shape[name] then words[#words + 1] = tostring(shape[name]) end
  end
  return "(" .. table.concat(words, ", ") .. ")"
end

return operators
