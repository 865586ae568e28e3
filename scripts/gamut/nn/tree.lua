-- What every module can do with the tree below it: list its tensors, convert them, switch between
-- training and evaluation, and walk its modules.
local fields = require "gamut.nn.fields"
local native = require "gamut.native.nn"
local Module = require("gamut.nn.module").Module

local KEY = fields.KEY

---@class gamut.nn.NamedTensor
---@field name string path in the tree, such as `blocks.3.mixer.q_proj.weight`
---@field tensor gamut.Tensor
---@field aliases? string[] further names of a tied tensor

-- Calls visit(name, tensor, kind, transient) for every tensor of the tree, depth first.
local function each_tensor(module, prefix, visit)
  local own = module[KEY]
  for _, name in ipairs(own.order) do
    local path = prefix .. module:child_name(name)
    if own.kinds[name] == "module" then
      each_tensor(own.values[name], path .. ".", visit)
    else
      visit(path, own.values[name], own.kinds[name], own.transient[name])
    end
  end
end

-- The tensors that `wanted(kind, transient)` accepts, in order, tied ones once under their first name.
local function collect(module, wanted)
  local list, entries = {}, {}
  each_tensor(module, "", function(name, tensor, kind, transient)
    if not wanted(kind, transient) then return end
    local identity = native.identity(tensor)
    local known = entries[identity]
    if known then
      known.aliases = known.aliases or {}
      table.insert(known.aliases, name)
    else
      -- Positional too, so that `for _, p in ipairs(list) do local name, t = table.unpack(p)` works.
      local entry = { name, tensor, name = name, tensor = tensor }
      entries[identity] = entry
      list[#list + 1] = entry
    end
  end)
  return list
end

---Parameters with their paths, in the order of registration; tied ones once.
---@return gamut.nn.NamedTensor[]
function Module:named_parameters()
  return collect(self, function(kind) return kind == "parameter" end)
end

---@return gamut.nn.NamedTensor[]
function Module:named_buffers()
  return collect(self, function(kind) return kind == "buffer" end)
end

---Everything that a checkpoint holds: parameters and saved buffers, in the order of registration.
---@return gamut.nn.NamedTensor[]
function Module:state_dict()
  return collect(self, function(_, transient) return not transient end)
end

---@return gamut.Tensor[]
function Module:parameters()
  local list = self:named_parameters()
  for position, entry in ipairs(list) do list[position] = entry.tensor end
  return list
end

---Number of trained values, tied ones once.
---@return integer
function Module:parameter_count()
  local total = 0
  for _, tensor in ipairs(self:parameters()) do total = total + tensor:numel() end
  return total
end

---The submodules in order, {name, module} each.
---@return {name: string, module: gamut.nn.Module}[]
function Module:children()
  local own, list = self[KEY], {}
  for _, name in ipairs(own.order) do
    if own.kinds[name] == "module" then
      list[#list + 1] = { name = self:child_name(name), module = own.values[name] }
    end
  end
  return list
end

---Calls fn(module, path) on every module of the tree, children before their parents, as PyTorch does.
---@param fn fun(module: gamut.nn.Module, path: string)
function Module:apply(fn, path)
  path = path or ""
  for _, child in ipairs(self:children()) do
    child.module:apply(fn, path == "" and child.name or path .. "." .. child.name)
  end
  fn(self, path)
  return self
end

---Switches the whole tree to training (the default) or, with false, to evaluation.
---@param training? boolean
function Module:train(training)
  if training == nil then training = true end
  return self:apply(function(module) module.training = training end)
end

function Module:eval() return self:train(false) end

function Module:zero_grad()
  for _, tensor in ipairs(self:parameters()) do tensor.grad = nil end
  return self
end

local function check_target(target)
  if type(target) ~= "table" then
    error('module:to{...} takes a table, such as {device = "cuda", dtype = "bfloat16"}', 3)
  end
  for key in pairs(target) do
    if key ~= "device" and key ~= "dtype" and key ~= "where" then
      error(("module:to knows device, dtype and where, not `%s`"):format(tostring(key)), 3)
    end
  end
  if target.where ~= nil and type(target.where) ~= "function" then
    error(("module:to: `where` is a function(name, tensor), got a %s"):format(type(target.where)), 3)
  end
end

local function converted(tensor, target)
  local dtype = native.is_floating_point(tensor) and target.dtype or nil
  if not dtype and not target.device then return tensor end
  return tensor:to { device = target.device, dtype = dtype }
end

---Converts every parameter and buffer in place; a dtype applies to floating-point tensors only.
---Handles stay the same tensors, so optimizers and plugins that hold them keep working.
---@param target {device?: string, dtype?: string, where?: fun(name: string, tensor: gamut.Tensor): boolean}
---  where: converts those for which it is true
function Module:to(target)
  check_target(target)
  for _, entry in ipairs(collect(self, function() return true end)) do
    local tensor = entry.tensor
    if not target.where or target.where(entry.name, tensor) then
      local grad = tensor.grad
      native.set_data(tensor, converted(tensor:detach(), target))
      if grad then tensor.grad = converted(grad, target) end
    end
  end
  return self
end
