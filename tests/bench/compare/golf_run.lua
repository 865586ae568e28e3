-- Some steps of the long-context golf study, as the experiment's own parts take them, for comparison with the twin in
-- PyTorch: losses, the initial weights, the gradients of the first step, and weights and gradients of a later one.
--
--   gamut exec golf_run.lua architecture=baseline precision=float32 data=FOLDER context=2048 sequences=1 \
--     accumulate=2 steps=10 later=3 seed=1337 out=FILE.safetensors
local gamut = require "gamut"
local system = require "gamut.native.system"

local here = arg[0]:match "^(.*)/" or "."
package.path = here .. "/../../../experiments/golf_long_context/?.lua;" .. package.path
local Model = require "golf.model"
local architectures = require "golf.architectures"
local optimizers = require "golf.optimizers"
local precision = require "golf.precision"

local a = {}
for _, word in ipairs(arg) do
  local key, value = word:match "^(%w+)=(.*)$"
  a[key] = math.tointeger(tonumber(value)) or value
end

local RATES = { embed_lr = 0.03, matrix_lr = 0.02, scalar_lr = 0.02, precision = a.precision }
local MOMENTUM = { start = 0.92, final = 0.99, warmup_steps = 190 }

gamut.set_num_threads(2)
gamut.manual_seed(a.seed)
local shape = architectures.options({ architecture = a.architecture }, { vocab_size = 1024, precision = a.precision })
local model = Model(shape)
local autocast = precision.apply(model, a.precision)
local made = optimizers.make(model, RATES)
local batches = gamut.data.batches(gamut.data.shards(a.data, { split = "train", vocab_size = 1024 }),
  { batch = a.sequences, context = a.context })

local kept, losses, took = {}, {}, {}
local function keep(heading, of)
  for _, entry in ipairs(model:named_parameters()) do
    kept[#kept + 1] = { heading .. "/" .. entry[1], of(entry[2]):detach():clone() }
  end
end
local function weights(parameter) return parameter end
local function gradients(parameter) return parameter.grad end

local function micro_batch()
  local x, y = batches:next()
  local function loss_of() return model:loss(x, y) end
  local loss = autocast and gamut.autocast(autocast, loss_of) or loss_of();
  (loss / a.accumulate):backward()
  return loss:item()
end

keep("start", weights)
for step = 1, a.steps do
  if step == a.later then keep("weights", weights) end
  local began, sum = system.monotonic(), 0.0
  for _ = 1, a.accumulate do sum = sum + gamut.scope(micro_batch) end
  losses[step] = sum / a.accumulate
  if step == 1 then keep("first", gradients) end
  if step == a.later then keep("later", gradients) end
  made.muon.groups[1].momentum = optimizers.momentum(step - 1, MOMENTUM)
  for _, optimizer in pairs(made) do
    optimizer:step()
    optimizer:zero_grad()
  end
  took[step] = system.monotonic() - began
end
kept[#kept + 1] = { "losses", gamut.tensor(losses, { dtype = "float64" }) }
kept[#kept + 1] = { "seconds", gamut.tensor(took, { dtype = "float64" }) }
gamut.safetensors.save(a.out, kept)
