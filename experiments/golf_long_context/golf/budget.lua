-- The width of a model that has to meet a budget of parameters (model.parameters in config.yaml).
local gamut = require "gamut"
local Model = require "golf.model"
local architectures = require "golf.architectures"
local check = require "gamut.options"

local budget = {}

---The multiple of n_heads whose model comes nearest to `model.parameters`; heads of an odd size, which cannot be
---rotated, and whatever else a mixer refuses are passed over. Random numbers go on as if nothing had been built.
---@param model table the section `model` of config.yaml, with `parameters`
---@param data {vocab_size: integer, precision?: string} as for architectures.options
---@return gamut.nn.FittedWidth
function budget.fit(model, data)
  check("budget.fit", data, { vocab_size = "integer", precision = "string?" })
  if not model.parameters then error("budget.fit needs model.parameters, the number that is to be met", 2) end
  return gamut.nn.fit_width {
    parameters = model.parameters, multiple = architectures.resolve(model).n_heads,
    build = function(width)
      return Model(architectures.options(model, {
        vocab_size = data.vocab_size, precision = data.precision, d_model = width,
      }))
    end,
  }
end

return budget
