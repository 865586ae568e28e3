-- Training, as parts that a script composes. The loop stays in the script:
--
--   local run = train.start{model = model, optimizers = {...}, data = batches, steps = 300}
--   for step in run:steps() do
--     local loss = run:accumulate(4, function() return model:loss(batches:next()) end)
--     local norm = train.clip_grad_norm(model, 1.0)
--     if run:healthy(loss, norm) then run:update(schedule(run)) end
--     run:log{train_loss = loss, grad_norm = norm}
--   end
--   run:finish()

local context = require "gamut.train.context"
local run = require "gamut.train.run"
local strict = require "gamut.strict"

local train = strict("gamut.train", {
  schedule = require "gamut.train.schedule",
  ema = require "gamut.train.ema",
  guard = require "gamut.train.guard",
  start = run.start,
  config = context.config,
  device = context.device,
  warm_up = require "gamut.train.warm_up",
  clip_grad_norm = require "gamut.train.clip",
})

return train
