-- Sequence mixers by name, from plugins and from Lua, under one contract.
--
-- A mixer maps x [batch, time, d_model] to the same shape, causally. Its second argument is a context
-- table; everything in it is optional.
local gamut = require "gamut"
local fields = require "gamut.nn.fields"
local module = require "gamut.nn.module"
local native = require "gamut.native.nn"
local plugins = require "gamut.native.plugins"
local recurrent = require "gamut.nn.recurrent"

---@class gamut.nn.Context
---@field positions? gamut.Tensor int64 [time], position of each step; default: 0, 1, 2, ... in each document
---@field cu_seqlens? gamut.Tensor int64 [documents + 1], on the CPU: where packed documents start in the
---  flattened [batch * time] steps, from 0 to batch * time; every row start is among them
---@field training? boolean default: whether the module is in training mode
---@field memory? gamut.Tensor [batch, steps, d_memory], such as an encoder's output, for mixers that read one (an
---  attention with cross = true); with cu_seqlens an entry for each document. A state keeps it from its first call on
---@field memory_lengths? gamut.Tensor int64 [batch], on the CPU: how many steps of each memory count; default: all
---@field state? gamut.State continued from and updated, so that prefill and one-token steps are one call

---@class gamut.State : {[string]: gamut.Tensor}
---@field position integer how many tokens it has read
---@field tensors gamut.nn.NamedTensor[]

---@class gamut.nn.Mixer : gamut.nn.Module
---@field name string
---@field options table<string, any> all of them, with defaults

---@class gamut.nn.OptionDeclaration
---@field [1] string name
---@field [2] "boolean"|"integer"|"number"|"string"|"integers"|"numbers"|"table"
---@field doc string
---@field default? any
---@field optional? boolean
---@field min? number
---@field max? number
---@field above? number as min, but the bound itself is refused
---@field below? number
---@field choices? string[]

local mixer = {}

-- A mixer of a shared library. Its tensors are registered under the names that the plugin gave them;
-- `mixer["q_proj.weight"]` is one.
---@class gamut.nn.PluginMixer : gamut.nn.Mixer
local PluginMixer = module.class "PluginMixer"

function PluginMixer:init(name, options)
  self.name = name
  self.native = plugins.mixer(name, options)
  self.options = self.native:options()
  for _, entry in ipairs(self.native:tensors()) do
    local is_parameter = entry.kind == "parameter"
    self[entry.name] = fields.mark(entry.tensor, is_parameter and "parameter" or "buffer")
  end
end

---@param x gamut.Tensor [batch, time, d_model]
---@param context? gamut.nn.Context
---@return gamut.Tensor [batch, time, d_model]
function PluginMixer:forward(x, context) return self.native:forward(x, context, self.training) end

---An empty state for that many rows.
---@param batch integer
---@return gamut.State
function PluginMixer:new_state(batch) return self.native:new_state(batch) end

---The mixer's own tensors from those that another project's checkpoint has for it, named relative to
---the mixer; nil when they are in its own names or it knows none but those. `module:load` asks this.
---@param tensors gamut.nn.NamedTensor[]
---@return gamut.nn.NamedTensor[]?
function PluginMixer:import_weights(tensors) return self.native:import_weights(tensors) end

function PluginMixer:label() return self.name end

-- Classes of mixers written in Lua, by name.
local registered = {}
-- A parameter of each of them, whose dtype x must have.
local first_parameter = setmetatable({}, { __mode = "k" })

local function check_input(self, x)
  local d_model, parameter = self.options.d_model, first_parameter[self]
  if not native.is_tensor(x) then error(("x must be a tensor, not a %s"):format(type(x)), 0) end
  local shape = x.shape
  if #shape ~= 3 or shape[2] < 1 or (d_model and shape[3] ~= d_model) then
    error(("x must be [batch, time >= 1, %s], not [%s]")
      :format(d_model or "d_model", table.concat(shape, ", ")), 0)
  end
  if parameter and x.dtype ~= parameter.dtype and not gamut.is_autocast_enabled() then
    error(("x is %s and the mixer's parameters are %s; convert one of them or use autocast")
      :format(x.dtype, parameter.dtype), 0)
  end
end

local function check_state(state, batch)
  for _, entry in ipairs(state and state.tensors or {}) do
    local rows = entry.tensor.shape[1]
    if rows ~= batch then
      error(("the state is for %s rows and x has %d; call new_state(%d)")
        :format(tostring(rows), batch, batch), 0)
    end
  end
