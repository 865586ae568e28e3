-- What the device can do at most, measured: products of large matrices, copies, and on the CPU exponentials by the
-- kernels' own function. With the work of a call they give its floor.
local gamut = require "gamut"
local maps = require "gamut.maps"
local measure = require "gamut.bench.measure"

local ceilings = {}

-- Side of the matrices and bytes of the copy: beyond launch times and caches, short enough to be measured often.
local SIZES = {
  cpu = { side = 1024, bytes = 1 << 27 },
  cuda = { side = 8192, bytes = 1 << 29 },
  tiny = { side = 128, bytes = 1 << 20 },
}

local EXPS = 1 << 20

local function best(clock, options, call)
  return measure.whole(clock, call, options).min / 1e3
end

---A function that multiplies two matrices of side^2: 2 side^3 FLOP.
---@param device string
---@param side integer
---@param dtype string
---@return fun()
function ceilings.product(device, side, dtype)
  local function made() return gamut.randn({ side, side }, { device = device }):to { dtype = dtype } end
  local x, y, out = made(), made(), made()
  return function() gamut.matmul(x, y, { out = out }) end
end

---A function that reads and writes `bytes` each.
---@param device string
---@param bytes integer
---@return fun()
function ceilings.copy(device, bytes)
  local from = gamut.zeros({ bytes }, { dtype = "uint8", device = device })
  local to = gamut.ones_like(from)
  return function() to:copy_(from) end
end

---A function that takes `count` exponentials on the CPU by the kernels' own function, from registers: LibTorch's is
---several times slower.
---@param count integer a multiple of 1024
---@return fun()
function ceilings.exponentials(count)
  local x = gamut.randn { 1024 }
  return function() gamut.ops.gamut.exp_rate(x, count // 1024) end
end

---@class gamut.bench.Ceilings
---@field products table<string, number> FLOP a second by type: the one that is asked for, and float32
---@field bytes number read and written a second
---@field exps number? exponentials a second; nil on a GPU, where they are not measured

---@param clock gamut.bench.Clock
---@param dtype string of the products
---@param options {seconds: number, repeats: integer, tiny: boolean}
---@return gamut.bench.Ceilings
function ceilings.measure(clock, dtype, options)
  local sizes = SIZES[options.tiny and "tiny" or clock.is_cuda and "cuda" or "cpu"]
  local found = {}
  gamut.scope(function()
    local function products(of)
      return 2 * sizes.side ^ 3 / best(clock, options, ceilings.product(clock.device, sizes.side, of))
    end
    found.products = { float32 = products "float32", [dtype] = products(dtype) }
    found.bytes = 2 * sizes.bytes / best(clock, options, ceilings.copy(clock.device, sizes.bytes))
    if not clock.is_cuda then found.exps = EXPS / best(clock, options, ceilings.exponentials(EXPS)) end
  end)
  return found
end

---@class gamut.bench.Work
---@field flop? number of matrix products
---@field bytes? number that must be read and written at least once
---@field exps? number

---The least milliseconds that the work can take, and what sets them.
---@param found gamut.bench.Ceilings
---@param work gamut.bench.Work
---@param dtype string of the products
---@return {ms: number, by: string, arithmetic_ms: number, bytes_ms: number, exps_ms: number}
function ceilings.floor(found, work, dtype)
  local floor = {
    arithmetic_ms = 1e3 * (work.flop or 0) / found.products[dtype], bytes_ms = 1e3 * (work.bytes or 0) / found.bytes,
    exps_ms = found.exps and 1e3 * (work.exps or 0) / found.exps or 0.0, ms = 0.0, by = "-",
  }
  for _, name in ipairs { "arithmetic", "bytes", "exps" } do
    if floor[name .. "_ms"] > floor.ms then floor.ms, floor.by = floor[name .. "_ms"], name end
  end
  return floor
end

---The ceilings in a line.
---@param found gamut.bench.Ceilings
---@return string
function ceilings.text(found)
  local texts = {}
  for _, dtype in ipairs(maps.keys(found.products)) do
    texts[#texts + 1] = ("%.3g TFLOP/s %s"):format(found.products[dtype] / 1e12, dtype)
  end
  local text = ("products %s; copies %.4g GB/s"):format(table.concat(texts, ", "), found.bytes / 1e9)
  return found.exps and ("%s; %.3g G exponentials/s"):format(text, found.exps / 1e9) or text
end

return ceilings
