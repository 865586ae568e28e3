-- What this machine can do at most, as cases of a worker: the ceilings of `gamut bench`.
local ceilings = require "gamut.bench.ceilings"

return {
  gemm = function(a) return ceilings.product("cpu", a.n, a.dtype) end,
  copy = function(a) return ceilings.copy("cpu", a.bytes) end,
  exp = function(a) return ceilings.exponentials(a.n) end,
}
