-- Operators of large products: attention, the cross entropy of a linear head, several linear maps, Muon's iteration;
-- and the cross entropy of logits.
local gamut = require "gamut"
local ops = gamut.ops.gamut

-- ---- Attention ----

local function attention_inputs(s, draw)
  return {
    { "q", draw:normal { s.B, s.T, s.H, s.D }, "data" }, { "k", draw:normal { s.B, s.T, s.KV or s.H, s.D }, "data" },
    { "v", draw:normal { s.B, s.T, s.KV or s.H, s.D }, "data" },
  }
end

-- Causal: half of the scores. Backward computes them again: five products beside the forward's two.
local function attention_work(s, size)
  local flop, KV = 2 * s.B * s.H * s.D * s.T * s.T, s.KV or s.H
  local rows = s.B * s.T * s.D * size
  return {
    forward = { flop = flop, bytes = rows * 2 * (s.H + KV), exps = s.B * s.H * s.T * s.T / 2 },
    training = { flop = 3.5 * flop, bytes = rows * (6 * s.H + 6 * KV), exps = s.B * s.H * s.T * s.T },
  }
end

-- LibTorch's own, for the context where it and the delta rule take the same time.
local function sdpa_call(operator, x)
  local options = { is_causal = true, enable_gqa = true }
  return operator(x.q:transpose(1, 2), x.k:transpose(1, 2), x.v:transpose(1, 2), options)
end

