-- What one small operator costs when called from Lua. Prints a line `name nanoseconds` a case: the
-- median of several rounds.
local gamut = require "gamut"
gamut.set_num_threads(1)

local ROUNDS, CALLS = 15, tonumber(arg[1]) or 20000

local function measure(name, fn)
  local samples = {}
  fn(CALLS // 10)
  for round = 1, ROUNDS do
    local began = os.clock()
    fn(CALLS)
    samples[round] = (os.clock() - began) / CALLS * 1e9
  end
  table.sort(samples)
  print(("%s %.0f"):format(name, samples[(ROUNDS + 1) // 2]))
end

local x, y = gamut.ones{4}, gamut.ones{4}
local m = gamut.ones{4, 4}
local w = gamut.ones({4}, {requires_grad = true})

measure("add", function(n) for _ = 1, n do local _ = x + y end end)
measure("add_method", function(n) for _ = 1, n do local _ = x:add(y) end end)
measure("add_number", function(n) for _ = 1, n do local _ = x + 2 end end)
measure("add_inplace", function(n) for _ = 1, n do x:add_(y) end end)
measure("add_grad", function(n) for _ = 1, n do local _ = w + y end end)
measure("matmul", function(n) for _ = 1, n do local _ = m:matmul(m) end end)
measure("softmax_named", function(n) for _ = 1, n do local _ = m:softmax{dim = -1} end end)
measure("view", function(n) for _ = 1, n do local _ = m:view(2, 8) end end)
measure("zeros", function(n) for _ = 1, n do local _ = gamut.zeros{4} end end)
measure("sum_dim", function(n) for _ = 1, n do local _ = m:sum(0) end end)
measure("shape", function(n) for _ = 1, n do local _ = m.shape end end)
measure("item", function(n) local s = m:sum() for _ = 1, n do local _ = s:item() end end)
