-- The whole training step of the speech model: loss, backward, clipping, AdamW. The first of both sides to begin
-- writes weights and codes to a file; the other reads them, and both say their loss before the first step.
local gamut = require "gamut"

local BATCH, TIME = 2, 1024
local here = arg[0]:match "^(.*)/" or "."
local SpeechModel = dofile(here .. "/../../../experiments/speech_21m/model.lua")

local function data()
  local codes = gamut.randint(0, 1024, { BATCH, 8, TIME + 1 })
  return codes:narrow(2, 0, TIME):contiguous(), codes:narrow(2, 1, TIME):contiguous()
end

local function save(model, codes, targets, path)
  local entries = { { "codes", codes }, { "targets", targets } }
  for _, entry in ipairs(model:named_parameters()) do
    entries[#entries + 1] = { "model." .. entry[1], entry[2]:detach() }
  end
  gamut.safetensors.save(path, entries)
end

local function speech_step(a)
  local model = SpeechModel { dropout = a.dropout == 1 and 0.1 or 0.0 }
  local codes, targets = data()
  save(model, codes, targets, a.exchange)
  local adamw = gamut.optim.adamw { { params = model:named_parameters() }, lr = 1e-4, weight_decay = 0.1 }
  local function loss_of()
    if a.dtype == "bfloat16" then
      return gamut.autocast("bfloat16", function() return model:loss(codes, targets) end)
    end
    return model:loss(codes, targets)
  end
  model:eval()
  local before = gamut.scope(function() return gamut.no_grad(loss_of):item() end)
  model:train()
  return function()
    loss_of():backward()
    gamut.train.clip_grad_norm(model, 1.0)
    adamw:step()
    adamw:zero_grad()
  end, { loss = before, parameters = model:parameter_count() }
end

return { speech_step = speech_step }