local CONTEXTS = {
  { label = "golf baseline 8k", B = 6, T = 8192, H = 8, KV = 4, D = 64 },
  { label = "golf hybrid 8k", B = 6, T = 8192, H = 8, KV = 4, D = 56 },
}
for _, T in ipairs { 1024, 2048, 4096, 8192, 16384, 32768 } do
  CONTEXTS[#CONTEXTS + 1] = { label = "crossing", B = 32768 // T, T = T, H = 8, KV = 4, D = 64 }
end

local attention = {
  {
    name = "attention", operator = ops.attention, reference = ops.attention_reference,
    sizes = { "B", "T", "H", "KV", "D" }, inputs = attention_inputs, work = attention_work,
    call = function(operator, x, s) return operator(x.q, x.k, x.v, { window = s.window or 0 }) end,
    shapes = {
      device = {}, -- sdpa is what layers call there
      small = { { label = "golf baseline", B = 1, T = 1024, H = 8, KV = 4, D = 64 } },
      tiny = { { label = "tiny", B = 1, T = 21, H = 2, D = 12 } },
    },
    parity = {
      small = { { label = "odd", B = 2, T = 37, H = 4, KV = 2, D = 14 } },
      full = {
        { label = "64", B = 2, T = 300, H = 4, KV = 2, D = 64 },
        { label = "window", B = 1, T = 333, H = 2, D = 56, window = 100 },
      },
    },
  },
  {
    name = "sdpa", operator = gamut.scaled_dot_product_attention, sizes = { "B", "T", "H", "KV", "D" },
    inputs = attention_inputs, work = attention_work, call = sdpa_call,
    shapes = { device = CONTEXTS, small = {}, tiny = { { label = "tiny", B = 1, T = 21, H = 4, KV = 2, D = 12 } } },
  },
}

-- ---- Cross entropy ----

local function logits_inputs(s, draw)
  return { { "logits", draw:normal { s.R, s.ids }:mul_(5), "data" }, { "targets", draw:ids({ s.R }, s.ids), "ids" } }
end

local function head_inputs(s, draw)
  return {
    { "x", draw:normal { s.R, s.D }, "data" }, { "weight", draw:normal { s.ids, s.D }:mul_(4 * s.D ^ -0.5), "data" },
    { "targets", draw:ids({ s.R }, s.ids), "ids" },
  }
end

local function loss_options(s) return { softcap = s.softcap or 0.0, label_smoothing = s.smoothing or 0.0 } end

local losses = {
  {
    name = "cross_entropy", operator = ops.cross_entropy, reference = ops.cross_entropy_reference,
    sizes = { "R", "ids" }, inputs = logits_inputs,
    call = function(operator, x, s) return operator(x.logits, x.targets, loss_options(s)) end,
    work = function(s, size)
      local bytes, exps = s.R * s.ids * size, s.R * s.ids
      return { forward = { bytes = bytes, exps = exps }, training = { bytes = 3 * bytes, exps = 2 * exps } }
    end,
    shapes = {
      device = { { label = "golf logits", R = 49152, ids = 1024, softcap = 30.0 } },
      small = { { label = "golf logits", R = 2048, ids = 1024, softcap = 30.0 } },
      tiny = { { label = "tiny", R = 9, ids = 13, softcap = 30.0 } },
    },
    parity = {
      small = { { label = "soft cap", R = 17, ids = 45, softcap = 30.0 } },
      full = {
        { label = "soft cap", R = 1003, ids = 1024, softcap = 30.0 }, { label = "plain, odd", R = 301, ids = 1027 },
        { label = "smoothing", R = 100, ids = 300, smoothing = 0.1 }, { label = "many ids", R = 7, ids = 50257 },
      },
    },
  },
  {
    name = "linear_cross_entropy", operator = ops.linear_cross_entropy, reference = ops.linear_cross_entropy_reference,
    sizes = { "R", "D", "ids" }, inputs = head_inputs,
    call = function(operator, x, s) return operator(x.x, { x.weight }, x.targets, loss_options(s)) end,
    work = function(s, size)
      local flop, bytes = 2 * s.R * s.D * s.ids, (s.R + s.ids) * s.D * size
      return {
        forward = { flop = flop, bytes = bytes, exps = s.R * s.ids },
        training = { flop = 3 * flop, bytes = 3 * bytes, exps = s.R * s.ids },
      }
    end,
    shapes = {
      device = {
        { label = "golf head", R = 49152, D = 448, ids = 1024, softcap = 30.0 },
        { label = "50,257 ids", R = 16384, D = 768, ids = 50257 },
      },
      small = { { label = "golf head", R = 2048, D = 448, ids = 1024, softcap = 30.0 } },
      tiny = { { label = "tiny", R = 9, D = 12, ids = 13, softcap = 30.0 } },
    },
    parity = {
      small = { { label = "soft cap", R = 17, D = 24, ids = 45, softcap = 30.0 } },
      full = {
        { label = "soft cap", R = 1003, D = 448, ids = 1024, softcap = 30.0 },
        { label = "odd", R = 301, D = 77, ids = 1027 },
      },
    },
  },
}

-- ---- Linear maps ----

local linears = {
  name = "linears", operator = ops.linears, reference = ops.linears_reference, sizes = { "R", "K", "N" },
  inputs = function(s, draw)
    return {
      { "x", draw:normal { s.R, s.K }, "data" }, { "a", draw:normal { s.N, s.K }:mul_(s.K ^ -0.5), "data" },
      { "b", draw:normal { 8, s.K }:mul_(s.K ^ -0.5), "data" },
    }
  end,
  call = function(operator, x) return table.unpack(operator(x.x, { x.a, x.b })) end,
  work = function(s, size)
    local flop, bytes = 2 * s.R * s.K * (s.N + 8), (s.R * (s.K + s.N + 8) + s.K * (s.N + 8)) * size
    return { forward = { flop = flop, bytes = bytes }, training = { flop = 3 * flop, bytes = 3 * bytes } }
  end,
  shapes = {
    device = { { label = "golf hybrid", R = 49152, K = 448, N = 1344 } },
    small = { { label = "golf hybrid", R = 2048, K = 448, N = 1344 } },
    tiny = { { label = "tiny", R = 9, K = 8, N = 12 } },
  },
  parity = {
    small = { { label = "odd", R = 17, K = 45, N = 21 } }, full = { { label = "golf", R = 1003, K = 448, N = 336 } },
  },
}

-- ---- Muon's iteration; not differentiable ----

local COEFFICIENTS = {}
for _ = 1, 5 do table.move({ 3.4445, -4.7750, 2.0315 }, 1, 3, #COEFFICIENTS + 1, COEFFICIENTS) end

-- X X^T, (X X^T)^2 and a product with X, the smaller side m on the left, five times for each matrix.
local function iteration_work(s)
  local flop, bytes = 0, 0
  for _, sides in ipairs(s.matrices) do
    local m, n = math.min(table.unpack(sides)), math.max(table.unpack(sides))
    flop, bytes = flop + s.times * 5 * (4 * m * m * n + 2 * m ^ 3), bytes + s.times * 2 * 4 * m * n
  end
  return { forward = { flop = flop, bytes = bytes } }
end

local newton_schulz = {
  name = "newton_schulz", operator = ops.newton_schulz, reference = ops.newton_schulz_reference, sizes = { "count" },
  inputs = function(s, draw)
    local made = {}
    for i, sides in ipairs(s.matrices) do
      for j = 1, s.times do made[#made + 1] = { ("%d.%d"):format(i, j), draw:normal(sides), "constant" } end
    end
    return made
  end,
  call = function(operator, x, s, dtype)
    local matrices = {}
    for i = 1, #s.matrices do
      for j = 1, s.times do matrices[#matrices + 1] = x[("%d.%d"):format(i, j)] end
    end
    -- The definition is taken in its inputs' float64.
    if matrices[1].dtype == "float64" then dtype = "float64" end
    return table.unpack(operator(matrices, COEFFICIENTS, { dtype = dtype }))
  end,
  work = iteration_work,
  -- Small singular values move by more than a rounding, those of square matrices most; none is square in the parity.
  bounds = { bfloat16 = { output = 5e-2 }, float32 = { output = 1e-4 } },
  dtypes = { float32 = true, bfloat16 = true },
  shapes = {
    device = {
      { label = "golf baseline", count = 54, times = 9,
        matrices = { { 512, 512 }, { 256, 512 }, { 256, 512 }, { 512, 512 }, { 1024, 512 }, { 512, 1024 } } },
      { label = "music 300M", count = 88, times = 22,
        matrices = { { 1024, 1024 }, { 1024, 1024 }, { 1024, 2816 }, { 2816, 1024 } } },
    },
    small = {
      { label = "golf, one layer", count = 3, times = 1, matrices = { { 512, 512 }, { 256, 512 }, { 1024, 512 } } },
    },
    tiny = { { label = "tiny", count = 2, times = 1, matrices = { { 12, 9 }, { 9, 16 } } } },
  },
  parity = {
    small = { { label = "odd", count = 3, times = 1, matrices = { { 33, 20 }, { 20, 33 }, { 17, 29 } } } },
    full = { { label = "golf", count = 6, times = 2, matrices = { { 448, 336 }, { 8, 448 }, { 448, 896 } } } },
  },
}

local all = { linears, newton_schulz }
for _, list in ipairs { attention, losses } do table.move(list, 1, #list, #all + 1, all) end
return all
