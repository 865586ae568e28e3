-- Modules: classes made by nn.module, whose instances register the parameters, buffers and
-- submodules that are set on them, in the order they are set.
local call = require "gamut.nn.call"
local fields = require "gamut.nn.fields"
local native = require "gamut.native.nn"

local KEY = fields.KEY

---@class gamut.nn.Module
---@field training boolean
---@operator call: any
local Module = { class_name = "Module" }

---@class gamut.nn.Class : gamut.nn.Module
---@field class_name string

---Called by the class with its arguments; a subclass replaces it.
function Module:init() end -- luacheck: ignore 212

function Module:forward() -- luacheck: ignore 212
  error(("module %s has no forward; define function %s:forward(x)"):format(self.class_name, self.class_name), 0)
end

---What stands for this module in messages and listings.
function Module:label() return self.class_name end

---One line about its settings, after the label in `describe`; a subclass replaces it.
---@return string
function Module:summary() return "" end -- luacheck: ignore 212

---How the field `name` is called in paths.
function Module:child_name(name) return tostring(name) end -- luacheck: ignore 212

-- Instances have only the KEY field raw, so every access comes through here.
local function metatable_of(class, methods)
  return {
    __name = "gamut.nn.Module",
    __index = function(self, name) return self[KEY].values[name] end,
    __newindex = function(self, name, value) fields.set(self[KEY], class, name, value) end,
    __call = function(self, ...) return self:forward(...) end,
    __tostring = function(self) return self:describe() end,
    __len = function(self)
      if not class.length then error(class.class_name .. " is no list and has no length", 2) end
      return self:length()
    end,
    __pairs = function(self) return next, self[KEY].values, nil end,
    values_metatable = { __index = methods },
  }
end

local function construct(instance_metatable, ...)
  local own = fields.new(instance_metatable.values_metatable)
  own.values.training = true
  local self = setmetatable({ [KEY] = own }, instance_metatable)
  self:init(...)
  return self
end

local module = { Module = Module }

---Makes a class of modules.
---
---    local Block = nn.module "Block"
---    function Block:init(d) self.norm = nn.RMSNorm(d) end
---    function Block:forward(x) return x + self.norm(x) end
---    local block = Block(512)
---
---@param name string shown by describe and in error messages
---@param base? gamut.nn.Class a class to inherit methods from
---@return gamut.nn.Class
function module.class(name, base)
  if type(name) ~= "string" then
    error(("nn.module needs the name of the class as a string, not a %s"):format(type(name)), 2)
  end
  -- The class itself stays empty, so that every definition of forward, also a later one, is seen.
  local methods = setmetatable({ class_name = name }, { __index = base or Module })
  local instance_metatable
  local class = setmetatable({}, {
    __index = methods,
    __call = function(_, ...) return construct(instance_metatable, ...) end,
    __newindex = function(_, key, value)
      if key == "forward" then
        methods.untracked_forward = value
        value = call.tracked(value)
      end
      methods[key] = value
    end,
    __tostring = function() return "class " .. name end,
  })
  instance_metatable = metatable_of(class, methods)
  return class
end

local function check_tensor(value, caller)
  if not native.is_tensor(value) then
    error(("nn.%s needs a tensor, not a %s"):format(caller, type(value)), 3)
  end
end

---A trainable tensor: assigned to a field of a module, it becomes a parameter of that name.
---Anything but a leaf is detached first, as in PyTorch.
---@param tensor gamut.Tensor
---@return gamut.Tensor
function module.parameter(tensor)
  check_tensor(tensor, "parameter")
  if not native.is_leaf(tensor) then tensor = tensor:detach() end
  tensor.requires_grad = true
  return fields.mark(tensor, "parameter")
end

---A tensor that belongs to a module and moves with it, but is not trained.
---@param tensor gamut.Tensor
---@param options? {saved: boolean} saved = false keeps it out of the state dict
---@return gamut.Tensor
function module.buffer(tensor, options)
  check_tensor(tensor, "buffer")
  return fields.mark(tensor, "buffer", options and options.saved)
end

return module
