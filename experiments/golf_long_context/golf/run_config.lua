-- The configuration that train.lua has with some settings, its defaults filled in: what a script plans with.
local config = require "gamut.native.config"
local context = require "gamut.train.context"
local words_of = require("gamut.study.settings").words

---@param settings table<string, any> of config.yaml; wrong ones are errors in words
---@return table
return function(settings)
  local template = context.settings().script_dir .. "/config.yaml"
  return config.load(template, { overrides = words_of(settings) }):plain()
end
