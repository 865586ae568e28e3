-- The operators, forward and backward, as Gamut runs them. Each case makes its inputs and returns a
-- function that runs it once; operators.py has the same cases.
local gamut = require "gamut"

local ops = gamut.ops.gamut
local cases = {}

local function leaf(...) return gamut.randn({ ... }, { requires_grad = true }) end

-- One forward and backward: `run` returns the output, `gradient` is shaped like it.
local function trained(inputs, gradient, run)
  return function()
    for _, input in ipairs(inputs) do input.grad = nil end
    run():backward(gradient)
  end
end

local function unit(x) return x / x:norm(2, -1, true) end
local function requiring(x) return x:detach():requires_grad_() end

local function delta_inputs(a)
  local B, T, H, K, V = a.B, a.T, a.H, a.K, a.V
  return requiring(unit(gamut.randn { B, T, H, K })), requiring(unit(gamut.randn { B, T, H, K })), leaf(B, T, H, V),
    requiring(-gamut.rand { B, T, H }), requiring(gamut.rand { B, T, H })
end

function cases.delta_rule(a)
  local q, k, v, g, beta = delta_inputs(a)
  local gradient = gamut.randn { a.B, a.T, a.H, a.V }
  local run = ops.gated_delta_rule
  return trained({ q, k, v, g, beta }, gradient, function() return (run(q, k, v, g, beta)) end)
end

-- One token at a time, the state carried.
function cases.delta_rule_decode(a)
  local q, k, v, g, beta = delta_inputs { B = a.B, T = 1, H = a.H, K = a.K, V = a.V }
  local state = gamut.zeros { a.B, a.H, a.K, a.V }
  local run, options = ops.gated_delta_rule, { initial_state = state }
  return function()
    gamut.no_grad(function() state:copy_(select(2, run(q, k, v, g, beta, options))) end)
  end
end

function cases.selective_scan(a)
  local u, delta = leaf(a.B, a.T, a.E), leaf(a.B, a.T, a.E)
  local A = requiring(-gamut.rand { a.E, a.N } - 0.5)
  local B, C, D = leaf(a.B, a.T, a.N), leaf(a.B, a.T, a.N), leaf(a.E)
  local z, bias = leaf(a.B, a.T, a.E), leaf(a.E)
  local gradient = gamut.randn { a.B, a.T, a.E }
  local run, options = ops.selective_scan, { D = D, z = z, delta_bias = bias, delta_softplus = true }
  return trained({ u, delta, A, B, C, D, z, bias }, gradient, function() return (run(u, delta, A, B, C, options)) end)
end

function cases.ssd(a)
  local x, dt = leaf(a.B, a.T, a.H, a.P), leaf(a.B, a.T, a.H)
  local A = requiring(-gamut.rand { a.H } - 0.5)
  local B, C, D, bias = leaf(a.B, a.T, 1, a.N), leaf(a.B, a.T, 1, a.N), leaf(a.H), leaf(a.H)
  local gradient = gamut.randn { a.B, a.T, a.H, a.P }
  local run, options = ops.ssd, { D = D, dt_bias = bias, dt_softplus = true }
  local function forward() return (run(x, dt, A, B, C, options)) end
  if a.backward == 0 then return function() gamut.no_grad(forward) end end
  return trained({ x, dt, A, B, C, D, bias }, gradient, forward)
end

function cases.causal_conv(a)
  local x, weight = leaf(a.B, a.T, a.C), leaf(a.C, 4)
  local gradient = gamut.randn { a.B, a.T, a.C }
  local run, options = ops.causal_conv1d, { activation = "silu" }
  return trained({ x, weight }, gradient, function() return (run(x, weight, nil, options)) end)
end

function cases.gated_norm(a)
  local x, gate, weight = leaf(a.B, a.T, a.H, a.D), leaf(a.B, a.T, a.H, a.D), leaf(a.D)
  local gradient = gamut.randn { a.B, a.T, a.H, a.D }
  local run, options = ops.rms_norm, { gate = gate }
  return trained({ x, gate, weight }, gradient, function() return run(x, weight, 1e-5, options) end)
end

-- Causal attention; steps before heads.
function cases.sdpa(a)
  local function made(heads) return gamut.randn({ a.B, a.T, heads, a.D }):to { dtype = a.dtype }:requires_grad_() end
  local q, k, v = made(a.H), made(a.K), made(a.K)
  local gradient = gamut.randn({ a.B, a.T, a.H, a.D }):to { dtype = a.dtype }
  return trained({ q, k, v }, gradient, function() return ops.attention(q, k, v) end)
end

-- A layer of an audio codec: snake, then the convolution.
function cases.codec_conv(a)
  local weight = gamut.randn { a.N, a.C, a.K } / math.sqrt(a.C * a.K)
  local x, packed, bias = gamut.randn { 1, a.T, a.C }, ops.conv1d_pack(weight), gamut.randn { a.N }
  local padding = (a.K - 1) * a.d - a.s + 1
  local options = {
    outputs = a.N, stride = a.s, dilation = a.d, left = padding // 2, right = padding - padding // 2,
    activation = "snake", alpha = gamut.rand { a.C } + 0.1,
  }
  return function() ops.conv1d(x, packed, bias, options) end
end

-- The same for a transposed convolution of 2 s taps.
function cases.codec_conv_transpose(a)
  local weight = gamut.randn { a.C, a.N, 2 * a.s } / math.sqrt(2 * a.C)
  local packed, bias = ops.conv_transpose1d_pack(weight, a.s), gamut.randn { a.s * a.N }
  local x = gamut.randn { 1, a.T, a.C }
  local options =
    { outputs = a.s * a.N, left = 1, right = 1, activation = "snake", alpha = gamut.rand { a.C } + 0.1 }
  return function() ops.conv1d(x, packed, bias, options) end
end

function cases.lstm(a)
  local weights = {}
  for _ = 1, a.layers do
    for _, t in ipairs(ops.lstm_pack(gamut.randn { 4 * a.H, a.H } * 0.04, gamut.randn { 4 * a.H, a.H } * 0.04)) do
      weights[#weights + 1] = t
    end
  end
  local x = gamut.randn { a.B, a.T, a.H }
  return function() ops.lstm(x, weights) end
end

return cases
