-- Operators on rows: norms, rotary positions, activations, the short convolution. Bytes are their floor.
local ops = require("gamut").ops.gamut

-- The floor of what reads `reads` and writes `writes` tensors of `elements`, forward and in training.
local function bytes(elements, size, forward, training, exps)
  return {
    forward = { bytes = forward * elements * size, exps = exps },
    training = { bytes = training * elements * size, exps = exps and 2 * exps },
  }
end

-- ---- Norms ----

local function norm_inputs(s, draw)
  return { { "x", draw:normal { s.R, s.D }, "data" }, { "weight", draw:normal { s.D }, "parameter" } }
end
local function gated_inputs(s, draw)
  local made = norm_inputs(s, draw)
  made[3] = { "gate", draw:normal { s.R, s.D }, "data" }
  return made
end
local function l2_inputs(s, draw) return { { "x", draw:normal { s.R, s.D }, "data" } } end

local norms = {
  {
    name = "rms_norm", operator = ops.rms_norm, reference = ops.rms_norm_reference, sizes = { "R", "D" },
    inputs = norm_inputs, call = function(operator, x) return operator(x.x, x.weight, 1e-5) end,
    work = function(s, size) return bytes(s.R * s.D, size, 2, 5) end,
    shapes = {
      device = { { label = "golf stream", R = 49152, D = 448 }, { label = "music stream", R = 8192, D = 1024 } },
      small = { { label = "golf stream", R = 4096, D = 448 } }, tiny = { { label = "tiny", R = 9, D = 13 } },
    },
    parity = {
      small = { { label = "odd", R = 17, D = 45 } },
      full = {
        { label = "448", R = 1003, D = 448 }, { label = "odd", R = 77, D = 1023 }, { label = "wide", R = 5, D = 8192 },
      },
    },
  },
  {
    name = "rms_norm_gated", operator = ops.rms_norm, reference = ops.rms_norm_reference, sizes = { "R", "D" },
    inputs = gated_inputs,
    call = function(operator, x, s)
      return operator(x.x, x.weight, 1e-5, { gate = x.gate, gate_first = s.gate_first or false, group_size = s.group })
    end,
    work = function(s, size) return bytes(s.R * s.D, size, 3, 8, s.R * s.D) end,
    shapes = {
      device = { { label = "golf heads", R = 49152 * 8, D = 84 }, { label = "music heads", R = 8192 * 16, D = 64 } },
      small = { { label = "golf heads", R = 4096 * 8, D = 84 } }, tiny = { { label = "tiny", R = 9, D = 13 } },
    },
    parity = {
      small = { { label = "odd", R = 17, D = 45 } },
      full = {
        { label = "84", R = 2003, D = 84 },
        { label = "gate first, groups", R = 301, D = 512, gate_first = true, group = 128 },
      },
    },
  },
  {
    name = "l2_norm", operator = ops.l2_norm, reference = ops.l2_norm_reference, sizes = { "R", "D" },
    inputs = l2_inputs, call = function(operator, x, s) return operator(x.x, 1e-6, { clamp = s.clamp or false }) end,
    work = function(s, size) return bytes(s.R * s.D, size, 2, 5) end,
    shapes = {
      device = { { label = "golf keys", R = 49152 * 8, D = 42 } },
      small = { { label = "golf keys", R = 4096 * 8, D = 42 } }, tiny = { { label = "tiny", R = 9, D = 13 } },
    },
    parity = {
      small = { { label = "odd", R = 17, D = 42 } },
      full = { { label = "42", R = 2003, D = 42 }, { label = "clamp", R = 515, D = 64, clamp = true } },
    },
  },
}

-- ---- Rotary positions, with the norm of queries and keys ----

