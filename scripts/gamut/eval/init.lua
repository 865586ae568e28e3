-- Evaluation of language models: loss and bits per byte, as Parameter Golf scores them.

local gamut = require "gamut"
local check = require "gamut.options"
local data = require "gamut.data"
local evaluating = require "gamut.evaluating"

local eval = {}

-- A module with a `loss` method, or a function that does the same.
local function loss_function(model)
  if type(model) == "function" then return model end
  return function(x, y) return model:loss(x, y) end
end

local function device_of(model)
  if type(model) ~= "table" or not model.parameters then return nil end
  local first = model:parameters()[1]
  return first and first.device
end

-- The sum of a batch's losses as a Lua number, which is a double.
local function summed(loss, y)
  if type(loss) == "number" then return loss * y:numel() end
  if loss:numel() == 1 then return loss:item() * y:numel() end
  if loss:numel() ~= y:numel() then
    error(("the model's loss has shape [%s]; a mean, or one loss for each of the %d targets, was expected")
      :format(table.concat(loss.shape, ", "), y:numel()), 0)
  end
  return loss:sum{dtype = "float64"}:item()
end

---@class gamut.eval.Options
---@field model any a module with :loss(x, y), or a function(x, y): the mean loss or one a target
---@field set gamut.data.TokenSet
---@field tokenizer gamut.Tokenizer counts the bytes
---@field context integer tokens a window
---@field batch integer windows a batch
---@field max_tokens? integer scores the first windows only
---@field autocast? string such as "bfloat16"
---@field device? string default: that of the model's parameters

---Mean loss (nats a token) and bits per byte over the windows of a validation set, each scored
---without what came before it. Sums are in float64.
---@param options gamut.eval.Options
---@return {loss: number, bpb: number, tokens: integer, bytes: integer}
function eval.bits_per_byte(options)
  check("eval.bits_per_byte", options, {
    model = "any", set = "any", tokenizer = "any", context = "integer", batch = "integer",
    max_tokens = "integer?", autocast = "string?", device = "string?",
  })
  local loss_of = loss_function(options.model)
  local device = options.device or device_of(options.model) or "cpu"
  local windows = data.windows(options.set, {
    batch = options.batch, context = options.context, max_tokens = options.max_tokens,
  })
  local total, bytes = 0.0, 0
  local function add(x, y)
    bytes = bytes + options.tokenizer:byte_counts(x:flatten(), y:flatten()):sum():item()
    if device ~= "cpu" then x, y = x:to(device), y:to(device) end
    local loss = options.autocast and gamut.autocast(options.autocast, loss_of, x, y) or loss_of(x, y)
    total = total + summed(loss, y)
  end
  evaluating(options.model, function()
    for i = 0, windows.batches - 1 do
      gamut.scope(function() add(windows.source:at(i)) end)
    end
  end)
  if bytes == 0 then error("the validation tokens stand for no bytes at all, so there are no bits per byte", 2) end
  local loss = total / windows.tokens
  return {
    loss = loss, bpb = loss / math.log(2) * (windows.tokens / bytes), tokens = windows.tokens,
    bytes = bytes,
  }
end

return eval
