-- A Muon step of the golf baseline: four attention and two feed-forward matrices in each of 9 layers.
local gamut = require "gamut"

local SHAPES = { { 512, 512 }, { 256, 512 }, { 256, 512 }, { 512, 512 }, { 1024, 512 }, { 512, 1024 } }

local function muon_step()
  local matrices = {}
  for layer = 1, 9 do
    for position, shape in ipairs(SHAPES) do
      local matrix = gamut.randn(shape):mul_(0.02):requires_grad_()
      matrix.grad = gamut.randn(shape)
      matrices[#matrices + 1] = { ("%d.%d"):format(layer, position), matrix }
    end
  end
  local optimizer = gamut.optim.muon { { params = matrices }, lr = 0.02, momentum = 0.95 }
  return function() optimizer:step() end
end

return { muon_step = muon_step }