end

local function checked_project(project)
  return function(self, x, context)
    check_input(self, x)
    check_state(context.state, x.shape[1])
    return project(self, x, context)
  end
end

-- The context that a Lua mixer gets, which notes whether cu_seqlens was read.
local function watched(context, training)
  local seen = {}
  local result = setmetatable({}, {
    __index = function(_, name)
      seen[name] = true
      if name == "training" and (not context or context.training == nil) then return training end
      return context and context[name]
    end,
  })
  return result, seen
end

-- What would otherwise go wrong without a word: documents that leak, a state that stands still.
local function check_use(context, seen, before, time)
  if context.cu_seqlens and not seen.cu_seqlens then
    error("context.cu_seqlens was given, but this mixer's forward did not read it, so documents would "
      .. "leak into each other; see nn.documents", 0)
  end
  if context.state and context.state.position ~= before + time then
    error(("forward must add the %d steps it read to context.state.position, which is %d after %d")
      :format(time, context.state.position, before), 0)
  end
end

-- The forward of a Lua mixer with what every mixer does: check x, the state, and how they were used.
local function complete(forward)
  return function(self, x, context)
    check_input(self, x)
    local state = context and context.state
    check_state(state, x.shape[1])
    local before = state and state.position
    local given, seen = watched(context, self.training)
    local y = forward(self, x, given)
    if context then check_use(context, seen, before, x.shape[2]) end
    return y
  end
end

---A mixer by name, with options checked against its table.
---@param name string such as "attention" or "gdn"
---@param options table<string, any>
---@return gamut.nn.Mixer
function mixer.new(name, options)
  local class = registered[name]
  if class then return class(plugins.check_options("mixer", name, options)) end
  return PluginMixer(name, options)
end

---Whether the mixer declares an option of that name.
---@param name string
---@param option string
function mixer.declares(name, option)
  for _, spec in ipairs(plugins.options("mixer", name)) do
    if spec.name == option then return true end
  end
  return false
end

---The packed documents of a call, in order: rows and steps count from 0. Nil when cu_seqlens is not
---given, and each row is one document.
---@param context gamut.nn.Context
---@param x gamut.Tensor [batch, time, ...]
---@return {row: integer, first: integer, length: integer, starts_row: boolean, ends_row: boolean}[]?
function mixer.documents(context, x)
  return plugins.documents(context.cu_seqlens, x.shape[1], x.shape[2])
end

---A state for a mixer written in Lua: named tensors, batch first, and a position, 0 at the start.
---@param tensors {[1]: string, [2]: gamut.Tensor}[]
---@return gamut.State
function mixer.state(tensors) return plugins.state(tensors) end

---Registers a mixer written in Lua under the contract of the C++ ones. From then on nn.mixer(name)
---makes one, plugins that wrap mixers can ask for it, and `gamut check FILE.lua` tests it.
---
---    local Average = nn.module "average"
---    function Average:init(options) ... end          -- options: checked, with defaults
---    function Average:forward(x, context) ... end    -- context.training, .state, .cu_seqlens, .positions
---    function Average:new_state(batch) return nn.state { { "sum", gamut.zeros { batch, self.d } } } end
---    nn.register_mixer("average", Average, {
---      { "d_model", "integer", min = 1, doc = "width of the input" },
---      { "rate", "number", default = 0.5, min = 0, max = 1, doc = "how fast it forgets" },
---    })
---
---Types are boolean, integer, number, string (with `choices`), integers, numbers and table. An option
---without default is required unless `optional = true`.
---
---A class that opens its recurrence has project, scan, read and finish (see gamut.nn.recurrent) in place
---of forward, which is then made of them, and may be wrapped by memory_cache.
---@param name string
---@param class gamut.nn.Class
---@param options gamut.nn.OptionDeclaration[]
function mixer.register(name, class, options)
  local forward = class.untracked_forward or recurrent.complete(name, class)
  if forward == nil or class.new_state == nil then
    error(("mixer `%s` needs a forward(x, context) and a new_state(batch)"):format(name), 2)
  end
  local Registered = module.class(class.class_name, class)
  Registered.forward = complete(forward)
  if class.project then Registered.project = checked_project(class.project) end
  function Registered:init(checked)
    self.name, self.options = name, checked
    class.init(self, checked)
    first_parameter[self] = self:parameters()[1]
  end
  function Registered:label() return self.name end
  plugins.register_mixer(name, options, Registered)
  registered[name] = Registered
end

return mixer
