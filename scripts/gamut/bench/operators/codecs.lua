-- Layers of audio codecs, for inference: the convolution with its activation, and the LSTM.
local ops = require("gamut").ops.gamut

-- ---- Convolution: snake, then the sum over taps and channels ----

local function conv_inputs(s, draw)
  return {
    { "x", draw:normal { s.B, s.T, s.C }, "constant" },
    { "packed", ops.conv1d_pack(draw:normal { s.N, s.C, s.W }:mul_((s.C * s.W) ^ -0.5):cpu()), "packed" },
    { "bias", draw:normal { s.N }, "constant" }, { "alpha", draw:uniform({ s.C }, 0.5, 2), "constant" },
  }
end

local function conv_call(operator, x, s)
  return operator(x.x, x.packed, x.bias, {
    outputs = s.N, dilation = s.dilation, left = (s.W - 1) * s.dilation, activation = "snake", alpha = x.alpha,
  })
end

local function conv_work(s)
  local steps = s.B * s.T
  return { forward = { flop = 2 * steps * s.N * s.C * s.W, bytes = 4 * (steps * (s.C + s.N) + s.N * s.C * s.W) } }
end

-- ---- LSTM ----

local function lstm_inputs(s, draw)
  local function weights(width) return draw:uniform({ 4 * s.H, width }, -1, 1):mul_(s.H ^ -0.5):cpu() end
  local bias = draw:normal { 4 * s.H }:mul_(0.1):cpu()
  local made = { { "x", draw:normal { s.B, s.T, s.H }, "constant" } }
  for i, packed in ipairs(ops.lstm_pack(weights(s.H), weights(s.H), bias, bias)) do
    made[#made + 1] = { "packed" .. i, packed, "packed" }
  end
  return made
end

local function lstm_call(operator, x)
  local packed, i = {}, 1
  while x["packed" .. i] do packed[i], i = x["packed" .. i], i + 1 end
  return operator(x.x, packed)
end

local function lstm_work(s)
  return { forward = { flop = s.B * s.T * 16 * s.H * s.H, bytes = 4 * (s.B * s.T * 2 * s.H + 8 * s.H * s.H) } }
end

local FLOAT32 = { float32 = true }

return {
  {
    name = "conv1d", operator = ops.conv1d, reference = ops.conv1d_reference, dtypes = FLOAT32,
    sizes = { "B", "T", "C", "N", "W" }, inputs = conv_inputs, call = conv_call, work = conv_work,
    gpu_bounds = { float32 = { output = 2e-3 } }, -- LibTorch's convolution takes products in TF32 there
    shapes = {
      device = { { label = "dac 44.1 kHz", B = 1, T = 44100, C = 64, N = 64, W = 7, dilation = 9 } },
      small = { { label = "dac 44.1 kHz", B = 1, T = 11025, C = 64, N = 64, W = 7, dilation = 9 } },
      tiny = { { label = "tiny", B = 1, T = 30, C = 5, N = 7, W = 3, dilation = 2 } },
    },
    parity = {
      small = { { label = "odd", B = 2, T = 41, C = 5, N = 19, W = 3, dilation = 2 } },
      full = { { label = "dac", B = 1, T = 500, C = 64, N = 64, W = 7, dilation = 9 } },
    },
  },
  {
    name = "lstm", operator = ops.lstm, reference = ops.lstm_reference, dtypes = FLOAT32, sizes = { "B", "T", "H" },
    inputs = lstm_inputs, call = lstm_call, work = lstm_work,
    shapes = {
      device = { { label = "encodec", B = 4, T = 300, H = 512 } },
      small = { { label = "encodec", B = 1, T = 75, H = 512 } }, tiny = { { label = "tiny", B = 1, T = 5, H = 16 } },
    },
    parity = {
      small = { { label = "odd", B = 2, T = 9, H = 16 } }, full = { { label = "128", B = 3, T = 75, H = 128 } },
    },
  },
}
