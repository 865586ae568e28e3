-- Optimizer steps and the clipping of gradients: timed on tensors that stay, checked by what three steps do to weights.
local gamut = require "gamut"

local STEPS = 3

local function names_of(s)
  local names, n = {}, 0
  for i, sides in ipairs(s.matrices) do
    for _ = 1, s.times do
      n = n + 1
      names[n] = { weight = "weight" .. n, gradient = "gradient" .. n, sides = s.matrices[i] }
    end
  end
  return names
end

local function inputs(s, draw)
  local made = {}
  for _, name in ipairs(names_of(s)) do
    made[#made + 1] = { name.weight, draw:normal(name.sides):mul_(0.02), "constant" }
    made[#made + 1] = { name.gradient, draw:normal(name.sides), "constant" }
  end
  return made
end

local function elements(s)
  local count = 0
  for _, sides in ipairs(s.matrices) do count = count + s.times * sides[1] * sides[2] end
  return count
end

-- The weights as parameters with their gradients; `copy` leaves the inputs as they are.
local function parameters(x, s, copy)
  local list = {}
  for i, name in ipairs(names_of(s)) do
    local weight = copy and x[name.weight]:clone() or x[name.weight]
    weight:requires_grad_()
    weight.grad = x[name.gradient]
    list[i] = { name.weight, weight }
  end
  return list
end

local function options_of(name, list, dtype)
  if name == "muon" then return { { params = list }, lr = 0.02, momentum = 0.95, ns_dtype = dtype } end
  return { { params = list }, lr = 1e-2, weight_decay = 0.1 }
end

-- By how much the weights move. The definition's are float64; its iteration is in float32 at the most.
local function call(name, x, s, dtype)
  local list = parameters(x, s, true)
  local optimizer = gamut.optim[name](options_of(name, list, dtype == "bfloat16" and "bfloat16" or "float32"))
  for _ = 1, STEPS do optimizer:step() end
  local moved = {}
  for i, entry in ipairs(list) do moved[i] = entry[2]:detach() - x[names_of(s)[i].weight] end
  return table.unpack(moved)
end

local function start(name, x, s, dtype)
  local optimizer = gamut.optim[name](options_of(name, parameters(x, s), dtype))
  return function() optimizer:step() end
end

-- What the clipped gradients are, and the norm before.
local function clip(_, x, s)
  local list, clipped = {}, {}
  for i, entry in ipairs(parameters(x, s, true)) do
    entry[2].grad = x[names_of(s)[i].gradient]:clone()
    list[i] = entry[2]
  end
  local norm = gamut.train.clip_grad_norm(list, 1.0)
  for i, weight in ipairs(list) do clipped[i] = weight.grad end
  return gamut.tensor({ norm }, { dtype = list[1].dtype }), table.unpack(clipped)
end

local function start_clip(_, x, s)
  local list = {}
  for i, entry in ipairs(parameters(x, s)) do list[i] = entry[2] end
  return function() gamut.train.clip_grad_norm(list, 1e9) end -- above the norm: a call like the one before
end

-- AdamW reads weight, gradient and both moments, and writes all but the gradient; clipping reads the gradients.
local function bytes_each(count)
  return function(s) return { forward = { bytes = count * 4 * elements(s) } } end
end

local function muon_work(s)
  local flop = 0
  for _, sides in ipairs(s.matrices) do
    local m, n = math.min(table.unpack(sides)), math.max(table.unpack(sides))
    flop = flop + s.times * 5 * (4 * m * m * n + 2 * m ^ 3)
  end
  return { forward = { flop = flop, bytes = 5 * 4 * elements(s) } }
end

local GOLF = { { 512, 512 }, { 256, 512 }, { 256, 512 }, { 512, 512 }, { 1024, 512 }, { 512, 1024 } }
-- Not square: the least singular values of a square one decide how far roundings carry.
local ODD = { { 33, 20 }, { 20, 33 }, { 17, 29 } }

local function shapes(device, small)
  return {
    device = device, small = small,
    tiny = { { label = "tiny", count = 2, times = 1, matrices = { { 12, 9 }, { 9, 16 } } } },
  }
end

local PARITY = {
  small = { { label = "odd", count = 3, times = 1, matrices = ODD } },
  full = { { label = "odd, many", count = 60, times = 20, matrices = ODD } },
}
local SPEECH = { { label = "22M in 84", count = 84, times = 84, matrices = { { 512, 512 } } } }
local SMALL = { { label = "2.6M in 10", count = 10, times = 10, matrices = { { 512, 512 } } } }
local LARGE = { label = "302M in 288", count = 288, times = 288, matrices = { { 1024, 1024 } } }

return {
  {
    name = "adamw", operator = "adamw", reference = "adamw", dtypes = { float32 = true }, sizes = { "count" },
    inputs = inputs, call = call, start = start, work = bytes_each(7), parity = PARITY,
    shapes = shapes({ SPEECH[1], LARGE }, SMALL), bounds = { float32 = { output = 2e-5 } },
  },
  {
    name = "muon", operator = "muon", reference = "muon", dtypes = { float32 = true, bfloat16 = true },
    sizes = { "count" }, inputs = inputs, call = call, start = start, work = muon_work, parity = PARITY,
    bounds = { float32 = { output = 1e-4 }, bfloat16 = { output = 5e-2 } },
    shapes = shapes({ { label = "golf baseline", count = 54, times = 9, matrices = GOLF } },
      { { label = "golf, one layer", count = 6, times = 1, matrices = GOLF } }),
  },
  {
    name = "clip_grad_norm", operator = "clip", reference = "clip", dtypes = { float32 = true }, sizes = { "count" },
    inputs = inputs, call = clip, start = start_clip, work = bytes_each(1), parity = PARITY,
    shapes = shapes({ SPEECH[1], LARGE }, SMALL),
  },
}
