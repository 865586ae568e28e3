-- Watches loss and gradient norm: a step that is not finite, or whose loss jumps out of the recent
-- range, is skipped or stops the run, and the report names the first bad parameter.

local Guard = {}
Guard.__index = Guard

local DEFAULTS = {
  action = "skip",    -- "skip" the update, or "stop" the run
  max_skips = 10,     -- consecutive skips after which the run stops whatever the action
  spike = 8.0,        -- standard deviations above the running mean that count as a spike; 0: never
  warmup_steps = 50,  -- steps before spikes are judged
  memory = 0.98,      -- decay of the running mean and variance
}

local function new(options)
  local self = setmetatable({mean = 0.0, variance = 0.0, count = 0, skips = 0, consecutive = 0}, Guard)
  for key, default in pairs(DEFAULTS) do self[key] = default end
  for key, value in pairs(options or {}) do
    if DEFAULTS[key] == nil then error(("the guard has no option `%s`"):format(tostring(key)), 3) end
    self[key] = value
  end
  if self.action ~= "skip" and self.action ~= "stop" then
    error(("the guard's action is \"skip\" or \"stop\", got \"%s\""):format(tostring(self.action)), 3)
  end
  return self
end

local function is_finite(x) return x == x and x ~= math.huge and x ~= -math.huge end

-- The first parameter, in the model's order, whose value or gradient is not finite.
local function first_bad(model)
  for _, entry in ipairs(model:named_parameters()) do
    local name, parameter = entry[1], entry[2]
    if not parameter:isfinite():all():item() then return ("parameter `%s`"):format(name) end
    local gradient = parameter.grad
    if gradient and not gradient:isfinite():all():item() then return ("the gradient of `%s`"):format(name) end
  end
end

-- What is wrong with this step, as a sentence, or nil. Healthy steps enter the running statistics.
function Guard:judge(model, loss, norm)
  if not is_finite(loss) or not is_finite(norm) then
    local where = first_bad(model)
    return ("loss %.4g and gradient norm %.4g: %s"):format(loss, norm,
      where and (where .. " is the first that is not finite") or "all parameters and gradients are finite")
  end
  local deviation = math.sqrt(self.variance)
  if self.spike > 0 and self.count >= self.warmup_steps and loss > self.mean + self.spike * deviation then
    return ("loss %.4f is a spike: the running mean is %.4f, standard deviation %.4f")
      :format(loss, self.mean, deviation)
  end
  self:observe(loss)
end

function Guard:observe(loss)
  if self.count == 0 then self.mean = loss end
  local keep = math.min(self.memory, self.count / (self.count + 1))
  local delta = loss - self.mean
  self.mean = self.mean + (1 - keep) * delta
  self.variance = keep * (self.variance + (1 - keep) * delta * delta)
  self.count = self.count + 1
end

-- What a resumed run needs to judge as the unbroken one would.
function Guard:state()
  return {mean = self.mean, variance = self.variance, count = self.count, skips = self.skips,
    consecutive = self.consecutive}
end

function Guard:load_state(state)
  for key in pairs(self:state()) do self[key] = state[key] end
end

return {new = new, defaults = DEFAULTS}
