-- The study's models at their true size against a twin in PyTorch: the losses of two steps, and of every gradient
-- of both the norm and a product with fixed numbers. tests/data/golf/make_goldens.py wrote what they should be, in
-- float64; tests/bench/golf.sh compares more steps, more tokens and whole gradients.
local gamut = require "gamut"
local testing = require "gamut.testing"

local source = os.getenv "GAMUT_SOURCE"
package.path = source .. "/experiments/golf_long_context/?.lua;" .. package.path
local Model = require "golf.model"
local architectures = require "golf.architectures"
local names = require "golf.names"
local optimizers = require "golf.optimizers"

local data = source .. "/tests/data/golf/"
local goldens
do
  local file <close> = assert(io.open(data .. "goldens.json"))
  goldens = gamut.json.decode(file:read "a")["true"]
end

-- As make_goldens.py has them.
local SEED, CONTEXT, ACCUMULATE = 1337, 128, 2
local RATES = { embed_lr = 0.03, matrix_lr = 0.02, scalar_lr = 0.02, precision = "float32" }
local MOMENTUM = { start = 0.92, final = 0.99, warmup_steps = 190 }
-- Of a loss, and of a gradient relative to its norm. The second step follows Newton-Schulz iterations, which raise
-- the rounding of directions that have next to no gradient.
local BOUNDS = { { loss = 2e-6, gradient = 1e-5 }, { loss = 2e-5, gradient = 2e-3 } }

-- Gradients under the study's names: its names are those of a state, so the state holds them for a moment.
local function study_gradients(model)
  return gamut.no_grad(function()
    local weights, gradients = {}, {}
    for i, entry in ipairs(model:named_parameters()) do
      weights[i] = entry[2]:clone()
      entry[2]:copy_(entry[2].grad)
    end
    for _, entry in ipairs(names.study_state(model)) do gradients[entry.name] = entry.tensor:double():flatten() end
    for i, entry in ipairs(model:named_parameters()) do entry[2]:copy_(weights[i]) end
    return gradients
  end)
end

local function near(what, value, expected, bound)
  testing.is_true(math.abs(value - expected) <= bound,
    ("%s is %.9g, in the twin %.9g; allowed is a difference of %.1e"):format(what, value, expected, bound))
end

local function check_gradients(gradients, golden, bound)
  local left = {}
  for name in pairs(golden) do left[name] = true end
  for name, gradient in pairs(gradients) do
    local norm, product = table.unpack(golden[name] or error("the twin has no " .. name))
    local sines = gamut.arange(gradient:numel(), { dtype = "float64" }):sin()
    near("the norm of the gradient of " .. name, gradient:norm():item(), norm, bound * norm)
    near("the product of the gradient of " .. name, gradient:dot(sines):item(), product, bound * norm)
    left[name] = nil
  end
  testing.equal(next(left), nil)
end

local function accumulated_loss(model, batches)
  local sum = 0.0
  for _ = 1, ACCUMULATE do
    sum = sum + gamut.scope(function()
      local loss = model:loss(batches:next());
      (loss / ACCUMULATE):backward()
      return loss:item()
    end)
  end
  return sum / ACCUMULATE
end

for architecture, golden in pairs(goldens) do
  testing.test(architecture .. ": losses and gradients of two steps are the twin's", function()
    gamut.manual_seed(SEED)
    local shape = architectures.options({ architecture = architecture }, { vocab_size = 1024, precision = "float32" })
    local model = Model(shape)
    local made = optimizers.make(model, RATES)
    local batches = gamut.data.batches(gamut.data.shards(data .. "true"), { batch = 1, context = CONTEXT })
    for step, bounds in ipairs(BOUNDS) do
      near("the loss of step " .. step, accumulated_loss(model, batches), golden.losses[step], bounds.loss)
      check_gradients(study_gradients(model), golden.gradients[step], bounds.gradient)
      if step == #BOUNDS then break end
      made.muon.groups[1].momentum = optimizers.momentum(step - 1, MOMENTUM)
      for _, optimizer in pairs(made) do
        optimizer:step()
        optimizer:zero_grad()
      end
    end
  end)
end

testing.finish()
