-- Which tensor is trained how: Muon for the weights of linears inside the blocks, Adam for the embedding at its own
-- rate, and Adam for all else (vectors, convolutions, gates, skips). No weight decay.
local gamut = require "gamut"

local optimizers = {}

local ADAM = { beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.0 }

-- The study takes every matrix that is no control tensor; other mixers have tables as well, such as Mamba's A_log.
local function is_linear_weight(name, tensor) return tensor.ndim == 2 and name:match "^blocks%..*%.weight$" ~= nil end

---The parameters of each group, as lists of {name, tensor} in the model's order.
---@param model golf.Model
---@return {embedding: table, matrices: table, others: table}
function optimizers.groups(model)
  local groups = { embedding = {}, matrices = {}, others = {} }
  for _, entry in ipairs(model:named_parameters()) do
    local name, tensor = entry[1], entry[2]
    local group = name == "tok_emb.weight" and groups.embedding
      or is_linear_weight(name, tensor) and groups.matrices or groups.others
    group[#group + 1] = entry
  end
  return groups
end

---@param model golf.Model cast and on its device
---@param rates {embed_lr: number, matrix_lr: number, scalar_lr: number, precision: "bfloat16"|"float32"}
---@return {muon: gamut.optim.Optimizer, adam: gamut.optim.Optimizer}
function optimizers.make(model, rates)
  local groups = optimizers.groups(model)
  return {
    -- The iteration of the study is in bfloat16 whatever the processor is good at.
    muon = gamut.optim.muon { { params = groups.matrices }, lr = rates.matrix_lr, ns_dtype = rates.precision },
    adam = gamut.optim.adamw {
      { params = groups.embedding, lr = rates.embed_lr }, { params = groups.others, lr = rates.scalar_lr },
      beta1 = ADAM.beta1, beta2 = ADAM.beta2, eps = ADAM.eps, weight_decay = ADAM.weight_decay,
    },
  }
end

---Muon's momentum at a step: linear from `start` to `final` over the first `warmup_steps`.
---@param step integer finished steps, from 0
---@param momentum {start: number, final: number, warmup_steps: integer}
---@return number
function optimizers.momentum(step, momentum)
  local share = momentum.warmup_steps > 0 and math.min(step / momentum.warmup_steps, 1.0) or 1.0
  return (1.0 - share) * momentum.start + share * momentum.final
end

return optimizers
