-- Mamba's recurrences: the second's (SSD), which is products by chunks, and the first's selective scan.
local ops = require("gamut").ops.gamut

local CHUNK = 64 -- of the count of products

local function ssd_inputs(s, draw)
  local made = {
    { "x", draw:normal { s.B, s.T, s.H, s.P }, "data" }, { "dt", draw:normal { s.B, s.T, s.H }:sub_(2), "gate" },
    { "A", draw:uniform({ s.H }, -(s.gate or 4.0), -0.05), "gate" },
    { "B", draw:normal { s.B, s.T, s.G, s.N }:mul_(s.N ^ -0.5), "data" },
    { "C", draw:normal { s.B, s.T, s.G, s.N }, "data" },
    { "D", draw:normal { s.H }, "parameter" }, { "dt_bias", draw:normal { s.H }:mul_(0.1), "gate" },
  }
  if s.state then made[#made + 1] = { "initial_state", draw:normal { s.documents or s.B, s.H, s.P, s.N }, "state" } end
  return made
end

local function ssd_call(operator, x, s)
  return operator(x.x, x.dt, x.A, x.B, x.C, {
    D = x.D, dt_bias = x.dt_bias, dt_softplus = true, initial_state = x.initial_state, cu_seqlens = s.cu_seqlens,
  })
end

-- 4 P N + 2 C P a step and head, 2 C N a step and group; forward and backward 3.5 times that.
local function ssd_work(s, size)
  local steps = s.B * s.T
  local flop = steps * (s.H * (4 * s.P * s.N + 2 * CHUNK * s.P) + 2 * CHUNK * s.N * s.G)
  local x, others = s.H * s.P * size, 2 * s.G * s.N * size + 4 * s.H
  return {
    forward = { flop = flop, bytes = steps * (2 * x + others), exps = steps * s.H },
    training = { flop = 3.5 * flop, bytes = steps * (5 * x + 3 * others), exps = 3 * steps * s.H },
  }
end

local function scan_inputs(s, draw)
  local made = {
    { "u", draw:normal { s.B, s.T, s.E }, "data" }, { "delta", draw:normal { s.B, s.T, s.E }:sub_(2), "data" },
    { "A", draw:uniform({ s.E, s.N }, -4.0, -0.5), "gate" },
    { "B", draw:normal { s.B, s.T, s.N }, "data" }, { "C", draw:normal { s.B, s.T, s.N }, "data" },
    { "D", draw:normal { s.E }, "parameter" }, { "z", draw:normal { s.B, s.T, s.E }, "data" },
    { "delta_bias", draw:normal { s.E }:mul_(0.1), "gate" },
  }
  if s.state then made[#made + 1] = { "initial_state", draw:normal { s.documents or s.B, s.E, s.N }, "state" } end
  return made
end

local function scan_call(operator, x, s)
  return operator(x.u, x.delta, x.A, x.B, x.C, {
    D = x.D, z = x.z, delta_bias = x.delta_bias, delta_softplus = true, initial_state = x.initial_state,
    cu_seqlens = s.cu_seqlens,
  })
end

-- Forward reads u, delta and z and writes y; backward reads them and dy and writes three gradients.
local function scan_work(s, size)
  local rows, exps = s.B * s.T * s.E * size, s.B * s.T * s.E * s.N
  return { forward = { bytes = 4 * rows, exps = exps }, training = { bytes = 11 * rows, exps = 2 * exps } }
end

return {
  {
    name = "ssd", operator = ops.ssd, reference = ops.ssd_reference, sizes = { "B", "T", "H", "P", "N", "G" },
    inputs = ssd_inputs, call = ssd_call, work = ssd_work,
    shapes = {
      device = {
        { label = "d_model 768", B = 8, T = 2048, H = 24, P = 64, N = 128, G = 1 },
        { label = "d_model 2048", B = 1, T = 8192, H = 64, P = 64, N = 128, G = 1 },
        { label = "one long row", B = 1, T = 32768, H = 16, P = 64, N = 64, G = 1 },
      },
      small = { { label = "d_model 768", B = 1, T = 1024, H = 24, P = 64, N = 128, G = 1 } },
      tiny = { { label = "tiny", B = 1, T = 70, H = 2, P = 8, N = 12, G = 1 } },
    },
    parity = {
      small = {
        { label = "odd", B = 2, T = 67, H = 2, P = 10, N = 14, G = 1, state = true },
        { label = "documents", B = 1, T = 90, H = 2, P = 8, N = 8, G = 2, documents = 3, lengths = { 1, 64, 25 } },
      },
      full = {
        { label = "64 and 128", B = 1, T = 300, H = 4, P = 64, N = 128, G = 1, state = true },
        { label = "groups", B = 2, T = 200, H = 4, P = 64, N = 64, G = 2 },
        { label = "odd", B = 2, T = 75, H = 3, P = 37, N = 51, G = 1 },
        { label = "strong decay", B = 1, T = 150, H = 2, P = 64, N = 64, G = 1, gate = 100.0 },
        { label = "documents", B = 1, T = 420, H = 2, P = 64, N = 64, G = 1, documents = 4, state = true,
          lengths = { 15, 205, 199, 1 } },
      },
    },
  },
  {
    name = "selective_scan", operator = ops.selective_scan, reference = ops.selective_scan_reference,
    sizes = { "B", "T", "E", "N" }, inputs = scan_inputs, call = scan_call, work = scan_work,
    shapes = {
      device = {
        { label = "16 states", B = 4, T = 2048, E = 1536, N = 16 },
        { label = "music study", B = 4, T = 2048, E = 1536, N = 64 },
      },
      small = { { label = "16 states", B = 1, T = 512, E = 1536, N = 16 } },
      tiny = { { label = "tiny", B = 1, T = 40, E = 24, N = 5 } },
    },
    parity = {
      small = { { label = "odd", B = 2, T = 43, E = 21, N = 5, state = true } },
      full = {
        { label = "16 states", B = 2, T = 200, E = 100, N = 16 },
        { label = "64 states", B = 1, T = 133, E = 65, N = 64, state = true },
        { label = "documents", B = 1, T = 300, E = 40, N = 16, documents = 3, lengths = { 1, 200, 99 } },
      },
    },
  },
}
