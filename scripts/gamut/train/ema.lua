-- Exponential moving average of the weights: shadow = decay * shadow + (1 - decay) * weight, from a
-- copy of the initial weights, without bias correction, as the published studies do it.

local gamut = require "gamut"
local finally = require "gamut.finally"

local Ema = {}
Ema.__index = Ema

-- `decay` in (0, 1); nothing to average over is an error.
local function new(model, decay)
  if type(decay) ~= "number" or decay <= 0 or decay >= 1 then
    error(("the decay of an EMA lies between 0 and 1, got %s"):format(tostring(decay)), 2)
  end
  local self = setmetatable({decay = decay, named = model:named_parameters(), weights = {}, shadow = {}}, Ema)
  for i, entry in ipairs(self.named) do
    self.weights[i] = entry[2]
    self.shadow[i] = entry[2]:detach():clone()
  end
  return self
end

-- Called by run:update after every optimizer step.
function Ema:update()
  gamut.no_grad(function() gamut._foreach_lerp_(self.shadow, self.weights, 1 - self.decay) end)
end

-- Runs `fn` with the averaged weights in the model, and puts the trained ones back, also on error.
function Ema:swapped(fn, ...)
  self:exchange()
  self.is_swapped = true
  local _ <close> = finally(function()
    self:exchange()
    self.is_swapped = false
  end)
  return fn(...)
end

function Ema:exchange()
  gamut.no_grad(function()
    for i, weight in ipairs(self.weights) do
      gamut.scope(function()
        local held = weight:detach():clone()
        weight:copy_(self.shadow[i])
        self.shadow[i]:copy_(held)
      end)
    end
  end)
end

function Ema:state()
  local state = {}
  for i, entry in ipairs(self.named) do state[i] = {entry[1], self.shadow[i]} end
  return state
end

function Ema:load_state(tensors)
  if not tensors then
    error("the checkpoint holds no EMA: the run was without one when it was saved; take `ema` out of train.start, or "
      .. "begin a new run", 0)
  end
  gamut.no_grad(function()
    for i, entry in ipairs(self.named) do
      local saved = tensors[entry[1]]
      if not saved then error(("the saved EMA has no tensor `%s`"):format(entry[1])) end
      self.shadow[i]:copy_(saved)
    end
  end)
end

return new
