-- The models of the long-context golf study: a micro-batch (loss and backward), and the optimizers' update.
local gamut = require "gamut"

local here = arg[0]:match "^(.*)/" or "."
package.path = here .. "/../../../experiments/golf_long_context/?.lua;" .. package.path

local RATES = { embed_lr = 0.03, matrix_lr = 0.02, scalar_lr = 0.02 }

local function model_of(a)
  local architectures, precision = require "golf.architectures", require "golf.precision"
  gamut.manual_seed(1337)
  local options = architectures.options({ architecture = a.architecture }, { vocab_size = 1024, precision = a.dtype })
  local model = require "golf.model"(options)
  return model, precision.apply(model, a.dtype)
end

local function loss_and_backward(a, model, autocast)
  local ids = gamut.arange(a.T + 1):mul(31):remainder(1021):unsqueeze(0)
  local x, y = ids:narrow(1, 0, a.T), ids:narrow(1, 1, a.T)
  local function loss_of() return model:loss(x, y) end
  return function()
    local loss = autocast and gamut.autocast(autocast, loss_of) or loss_of()
    loss:backward()
    return loss:item()
  end
end

local function golf_micro_batch(a)
  local model, autocast = model_of(a)
  local call = loss_and_backward(a, model, autocast)
  return call, { loss = gamut.scope(call), parameters = model:parameter_count() }
end

local function golf_update(a)
  local model, autocast = model_of(a)
  gamut.scope(loss_and_backward({ T = 16 }, model, autocast))
  local rates = { precision = a.dtype }
  for name, rate in pairs(RATES) do rates[name] = rate end
  local made = require "golf.optimizers".make(model, rates)
  return function()
    for _, optimizer in pairs(made) do optimizer:step() end
  end
end

return { golf_micro_batch = golf_micro_batch, golf_update = golf_update }
