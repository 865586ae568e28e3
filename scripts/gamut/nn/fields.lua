-- Where a module keeps what was set on it: values by name, and for parameters, buffers and
-- submodules the order and the kind. Kept apart from the module's methods, so that a name such as
-- `parameters` stays a method, and so that every assignment passes through `fields.set`.
local gamut = require "gamut"
local native = require "gamut.native.nn"

local fields = {}

---@class gamut.nn.Fields
---@field values table<string|integer, any> everything set on the module
---@field order (string|integer)[] names of the registered ones, in the order they were first set
---@field kinds table<string|integer, "parameter"|"buffer"|"module">
---@field transient table<string|integer, boolean> buffers that a checkpoint leaves out

-- The raw key of a module's fields; a table, so that no field of a user can collide with it.
local KEY = setmetatable({}, { __name = "gamut.nn.fields" })
fields.KEY = KEY

-- Which tensors were made by nn.parameter and nn.buffer, and the buffers not to be saved.
local marks = setmetatable({}, { __mode = "k" })
local transient = setmetatable({}, { __mode = "k" })

---Marks a tensor, so that a module that it is assigned to registers it.
---@param tensor gamut.Tensor
---@param kind "parameter"|"buffer"
---@param saved? boolean
function fields.mark(tensor, kind, saved)
  gamut.keep(tensor) -- a module outlives the scope that it is built in
  marks[tensor] = kind
  transient[tensor] = saved == false or nil
  return tensor
end

---@param value any
---@return boolean
function fields.is_module(value)
  return type(value) == "table" and rawget(value, KEY) ~= nil
end

---@param values_metatable table gives the methods of the class
---@return gamut.nn.Fields
function fields.new(values_metatable)
  return { values = setmetatable({}, values_metatable), order = {}, kinds = {}, transient = {} }
end

local function kind_of(value)
  if fields.is_module(value) then return "module" end
  return type(value) == "userdata" and marks[value] or nil
end

local function unregister(self, name)
  self.kinds[name], self.transient[name] = nil, nil
  for position, registered in ipairs(self.order) do
    if registered == name then return table.remove(self.order, position) end
  end
end

-- A plain table of modules would train nothing, silently.
local function holds_modules(value)
  if type(value) ~= "table" or getmetatable(value) ~= nil then return false end
  for _, item in pairs(value) do
    if fields.is_module(item) then return true end
  end
  return false
end

-- Why `value` may not be set as a plain field; nil when it may.
local function objection(self, class_name, name, value)
  local kind = self.kinds[name]
  if kind and kind ~= "module" and native.is_tensor(value) then
    return ("field `%s` of %s is a %s; assign nn.%s(tensor), or copy new values into it with :copy_()")
      :format(name, class_name, kind, kind)
  end
  if holds_modules(value) then
    return ("field `%s` of %s is a plain table that holds modules, so their parameters would not be "
      .. "found; write nn.list{...} instead of {...}"):format(name, class_name)
  end
end

local function register(self, class, name, value, kind)
  if class[name] ~= nil then
    error(("a %s of %s cannot be called `%s`: that is one of the module's methods")
      :format(kind, class.class_name, name), 4)
  end
  if not self.kinds[name] then self.order[#self.order + 1] = name end
  self.kinds[name] = kind
  self.transient[name] = transient[value]
end

---Sets a field: registers parameters, buffers and modules, in the order of their first setting.
---Called by __newindex only; the error levels count on it.
---@param self gamut.nn.Fields
---@param class gamut.nn.Class
---@param name string|integer
---@param value any
function fields.set(self, class, name, value)
  local kind = kind_of(value)
  if kind then
    register(self, class, name, value, kind)
  else
    local message = objection(self, class.class_name, name, value)
    if message then error(message, 3) end
    if self.kinds[name] then unregister(self, name) end
  end
  self.values[name] = value
end

return fields
