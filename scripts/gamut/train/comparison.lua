-- Whether a replayed step gives what its function gives: the same batch is computed again, from the same random numbers
-- and buffers, and losses are compared; the first time gradients too.

local gamut = require "gamut"
local gradients = require "gamut.train.gradients"

local comparison = {}

-- Relative. Sums may be in another order on a device, no more than that.
local LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-3, 1e-2

---What a forward pass may change beside gradients: random numbers and the model's buffers.
function comparison.surroundings(model)
  local saved = {
    cpu = gamut.rng_state(), cuda = gamut.cuda_available() and gamut.rng_state "cuda" or nil, buffers = {},
  }
  for i, entry in ipairs(model:named_buffers()) do saved.buffers[i] = {entry[2], entry[2]:clone()} end
  return saved
end

function comparison.restore(saved)
  gamut.set_rng_state(saved.cpu)
  if saved.cuda then gamut.set_rng_state(saved.cuda, "cuda") end
  gamut.no_grad(function()
    for _, pair in ipairs(saved.buffers) do pair[1]:copy_(pair[2]) end
  end)
end

local function norm(list) return gamut.linalg_vector_norm(gamut.stack(gamut._foreach_norm(list))):item() end

-- How far gradients are from the expected ones, relative to these; 1 where one list has what the other has not.
local function distance(list, expected)
  local own, other = {}, {}
  for i = 1, #expected do
    if (list[i] and true) ~= (expected[i] and true) then return 1.0 end
    if expected[i] then own[#own + 1], other[#other + 1] = list[i], expected[i] end
  end
  if #own == 0 then return 0.0 end
  return gamut.no_grad(function() return norm(gamut._foreach_sub(own, other)) / math.max(norm(other), 1e-30) end)
end

-- The loss that the step's function gives for the inputs of the last replay, and how far the gradients are off.
local function expected(graphs, step, compute)
  local in_full = step.replays == 1
  if in_full then gradients.clear(graphs.parameters) end
  return gamut.scope(function()
    local loss = graphs.feed:with_still(step.inputs, compute, in_full):item()
    return loss, in_full and distance(step.gradients, gradients.of(graphs.parameters)) or 0.0
  end)
end

---What is wrong with the replay that was just done, as a sentence; nil where the step's function gives the same.
---Leaves everything as the replay left it.
---@param graphs table with run, parameters and feed
---@param step table with inputs, loss, gradients and replays
---@param before table surroundings of the replay
---@param compute fun(backward: boolean): gamut.Tensor
---@return string?
function comparison.complaint(graphs, step, before, compute)
  local after, loss = comparison.surroundings(graphs.run.model), step.loss:item()
  comparison.restore(before)
  local ok, right, off = pcall(expected, graphs, step, compute)
  gradients.set(graphs.parameters, step.gradients)
  comparison.restore(after)
  if not ok then return "comparing a replay with the step's function failed: " .. tostring(right) end
  if loss ~= loss and right ~= right then return nil end -- not finite, and rightly so: the guard's business
  if not (math.abs(loss - right) <= LOSS_TOLERANCE * math.max(1.0, math.abs(right))) then
    return ("replay %d gave a loss of %.6g where the step's function gives %.6g; something in it changes from step to "
      .. "step that is not in the batch, such as a number of Lua's"):format(step.replays, loss, right)
  end
  if off > GRADIENT_TOLERANCE then
    return ("the gradients of the recorded step are off by %.2g of their norm"):format(off)
  end
end

return comparison
