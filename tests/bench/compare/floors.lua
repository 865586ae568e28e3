-- What this machine can do at most, through LibTorch: products, copies, exponentials.
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

function floors.exp(a)
  local x, y = gamut.randn { a.n }, gamut.empty { a.n }
  return function() gamut.exp(x, { out = y }) end
end

return floors
