-- What this machine can do at most: products and copies through LibTorch, exponentials through the kernels' function.
local gamut = require "gamut"

local floors = {}

-- One product of n x n matrices: 2 n^3 FLOP.
function floors.gemm(a)
  local x = gamut.randn({ a.n, a.n }, { dtype = a.dtype })
  local y, out = gamut.randn({ a.n, a.n }, { dtype = a.dtype }), gamut.empty({ a.n, a.n }, { dtype = a.dtype })
  return function() gamut.matmul(x, y, { out = out }) end
end

-- Reads and writes `bytes` each.
function floors.copy(a)
  local from, to = gamut.randn { a.bytes // 4 }, gamut.empty { a.bytes // 4 }
  return function() to:copy_(from) end
end

-- n exponentials by the kernels' own function, from registers: LibTorch's is several times slower.
function floors.exp(a)
  local x = gamut.randn { 1024 }
  return function() gamut.ops.gamut.exp_rate(x, a.n // 1024) end
end

return floors
