-- The gated delta rule: at the studies' head sizes, and at those that others have published times for.
local ops = require("gamut").ops.gamut

local CHUNK = 64 -- of the count of products

-- Keys of length one, gates of a layer at its start: g in (-1.6, 0), beta in (0, 2).
local function inputs(s, draw)
  local HV = s.HV or s.H
  local made = {
    { "q", draw:unit { s.B, s.T, s.H, s.K }, "data" }, { "k", draw:unit { s.B, s.T, s.H, s.K }, "data" },
    { "v", draw:normal { s.B, s.T, HV, s.V }, "data" },
    { "g", draw:uniform({ s.B, s.T, HV }, -(s.gate or 1.6), 0), "gate" },
    { "beta", draw:uniform({ s.B, s.T, HV }, 0, 2), "gate" },
  }
  if s.zero_gates then made[4][2]:mul_(draw:uniform({ s.B, s.T, HV }, 0, 1):lt(0.5):float()) end
  if s.state then
    made[#made + 1] = { "initial_state", draw:normal { s.documents or s.B, HV, s.K, s.V }:mul_(0.1), "state" }
  end
  return made
end

local function call(operator, x, s)
  return operator(x.q, x.k, x.v, x.g, x.beta, {
    initial_state = x.initial_state, cu_seqlens = s.cu_seqlens, chunk_size = s.chunk_size or 0,
  })
end

-- Products of the chunked rule with the late solve: 6 K V + 4 C (K + V) a step and head; forward and backward 3.5
-- times that, the forward being computed again.
local function work(s, size)
  local HV, steps = s.HV or s.H, s.B * s.T
  local flop = steps * HV * (6 * s.K * s.V + 4 * CHUNK * (s.K + s.V))
  local rows, gates = 2 * s.H * s.K * size, 2 * HV * 4 -- q and k, g and beta
  local states = s.state and 2 * 4 * (s.documents or s.B) * HV * s.K * s.V or 0
  local forward = { flop = flop, bytes = steps * (rows + gates + 2 * HV * s.V * size) + states, exps = steps * HV }
  if s.T == 1 and s.inference then
    forward.flop = 6 * s.B * HV * s.K * s.V -- the recurrence itself
    return { forward = forward }
  end
  return {
    forward = forward,
    training = {
      flop = 3.5 * flop, bytes = steps * (3 * rows + 3 * gates + 5 * HV * s.V * size), exps = 3 * steps * HV,
    },
  }
end

local function heads(B, T, H, HV, width)
  local label = H == HV and ("%d heads of %d"):format(H, width) or ("%d/%d heads of %d"):format(H, HV, width)
  return { label = label, B = B, T = T, H = H, HV = HV, K = width, V = width }
end

local DEVICE = {
  { label = "golf hybrid 8k", B = 6, T = 8192, H = 8, K = 42, V = 84 },
  { label = "golf hybrid 16k", B = 3, T = 16384, H = 8, K = 42, V = 84 },
  { label = "golf hybrid 32k", B = 2, T = 32768, H = 8, K = 42, V = 84 },
  { label = "speech 21.9M", B = 16, T = 1024, H = 6, K = 48, V = 96 },
  { label = "music 300M", B = 4, T = 2048, H = 16, K = 64, V = 64 },
  heads(1, 2048, 16, 16, 128), heads(1, 8192, 16, 16, 128), heads(1, 32768, 16, 16, 128), heads(4, 2048, 16, 16, 128),
  heads(1, 8192, 32, 32, 128), heads(4, 8192, 32, 32, 128), heads(1, 8192, 16, 64, 128),
  heads(1, 8192, 8, 16, 128), heads(1, 32768, 8, 16, 128), heads(1, 8192, 16, 32, 128), heads(1, 32768, 16, 32, 128),
  heads(1, 32768, 2, 4, 128),
  heads(1, 2048, 2, 8, 128), heads(1, 8192, 2, 8, 128), heads(1, 32768, 2, 8, 128), heads(1, 65536, 2, 8, 128),
}

-- One step of generation, the state carried.
local function decode(B, H, HV, K, V)
  return { label = "decode", B = B, T = 1, H = H, HV = HV, K = K, V = V, state = true, inference = true }
end
for _, batch in ipairs { 1, 64 } do DEVICE[#DEVICE + 1] = decode(batch, 8, 8, 42, 84) end
DEVICE[#DEVICE + 1] = decode(64, 16, 32, 128, 128)

-- Contexts at 32,768 tokens and the golf study's heads: beside `sdpa` the context where the two take the same time.
for _, T in ipairs { 1024, 2048, 4096, 8192, 16384, 32768 } do
  DEVICE[#DEVICE + 1] = { label = "crossing", B = 32768 // T, T = T, H = 8, K = 42, V = 84 }
end

return {
  {
    name = "gated_delta_rule", operator = ops.gated_delta_rule, reference = ops.gated_delta_rule_reference,
    sizes = { "B", "T", "H", "HV", "K", "V" }, inputs = inputs, call = call, work = work,
    shapes = {
      device = DEVICE,
      small = {
        { label = "golf hybrid", B = 1, T = 2048, H = 8, K = 42, V = 84 },
        { label = "speech 21.9M", B = 1, T = 1024, H = 6, K = 48, V = 96 },
        { label = "music 300M", B = 1, T = 1024, H = 16, K = 64, V = 64 },
        heads(1, 1024, 2, 4, 128), decode(1, 8, 8, 42, 84),
      },
      tiny = { { label = "tiny", B = 1, T = 70, H = 2, HV = 4, K = 12, V = 20 } },
    },
    parity = {
      small = {
        { label = "golf heads", B = 1, T = 67, H = 2, K = 42, V = 84 },
        { label = "odd heads, state", B = 2, T = 33, H = 1, HV = 2, K = 7, V = 9, state = true },
        { label = "documents", B = 1, T = 90, H = 1, K = 16, V = 24, state = true, documents = 3,
          lengths = { 1, 64, 25 } },
      },
      full = {
        { label = "golf heads", B = 2, T = 333, H = 2, K = 42, V = 84 },
        { label = "speech heads", B = 1, T = 256, H = 2, K = 48, V = 96, state = true },
        { label = "music heads", B = 2, T = 250, H = 2, K = 64, V = 64, zero_gates = true },
        { label = "128, grouped values", B = 1, T = 131, H = 1, HV = 4, K = 128, V = 128, state = true },
        { label = "256", B = 1, T = 129, H = 1, K = 256, V = 256 },
        { label = "60 and 100", B = 2, T = 75, H = 2, K = 60, V = 100 },
        { label = "weak decay", B = 1, T = 500, H = 1, K = 64, V = 64, gate = 0.01 },
        { label = "strong decay", B = 1, T = 200, H = 2, K = 64, V = 64, gate = 10.0 },
        { label = "one step", B = 3, T = 1, H = 2, K = 42, V = 84, state = true },
        { label = "documents", B = 1, T = 420, H = 2, K = 42, V = 84, state = true, documents = 5,
          lengths = { 15, 85, 64, 255, 1 } },
      },
    },
  },
}
