-- Attention layers as Gamut runs them, forward and backward and one token at a time; attention.py has the same cases.
local gamut = require "gamut"
local nn = gamut.nn

local MODELS = {
  speech = { d_model = 384, n_heads = 6, n_kv_heads = 2, qk_norm = "rms", rope = "interleaved", rope_base = 500000.0 },
  golf = {
    d_model = 448, n_heads = 8, n_kv_heads = 4, qk_norm = "rms_weightless", qk_norm_eps = 1.1920929e-7, q_gain = 1.5,
    rope_reverse = true,
  },
}

local function layer(a)
  local options = { window = a.window or 0 }
  for name, value in pairs(MODELS[a.model]) do options[name] = value end
  return nn.mixer("attention", options):to { dtype = a.dtype or "float32" }
end

local cases = {}

-- `document`: the length of packed documents, 0 for none.
function cases.attention(a)
  local mixer = layer(a)
  local shape = { a.B, a.T, mixer.options.d_model }
  local x = gamut.randn(shape):to { dtype = a.dtype or "float32" }:requires_grad_()
  local gradient = gamut.randn(shape):to { dtype = x.dtype }
  local context = nil
  if a.document and a.document > 0 then
    context = { cu_seqlens = gamut.arange(0, a.B * a.T + 1, a.document) }
  end
  return function()
    x.grad = nil
    mixer:zero_grad()
    mixer(x, context):backward(gradient)
  end
end

-- One token after T others.
function cases.attention_decode(a)
  local mixer = layer(a)
  local state = mixer:new_state(a.B)
  local read = function(steps)
    local x = gamut.randn({ a.B, steps, mixer.options.d_model }):to { dtype = a.dtype or "float32" }
    return function() gamut.no_grad(function() mixer(x, { state = state }) end) end
  end
  read(a.T)()
  return read(1)
end

return cases
