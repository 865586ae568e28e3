-- Autograd, autocast and their regions through calls from Lua.
local gamut = require "gamut"
local testing = require "gamut.testing"
local test, equal, close, raises = testing.test, testing.equal, testing.close, testing.raises

test("backward fills grad, and adds up", function()
  local w = gamut.tensor({1.0, 2.0}, {requires_grad = true})
  equal(w.grad, nil)
  w:pow(2):sum():backward()
  equal(w.grad:tolist(), {2.0, 4.0})
  w:pow(2):sum():backward()
  equal(w.grad:tolist(), {4.0, 8.0})
  w.grad = nil
  equal(w.grad, nil)
end)

test("gradients against finite differences", function()
  gamut.manual_seed(0)
  local x = gamut.randn({3, 4}, {dtype = "float64", requires_grad = true})
  local function f(v) return (v:softmax(-1) * v:tanh() + 2 - 3 / (v * v + 1)):sum() end
  f(x):backward()
  local step = 1e-6
  for i = 0, 2 do
    for j = 0, 3 do
      local up, down = x:detach():clone(), x:detach():clone()
      up:set_at({i, j}, up:at{i, j}:item() + step)
      down:set_at({i, j}, down:at{i, j}:item() - step)
      close(x.grad:at{i, j}:item(), (f(up):item() - f(down):item()) / (2 * step), 1e-7)
    end
  end
end)

test("backward with a gradient, and twice", function()
  local w = gamut.ones({2}, {requires_grad = true})
  local y = w * 3
  y:backward(gamut.tensor{1.0, 10.0}, {retain_graph = true})
  equal(w.grad:tolist(), {3.0, 30.0})
  y:backward(gamut.tensor{1.0, 1.0})
  equal(w.grad:tolist(), {6.0, 33.0})
  raises(function() gamut.ones{1}:backward() end, "requires a gradient")
  raises(function() (w * 2):backward() end, "grad can be implicitly created only for scalar outputs")
end)

test("grad", function()
  local a = gamut.tensor(2.0, {requires_grad = true})
  local b = gamut.tensor(3.0, {requires_grad = true})
  local c = gamut.tensor(1.0, {requires_grad = true})
  equal(gamut.grad(a * b, a):item(), 3.0)
  local grads = gamut.grad(a * b, {a, b, c}, {allow_unused = true})
  equal({grads[1]:item(), grads[2]:item(), grads[3]}, {3.0, 2.0, false})
  equal(a.grad, nil)
  local first = gamut.grad(a ^ 3, a, {create_graph = true})
  equal(gamut.grad(first, a):item(), 12.0)
  equal(gamut.grad({a * 2, b * 5}, {a, b}, {grad_outputs = {gamut.tensor(1.0), gamut.tensor(2.0)}})[2]:item(), 10.0)
  raises(function() gamut.grad(a * b, c) end, "appears to not have been used")
end)

test("setting grad checks it", function()
  local w = gamut.ones({2}, {requires_grad = true})
  w.grad = gamut.ones{2}
  equal(w.grad:tolist(), {1.0, 1.0})
  raises(function() w.grad = gamut.ones{3} end, "shape and device")
  raises(function() w.grad = 3 end, "expected a tensor")
end)

test("no_grad and enable_grad", function()
  local w = gamut.ones({2}, {requires_grad = true})
  local y, n = gamut.no_grad(function(k) return w * k, k end, 2)
  equal(y.requires_grad, false)
  equal(n, 2)
  gamut.no_grad(function()
    equal(gamut.is_grad_enabled(), false)
    gamut.enable_grad(function() equal((w * 2).requires_grad, true) end)
    equal(gamut.is_grad_enabled(), false)
  end)
  equal(gamut.is_grad_enabled(), true)
  pcall(gamut.no_grad, function() error("x") end)
  equal(gamut.is_grad_enabled(), true)
end)

test("requires_grad", function()
  local w = gamut.ones{2}
  w.requires_grad = true
  equal(w.requires_grad, true)
  raises(function() (w * 2).requires_grad = false end, "detach")
  raises(function() gamut.tensor{1}.requires_grad = true end, "floating")
  equal(w:detach().requires_grad, false)
  equal((w * 2).is_leaf, false)
end)

test("autocast", function()
  local a, b = gamut.ones{4, 4}, gamut.ones({4, 4}, {requires_grad = true})
  local y = gamut.autocast("bfloat16", function()
    local product = a:matmul(b)
    equal(product.dtype, "bfloat16")
    gamut.autocast("float32", function() equal(a:matmul(b).dtype, "float32") end)
    equal(gamut.is_autocast_enabled(), true)
    gamut.autocast("float32", function() equal(gamut.is_autocast_enabled(), false) end)
    equal(a:matmul(b).dtype, "bfloat16")
    return product:float():sum()
  end)
  equal(a:matmul(b).dtype, "float32")
  y:backward()
  equal(b.grad.dtype, "float32")
  equal(b.grad:tolist()[1][1], 4.0)
  pcall(gamut.autocast, "bfloat16", function() error("x") end)
  equal(a:matmul(b).dtype, "float32")
  raises(function() gamut.autocast("int64", function() end) end, "autocast computes in")
end)

test("the autocast cache ends with the region", function()
  local x, w = gamut.ones{2, 2}, gamut.ones({2, 2}, {requires_grad = true})
  local function forward() return gamut.autocast("bfloat16", function() return x:matmul(w):float():sum():item() end) end
  equal(forward(), 8.0)
  gamut.no_grad(function() w:fill_(2) end)
  equal(forward(), 16.0)
end)

test("fused LibTorch operators follow too", function()
  local x = gamut.randn({2, 5}, {requires_grad = true})
  gamut.cross_entropy_loss(x, gamut.tensor{1, 3}):backward()
  close(x.grad:sum():item(), 0, 1e-6)
  local weight = gamut.randn({7, 4}, {requires_grad = true})
  gamut.embedding(weight, gamut.tensor{0, 6, 6}):sum():backward()
  equal(weight.grad:sum(1):tolist(), {4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 8.0})
end)

testing.finish()
