-- Optimizers: `optim.NAME{{params = list of {name, tensor}, option = value}, ..., option = value}` for
-- any optimizer plugin. Options beside the groups are defaults for all of them.
--
--   local optimizer = optim.adamw{{params = model:named_parameters()}, lr = 3e-4, weight_decay = 0.1}
--   optimizer.groups[1].lr = 1e-4      -- checked against the plugin's options
--   optimizer:step()  optimizer:zero_grad()
--   optimizer:load_state(saved)        -- from optimizer:state(), exactly

local plugins = require "gamut.native.plugins"

---@class gamut.optim.Group every option of the plugin is a field
---@field params {[1]: string, [2]: gamut.Tensor}[]
---@field lr number

---@class gamut.optim.Optimizer
---@field name string of the plugin
---@field groups gamut.optim.Group[]
---@field step fun(self) updates every parameter that has a gradient
---@field zero_grad fun(self)
---@field state fun(self): {[1]: string, [2]: gamut.Tensor}[]
---@field load_state fun(self, state: {[1]: string, [2]: gamut.Tensor}[])

local function make(name, options)
  if type(options) ~= "table" then
    error(("optim.%s takes a table of parameter groups and options, got a %s"):format(name, type(options)), 3)
  end
  local groups, defaults = {}, {}
  for key, value in pairs(options) do
    if key == "params" then
      error(("optim.%s takes groups: write %s{{params = ...}, lr = ...}, with braces around each group")
        :format(name, name), 3)
    end
    local given = type(value) == "table" and value.params
    if type(given) == "table" and given.named_parameters then
      error(("optim.%s: `params` is the model itself; give model:named_parameters()"):format(name), 3)
    end
    if math.type(key) == "integer" then
      groups[key] = value
    else
      defaults[key] = value
    end
  end
  if #groups == 0 then
    error(("optim.%s needs a parameter group, such as optim.%s{{params = model:named_parameters()}}")
      :format(name, name), 3)
  end
  return plugins.optimizer(name, groups, defaults)
end

---@class gamut.optim
---@field adamw fun(options: table): gamut.optim.Optimizer
---@field muon fun(options: table): gamut.optim.Optimizer
local optim = {}

-- The function of a plugin is made when it is first used; an unknown name is refused when called.
return setmetatable(optim, {
  __index = function(self, name)
    local function optimizer(options) return make(name, options) end
    rawset(self, name, optimizer)
    return optimizer
  end,
})
