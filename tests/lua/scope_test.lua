-- Scopes free what was made inside; the collector keeps a loop without scopes flat.
local gamut = require "gamut"
local testing = require "gamut.testing"
local test, equal, raises, is_true = testing.test, testing.equal, testing.raises, testing.is_true

local FREED = "freed when the gamut.scope that made it ended"

test("a scope frees all but what it returns", function()
  local leaked
  local a, b, n = gamut.scope(function(x)
    leaked = x + 1
    return x + 2, x + 3, 7
  end, gamut.ones{2})
  equal(a:tolist(), {3.0, 3.0})
  equal(b:tolist(), {4.0, 4.0})
  equal(n, 7)
  raises(function() return leaked + 1 end, FREED)
  raises(function() return leaked.shape end, FREED)
  raises(function() return tostring(leaked) end, FREED)
  raises(function() return gamut.cat{leaked, leaked} end, FREED)
end)

test("tables that are returned are searched at any depth", function()
  local result = gamut.scope(function()
    local t = {loss = gamut.ones{1}, deep = {{gamut.ones{2}}}}
    t.itself = t
    return t
  end)
  equal(result.loss:item(), 1.0)
  equal(result.deep[1][1].shape, {2})
end)

test("tensors from outside are not touched", function()
  local x = gamut.ones{2}
  gamut.scope(function() x:add_(1) end)
  equal(x:tolist(), {2.0, 2.0})
end)

test("a view outlives the scope that made its base", function()
  local row = gamut.scope(function() return gamut.ones{3, 2}:at{1} end)
  equal(row:tolist(), {1.0, 1.0})
end)

test("keep", function()
  local kept, list = nil, {}
  gamut.scope(function()
    kept = gamut.keep(gamut.ones{2})
    list[1] = gamut.ones{1}
    gamut.keep(list)
  end)
  equal(kept.shape, {2})
  equal(list[1].shape, {1})
end)

test("nested scopes hand results outwards one by one", function()
  local middle
  local result = gamut.scope(function()
    middle = gamut.scope(function() return gamut.ones{2} end)
    equal(middle.shape, {2})
    return middle * 2
  end)
  equal(result:tolist(), {2.0, 2.0})
  raises(function() return middle.shape end, FREED)
end)

test("an error frees too", function()
  local leaked
  raises(function()
    gamut.scope(function()
      leaked = gamut.ones{2}
      error("stop here")
    end)
  end, "stop here")
  raises(function() return leaked.shape end, FREED)
  equal((gamut.ones{1} + 1):item(), 2.0)
end)

test("<close>", function()
  local inside, kept
  do
    local _ <close> = gamut.new_scope()
    inside, kept = gamut.ones{1}, gamut.keep(gamut.ones{2})
  end
  raises(function() return inside.shape end, FREED)
  equal(kept.shape, {2})
end)

test("scopes closed out of order", function()
  local outer, inner = gamut.new_scope(), gamut.new_scope()
  local x = gamut.ones{1}
  outer:close()
  raises(function() return x.shape end, FREED)
  inner:close()
  equal(gamut.ones{1}:item(), 1.0)
end)

test("a scope dropped unclosed takes nothing with it", function()
  local x
  do
    gamut.new_scope()
    x = gamut.ones{1}
  end
  collectgarbage()
  collectgarbage()
  equal(x:item(), 1.0)
end)

test("gradients and in-place results survive", function()
  local w = gamut.ones({2}, {requires_grad = true})
  gamut.scope(function()
    (w * 3):sum():backward()
    w.data:add_(1)
  end)
  equal(w.grad:tolist(), {3.0, 3.0})
  equal(w:detach():tolist(), {2.0, 2.0})
end)

-- Kilobytes of this process in memory.
local function resident()
  for line in io.lines("/proc/self/status") do
    local kb = line:match("^VmRSS:%s+(%d+)")
    if kb then return tonumber(kb) end
  end
end

local function peak_of(rounds, body)
  collectgarbage()
  local before, peak = resident(), 0
  for i = 1, rounds do
    body(i)
    if i % 10 == 0 then peak = math.max(peak, resident() - before) end
  end
  return peak / 1024
end

test("a long loop without scopes stays flat", function()
  local x = gamut.ones{1024, 1024} -- 4 MiB; 1500 rounds make 12 GiB
  local peak = peak_of(1500, function() local _ = (x + 1):mul(2) end)
  is_true(peak < 200, ("peak grew by %.0f MiB"):format(peak))
  is_true(gamut.live_bytes() < 200 * 2 ^ 20)
end)

test("so does one whose tensors autograd holds", function()
  local w = gamut.ones({512, 512}, {requires_grad = true})
  local peak = peak_of(600, function() local _ = (w * 2):exp():sigmoid():sum() end)
  is_true(peak < 300, ("peak grew by %.0f MiB"):format(peak))
end)

test("scopes give memory back at once", function()
  collectgarbage("stop")
  local x = gamut.ones{1024, 1024}
  local peak = peak_of(200, function()
    gamut.scope(function() return (x + 1):mul(2):sum():item() end)
  end)
  collectgarbage("restart")
  is_true(peak < 40, ("peak grew by %.0f MiB"):format(peak))
end)

test("a dropped scope that is collected leaves running scopes inside it alone", function()
  gamut.new_scope() -- dropped at once
  local sum = gamut.scope(function()
    local x = gamut.ones{4}
    collectgarbage()
    collectgarbage()
    local y = gamut.ones{4} -- made in the running scope, after the collection
    return x:add(y):sum():item()
  end)
  equal(sum, 8.0)
end)

testing.finish()
