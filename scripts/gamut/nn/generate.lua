-- Sampling from a model that carries a state: the prompt in one call, then one step a call.
local gamut = require "gamut"
local evaluating = require "gamut.evaluating"
local maps = require "gamut.maps"

---@class gamut.nn.SampleOptions
---@field temperature? number default 1; 0 takes the most likely
---@field top_k? integer draw from the k most likely
---@field top_p? number draw from the fewest most likely whose probability reaches p
---@field generator? any of gamut.generator

---@class gamut.nn.GenerateOptions : gamut.nn.SampleOptions
---@field steps integer
---@field seed? integer
---@field on_logits? fun(logits: gamut.Tensor, step: integer): gamut.Tensor
---@field on_step? fun(ids: gamut.Tensor, step: integer): gamut.Tensor|false|nil

local generate = {}

-- Keeps the k largest logits.
local function keep_top_k(logits, k)
  local largest = logits:topk(math.min(k, logits.shape[#logits.shape]))
  return logits:masked_fill(logits:lt(largest:narrow(-1, -1, 1)), -math.huge)
end

-- Keeps the smallest set of most likely ids whose probability reaches p (Holtzman et al. 2019).
local function keep_top_p(logits, p)
  local sorted, order = logits:sort(-1, true)
  local probabilities = sorted:softmax(-1)
  -- An id stays when the ids before it do not reach p yet; so the first always stays.
  local beyond = (probabilities:cumsum(-1) - probabilities):ge(p)
  return logits:masked_fill(gamut.zeros_like(beyond):scatter(-1, order, beyond), -math.huge)
end

local OPTIONS = { temperature = true, top_k = true, top_p = true, generator = true }

local function check(options, known)
  for name in pairs(options) do
    if not known[name] then
      error(("unknown option `%s`; there are %s"):format(tostring(name), table.concat(maps.keys(known), ", ")), 3)
    end
  end
  local temperature, top_k, top_p = options.temperature or 1.0, options.top_k, options.top_p
  if temperature < 0 then error(("temperature must be 0 or more, not %g"):format(temperature), 3) end
  if top_k and (math.type(top_k) ~= "integer" or top_k < 1) then
    error(("top_k must be a positive integer, not %s"):format(tostring(top_k)), 3)
  end
  if top_p and not (top_p > 0 and top_p <= 1) then
    error(("top_p must lie above 0 and up to 1, not %s"):format(tostring(top_p)), 3)
  end
end

local function draw(logits, options)
  local temperature = options.temperature or 1.0
  if temperature == 0 then return logits:argmax(-1) end
  local scaled = logits:to { dtype = "float32" } / temperature
  if options.top_k then scaled = keep_top_k(scaled, options.top_k) end
  if options.top_p then scaled = keep_top_p(scaled, options.top_p) end
  local shape = scaled.shape
  local rows = scaled:softmax(-1):reshape { -1, shape[#shape] }
  shape[#shape] = nil
  return rows:multinomial(1, { replacement = false, generator = options.generator }):reshape(shape)
end

---Draws ids from logits.
---@param logits gamut.Tensor [..., vocab_size]
---@param options? gamut.nn.SampleOptions
---@return gamut.Tensor int64 [...]
function generate.sample(logits, options)
  options = options or {}
  check(options, OPTIONS)
  return draw(logits, options)
end

local GENERATE_OPTIONS = {
  steps = true, temperature = true, top_k = true, top_p = true, generator = true, seed = true,
  on_logits = true, on_step = true,
}

---Continues a prompt: [batch, time] or [batch, codebooks, time] in, the same with `steps` more out.
---
---`seed` makes a generator of its own, so the run's random numbers stay as they are; a `generator` may be
---given instead. `on_logits(logits, step)` may change what is drawn from, [batch, ids] or [batch,
---codebooks, ids]; minus infinity is never drawn. `on_step(ids, step)` sees the ids [batch] or [batch, codebooks] of each step from 0,
---and may return others to take in their place, or false to stop.
---@param model gamut.nn.Module with new_state and next_logits, such as nn.Decoder
---@param prompt gamut.Tensor int64
---@param options gamut.nn.GenerateOptions
---@return gamut.Tensor
function generate.generate(model, prompt, options)
  if type(prompt) ~= "userdata" then
    error(("nn.generate takes a prompt of ids, such as tokenizer:encode(text), not a %s"):format(type(prompt)), 2)
  end
  options = options or {}
  check(options, GENERATE_OPTIONS)
  if math.type(options.steps) ~= "integer" or options.steps < 0 then
    error(("nn.generate needs steps, a number of tokens, not %s"):format(tostring(options.steps)), 2)
  end
  if prompt.shape[#prompt.shape] == 0 then
    error("nn.generate needs a prompt of one token or more", 2)
  end
  local settings = {
    temperature = options.temperature, top_k = options.top_k, top_p = options.top_p,
    generator = options.generator or options.seed and gamut.generator { seed = options.seed } or nil,
  }
  return evaluating(model, function()
    local state = model:new_state(prompt.shape[1])
    local pieces, input = { prompt }, prompt
    for step = 0, options.steps - 1 do
      local ids = gamut.scope(function()
        local logits = model:next_logits(input, { state = state })
        if options.on_logits then logits = options.on_logits(logits, step) end
        return draw(logits, settings)
      end)
      local changed = options.on_step and options.on_step(ids, step)
      if changed == false then break end
      input = (changed or ids):unsqueeze(-1)
      pieces[#pieces + 1] = input
    end
    return gamut.cat(pieces, -1)
  end)
end

return generate