local function rope_inputs(s, draw)
  local angles = draw:uniform({ s.T, s.D // 2 }, 0, 6.28)
  local made = {
    { "x", draw:normal { s.B, s.T, s.H, s.D }, "data" }, { "cos", angles:cos(), "constant" },
    { "sin", angles:sin(), "constant" }, { "gain", draw:uniform({ s.H }, 0.5, 2), "parameter" },
  }
  if s.weight then made[#made + 1] = { "weight", draw:normal { s.D }, "parameter" } end
  return made
end

local rope = {
  name = "rope", operator = ops.rope, reference = ops.rope_reference, sizes = { "B", "T", "H", "D" },
  inputs = rope_inputs,
  call = function(operator, x, s)
    return operator(x.x, x.cos, x.sin, {
      eps = 1e-5, gain = x.gain, weight = x.weight, interleaved = s.interleaved or false,
    })
  end,
  work = function(s, size) return bytes(s.B * s.T * s.H * s.D, size, 2, 5) end,
  shapes = {
    device = { { label = "golf queries", B = 6, T = 8192, H = 8, D = 64 } },
    small = { { label = "golf queries", B = 1, T = 4096, H = 8, D = 64 } },
    tiny = { { label = "tiny", B = 1, T = 9, H = 2, D = 10 } },
  },
  parity = {
    small = { { label = "halves", B = 2, T = 17, H = 3, D = 14 } },
    full = {
      { label = "halves", B = 2, T = 300, H = 8, D = 64 },
      { label = "pairs, weight", B = 1, T = 257, H = 3, D = 56, interleaved = true, weight = true },
    },
  },
}

-- ---- Activations ----

local function activation(name, operator, reference, inputs, call, forward, training, exps)
  return {
    name = name, operator = operator, reference = reference, sizes = { "R", "D" }, inputs = inputs, call = call,
    work = function(s, size) return bytes(s.R * s.D, size, forward, training, exps and s.R * s.D) end,
    shapes = {
      device = { { label = "golf MLP", R = 49152, D = 1024 } }, small = { { label = "golf MLP", R = 2048, D = 1024 } },
      tiny = { { label = "tiny", R = 9, D = 13 } },
    },
    parity = { small = { { label = "odd", R = 17, D = 45 } }, full = { { label = "1023", R = 1003, D = 1023 } } },
  }
end

local activations = {
  activation("swiglu", ops.swiglu, ops.swiglu_reference, function(s, draw)
    return { { "gate", draw:normal { s.R, s.D }, "data" }, { "up", draw:normal { s.R, s.D }, "data" } }
  end, function(operator, x) return operator(x.gate, x.up) end, 3, 8, true),
  activation("relu_squared", ops.relu_squared, ops.relu_squared_reference, function(s, draw)
    return { { "x", draw:normal { s.R, s.D }, "data" } }
  end, function(operator, x) return operator(x.x) end, 2, 5),
}

-- ---- Weighted sums of residual streams ----

local scaled_sum = {
  name = "scaled_sum", operator = ops.scaled_sum, reference = ops.scaled_sum_reference, sizes = { "R", "D" },
  inputs = function(s, draw)
    local made = {
      { "x", draw:normal { s.R, s.D }, "data" }, { "y", draw:normal { s.R, s.D }, "data" },
      { "b", draw:normal { s.D }, "parameter" },
    }
    if s.both then made[#made + 1] = { "a", draw:normal { s.D }, "parameter" } end
    return made
  end,
  call = function(operator, x) return operator(x.x, x.y, x.a, x.b) end,
  work = function(s, size) return bytes(s.R * s.D, size, 3, 8) end,
  shapes = {
    device = { { label = "golf residual mix", R = 49152, D = 512, both = true } },
    small = { { label = "golf residual mix", R = 2048, D = 512, both = true } },
    tiny = { { label = "tiny", R = 9, D = 13 } },
  },
  parity = {
    small = { { label = "odd", R = 17, D = 45, both = true } },
    full = { { label = "one weight", R = 1003, D = 511 }, { label = "both", R = 1024, D = 512, both = true } },
  },
}

-- ---- The short convolution ----

local function conv_inputs(s, draw)
  local made = {
    { "x", draw:normal { s.B, s.T, s.C }, "data" }, { "weight", draw:normal { s.C, s.W or 4 }:mul_(0.5), "parameter" },
  }
  if s.bias then made[#made + 1] = { "bias", draw:normal { s.C }, "parameter" } end
  if s.state then
    made[#made + 1] = { "initial_state", draw:normal { s.documents or s.B, (s.W or 4) - 1, s.C }, "state" }
  end
  return made
end

local conv = {
  name = "causal_conv1d", operator = ops.causal_conv1d, reference = ops.causal_conv1d_reference,
  sizes = { "B", "T", "C" }, inputs = conv_inputs,
  call = function(operator, x, s)
    return operator(x.x, x.weight, x.bias, {
      activation = "silu", initial_state = x.initial_state, cu_seqlens = s.cu_seqlens,
    })
  end,
  work = function(s, size) return bytes(s.B * s.T * s.C, size, 2, 5, s.B * s.T * s.C) end,
  shapes = {
    device = {
      { label = "golf q, k, v", B = 6, T = 8192, C = 2 * 336 + 672 },
      { label = "Mamba-2, 768", B = 8, T = 2048, C = 1792 },
    },
    small = { { label = "golf q, k, v", B = 1, T = 2048, C = 2 * 336 + 672 } },
    tiny = { { label = "tiny", B = 1, T = 9, C = 13 } },
  },
  parity = {
    small = {
      { label = "odd, state", B = 2, T = 19, C = 21, state = true, bias = true },
      { label = "documents", B = 1, T = 40, C = 24, documents = 3, lengths = { 1, 2, 37 } },
    },
    full = {
      { label = "336", B = 2, T = 515, C = 336 },
      { label = "odd, state", B = 2, T = 75, C = 333, state = true, bias = true },
      { label = "kernel 3", B = 1, T = 100, C = 64, W = 3, bias = true },
      { label = "documents", B = 1, T = 700, C = 96, documents = 4, lengths = { 1, 2, 600, 97 }, state = true },
    },
  },
}

-- ---- The same with heads of length one, as queries and keys have them ----

local function conv_norm_options(x, s)
  return {
    head_dim = s.head_dim, eps = 1e-6, clamp = false, activation = "silu", initial_state = x.initial_state,
    cu_seqlens = s.cu_seqlens,
  }
end

local function conv_norm_reference(x, weight, bias, options)
  local y, state = ops.causal_conv1d_reference(x, weight, bias, {
    activation = options.activation, initial_state = options.initial_state, cu_seqlens = options.cu_seqlens,
  })
  local heads = y:reshape { y.shape[1], y.shape[2], -1, options.head_dim }
  return ops.l2_norm_reference(heads, options.eps, { clamp = options.clamp }):reshape(y.shape), state
end

local conv_norm = {
  name = "causal_conv1d_l2_norm", operator = ops.causal_conv1d_l2_norm, reference = conv_norm_reference,
  sizes = { "B", "T", "C", "head_dim" }, inputs = conv_inputs, work = conv.work,
  call = function(operator, x, s) return operator(x.x, x.weight, x.bias, conv_norm_options(x, s)) end,
  shapes = {
    device = { { label = "golf q and k", B = 6, T = 8192, C = 2 * 336, head_dim = 42 } },
    small = { { label = "golf q and k", B = 1, T = 2048, C = 2 * 336, head_dim = 42 } },
    tiny = { { label = "tiny", B = 1, T = 9, C = 12, head_dim = 6 } },
  },
  parity = {
    small = { { label = "odd, state", B = 2, T = 19, C = 42, head_dim = 14, state = true } },
    full = {
      { label = "golf heads", B = 2, T = 255, C = 336, head_dim = 42 },
      { label = "odd, state", B = 2, T = 75, C = 333, head_dim = 37, state = true, bias = true },
      { label = "documents", B = 1, T = 300, C = 96, head_dim = 48, documents = 4, lengths = { 1, 2, 200, 97 } },
    },
  },
}

local all = { rope, scaled_sum, conv, conv_norm }
for _, list in ipairs { norms, activations } do table.move(list, 1, #list, #all + 1, all) end
return all
