-- memory_cache around gdn, forward and backward, beside the bare mixer; one side only.
local gamut = require "gamut"
local nn = gamut.nn

local WIDTH = 384
local INNER = { n_heads = 6, head_dim = 64 }

local VARIANTS = {
  residual = { aggregation = "residual" },
  query = { aggregation = "gated_residual", score = "query" },
  gated = { aggregation = "gated_residual" },
  soup = { aggregation = "soup" },
  sparse = { aggregation = "sparse", top_k = 2 },
  logarithmic = { aggregation = "gated_residual", segments = "logarithmic" },
}

local function layer(variant)
  if variant == "bare" then
    local options = { d_model = WIDTH }
    for name, value in pairs(INNER) do options[name] = value end
    return nn.mixer("gdn", options)
  end
  local options = { d_model = WIDTH, mixer = "gdn", mixer_options = INNER, segment_size = 256 }
  for name, value in pairs(VARIANTS[variant]) do options[name] = value end
  return nn.mixer("memory_cache", options)
end

local cases = {}

function cases.memory_cache(a)
  local mixer = layer(a.variant)
  local x = gamut.randn({ 1, a.T, WIDTH }):requires_grad_()
  local gradient = gamut.randn(x.shape)
  return function()
    x.grad = nil
    mixer:zero_grad()
    mixer(x):backward(gradient)
  end
end

return cases
