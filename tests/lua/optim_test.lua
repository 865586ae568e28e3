-- Optimizers from Lua: they minimise, groups have options, state comes back.

local gamut = require "gamut"
local testing = require "gamut.testing"
local optim = gamut.optim
local test, equal, raises = testing.test, testing.equal, testing.raises

-- A weight [8, 12] and a bias [8] as parameters, and the distance of W x + b from given targets.
local function problem()
  gamut.manual_seed(1)
  local weight, bias = gamut.randn{8, 12} * 0.1, gamut.zeros{8}
  weight.requires_grad, bias.requires_grad = true, true
  local x, y = gamut.randn{64, 12}, gamut.randn{64, 8}
  return {
    weight = {"weight", weight}, bias = {"bias", bias},
    loss = function() return gamut.mse_loss(gamut.linear(x, weight, bias), y) end,
  }
end

local function train(p, optimizers, steps)
  local loss
  for _ = 1, steps do
    loss = p.loss()
    loss:backward()
    for _, optimizer in ipairs(optimizers) do
      optimizer:step()
      optimizer:zero_grad()
    end
  end
  return loss:item()
end

local function both(p)
  return {
    optim.muon{{params = {p.weight}}, lr = 0.02, momentum = 0.9},
    optim.adamw{{params = {p.bias}}, lr = 0.02, weight_decay = 0.0},
  }
end

test("muon and adamw bring the loss down", function()
  local p = problem()
  local first = p.loss():item()
  testing.is_true(train(p, both(p), 30) < 0.85 * first)
end)

test("zero_grad clears the gradients", function()
  local p = problem()
  local optimizer = optim.adamw{{params = {p.weight, p.bias}}}
  p.loss():backward()
  testing.is_true(p.weight[2].grad)
  optimizer:zero_grad()
  equal(p.weight[2].grad, nil)
  equal(p.bias[2].grad, nil)
end)

test("groups have options of their own, which schedules set", function()
  local p = problem()
  local optimizer = optim.adamw{
    {params = {p.weight}, lr = 0.5}, {params = {p.bias}}, lr = 0.1, weight_decay = 0.25,
  }
  equal(#optimizer.groups, 2)
  equal(optimizer.groups[1].lr, 0.5)
  equal(optimizer.groups[2].lr, 0.1)
  equal(optimizer.groups[2].weight_decay, 0.25)
  equal(optimizer.groups[1].params[1][1], "weight")
  optimizer.groups[1].lr = 0.0
  local before = p.weight[2]:detach():clone()
  p.loss():backward()
  optimizer:step()
  equal(p.weight[2]:detach(), before)
end)

test("a state saved and loaded goes on bit for bit", function()
  local p, q = problem(), problem()
  local first = both(p)
  train(p, first, 3)
  local second = both(q)
  gamut.no_grad(function()
    q.weight[2]:copy_(p.weight[2])
    q.bias[2]:copy_(p.bias[2])
  end)
  for i, optimizer in ipairs(second) do optimizer:load_state(first[i]:state()) end
  equal(train(q, second, 3), train(p, first, 3))
  equal(q.weight[2]:detach(), p.weight[2]:detach())
end)

test("mistakes are named", function()
  local p = problem()
  raises(function() optim.muon{{params = {p.weight, p.bias}}} end, "parameter `bias` has shape %[8%]")
  raises(function() optim.adamw{{params = {p.weight}}, learning_rate = 1} end, "unknown option `learning_rate`")
  raises(function() optim.adamw{{params = {p.weight}, beta1 = 1.0}} end, "beta1")
  raises(function() optim.adamw{lr = 0.1} end, "needs a parameter group")
  raises(function() optim.adamw(p.weight) end, "group 1 .* must be {params")
  raises(function() optim.adamw(3) end, "takes a table")
  raises(function() optim.adamv{{params = {p.weight}}} end, "adamw")
  local optimizer = optim.adamw{{params = {p.weight}}}
  raises(function() optimizer.groups[1].lr = -1 end, "lr")
  raises(function() optimizer:load_state{} end, "missing: `step/weight`")
end)

test("a model in the place of its parameters is refused", function()
  local model = gamut.nn.Linear(2, 2)
  raises(function() optim.adamw{{params = model}, lr = 1} end,
    "`params` is the model itself; give model:named_parameters")
  raises(function() optim.adamw{params = model:named_parameters()} end, "with braces around each group")
end)

testing.finish()
