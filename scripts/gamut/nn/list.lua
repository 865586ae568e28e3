-- A list of modules. In Lua it is a sequence like any other (`list[1]`, `#list`, ipairs); in names
-- its items count from 0, as in PyTorch's checkpoints: `blocks[1]` holds `blocks.0.norm.weight`.
local fields = require "gamut.nn.fields"
local module = require "gamut.nn.module"

---@class gamut.nn.List : gamut.nn.Module
---@overload fun(items?: gamut.nn.Module[]): gamut.nn.List
local List = module.class "list"

---@param items? gamut.nn.Module[]
function List:init(items)
  for _, item in ipairs(items or {}) do self:append(item) end
end

---Adds a module at the end.
---@param item gamut.nn.Module
function List:append(item)
  if not fields.is_module(item) then
    error(("nn.list holds modules, not a %s"):format(type(item)), 0)
  end
  self[#self + 1] = item
  return self
end

function List:length() return #self[fields.KEY].order end

function List:child_name(name) return tostring(name - 1) end -- luacheck: ignore 212

return List
