-- nn.fit_width: the width at which a model meets a budget of parameters.
--
-- Models of one recipe grow about as the square of their width, so the square root of their count is close to a
-- line, and a secant on it needs three or four models of the size that is wanted. They are built for real, for
-- only the layers know what they hold and which widths they can have; the random numbers drawn are put back.
local gamut = require "gamut"
local check = require "gamut.options"
local finally = require "gamut.finally"
local format = require "gamut.report.format"

---@class gamut.nn.Width
---@field width integer
---@field parameters integer

---@class gamut.nn.FittedWidth : gamut.nn.Width
---@field below gamut.nn.Width? the widest of at most as many parameters
---@field above gamut.nn.Width? the narrowest of at least as many
---@field text string all of this in a sentence

-- So many multiples in a row that no model can have are a mistake, not a constraint of a layer.
local MOST_REFUSED = 32

local function keep_random_numbers()
  local states = { cpu = gamut.rng_state() }
  if gamut.cuda_available() then states.cuda = gamut.rng_state("cuda") end
  return finally(function()
    for device, state in pairs(states) do gamut.set_rng_state(state, device) end
  end)
end

---@class gamut.nn.WidthSearch counts models, each width once; `refused` is why the last one could not be built
local Search = {}
Search.__index = Search

-- The parameters of the model that is so wide; nil where it cannot be built.
function Search:count(width)
  if self.counts[width] == nil then
    local ok, result = pcall(function()
      local built = self.build(width)
      return math.type(built) == "integer" and built or built:parameter_count()
    end)
    if not ok then self.refused = ("%d: %s"):format(width, tostring(result)) end
    self.counts[width] = ok and result
    collectgarbage() -- a model of gigabytes should not wait for the next one
  end
  return self.counts[width] or nil
end

-- The first width that can be built among first, first + stride, ... up to `last`, with its count.
function Search:next(first, stride, last)
  for step = 0, MOST_REFUSED - 1 do
    local width = first + step * stride
    if width < self.multiple or last and (last - width) * stride < 0 then return nil end
    local count = self:count(width)
    if count then return { width = width, parameters = count } end
  end
  error(("nn.fit_width: none of the %d widths from %d on in steps of %d can be built; the last is refused with %s")
    :format(MOST_REFUSED, first, stride, self.refused), 0)
end

-- Where the line through both ends meets the budget, as a multiple strictly between them.
function Search:guess(low, high)
  local at, rise = math.sqrt(low.parameters), math.sqrt(high.parameters) - math.sqrt(low.parameters)
  local share = rise > 0 and (math.sqrt(self.budget) - at) / rise or 0.5
  local width = low.width + share * (high.width - low.width)
  width = math.floor(width / self.multiple + 0.5) * self.multiple
  return math.max(low.width + self.multiple, math.min(high.width - self.multiple, width))
end

-- The first width with at least the budget, found by growing from `low`, and the last one below it.
function Search:bracket(low)
  while low.parameters < self.budget do
    local wider = low.width * math.sqrt(self.budget / low.parameters)
    wider = math.max(low.width + self.multiple, math.ceil(wider / self.multiple) * self.multiple)
    local high = self:next(wider, self.multiple)
    if high.parameters <= low.parameters then
      error(("nn.fit_width: build(%d) has %d parameters and build(%d) has %d; a budget needs a model that grows with "
        .. "its width"):format(low.width, low.parameters, high.width, high.parameters), 0)
    end
    if high.parameters >= self.budget then return low, high end
    low = high
  end
  return nil, low
end

-- Both ends drawn together until nothing that can be built lies between them.
function Search:narrow(low, high)
  while true do
    local middle = high.width - low.width > self.multiple and self:guess(low, high)
    local found = middle and (self:next(middle, self.multiple, high.width - self.multiple)
      or self:next(middle, -self.multiple, low.width + self.multiple))
    if not found then return low, high end
    if found.parameters <= self.budget then low = found else high = found end
  end
end

local function told(width) return ("%d wide has %s"):format(width.width, format.count(width.parameters)) end

local function sentence(nearest, other, budget)
  local off = 100 * (nearest.parameters - budget) / budget
  local text = ("%s parameters, the nearest to %s (%+.2f %%)"):format(told(nearest), format.count(budget), off)
  return other and ("%s; %s"):format(text, told(other)) or text
end

---The width whose model comes nearest to a number of parameters, and its neighbours on both sides.
---
---    local fit = nn.fit_width {
---      parameters = 17059912, multiple = 8,
---      build = function(width) return nn.Decoder { d_model = width, ... } end,
---    }
---    print(fit.width, fit.text)
---
---Widths that `build` refuses (heads that do not divide them, odd rotary dimensions) are passed over. The state of
---the random number generators is the same afterwards.
---@param options {parameters: integer, build: (fun(width: integer): gamut.nn.Module|integer), multiple?: integer}
---  build: the model, or its number of parameters; multiple: only its multiples are tried, default 1
---@return gamut.nn.FittedWidth
local function fit_width(options)
  options = check("nn.fit_width", options, { parameters = "integer", build = "function", multiple = "integer?" })
  local multiple = options.multiple or 1
  if options.parameters < 1 or multiple < 1 then
    error(("nn.fit_width: `parameters` and `multiple` are positive, got %d and %d")
      :format(options.parameters, multiple), 2)
  end
  local _ <close> = keep_random_numbers()
  local search = setmetatable(
    { build = options.build, budget = options.parameters, multiple = multiple, counts = {} }, Search)
  local low, high = search:bracket(search:next(multiple, multiple))
  if low then low, high = search:narrow(low, high) end
  if high.parameters == options.parameters then low = high end
  if low and low.parameters == options.parameters then high = low end
  local is_low = low and options.parameters - low.parameters <= high.parameters - options.parameters
  local nearest, other = high, low
  if is_low then nearest, other = low, high end
  return {
    width = nearest.width, parameters = nearest.parameters, below = low, above = high,
    text = sentence(nearest, other ~= nearest and other or nil, options.parameters),
  }
end

return fit_width
