-- Schedules, guard, clipping and EMA; the run itself is tested end to end.
local gamut = require "gamut"
local testing = require "gamut.testing"
local guard = require "gamut.train.guard"
local train, nn = gamut.train, gamut.nn

testing.test("cosine warms up linearly and ends at its final value", function()
  local cosine = train.schedule.cosine{warmup_steps = 10, final = 0.1}
  testing.close(cosine{step = 0, total_steps = 110}, 0.1, 1e-12)
  testing.close(cosine{step = 9, total_steps = 110}, 1.0, 1e-12)
  testing.close(cosine{step = 60, total_steps = 110}, 0.55, 1e-12)
  testing.close(cosine{step = 110, total_steps = 110}, 0.1, 1e-12)
end)

testing.test("linear_warmdown holds, then falls to zero", function()
  local schedule = train.schedule.linear_warmdown{warmdown_steps = 20}
  testing.equal(schedule{step = 0, total_steps = 100}, 1.0)
  testing.equal(schedule{step = 80, total_steps = 100}, 1.0)
  testing.close(schedule{step = 90, total_steps = 100}, 0.5, 1e-12)
  testing.equal(schedule{step = 100, total_steps = 100}, 0.0)
end)

testing.test("a schedule without a horizon says what to give", function()
  testing.raises(function() train.schedule.cosine()({step = 1}) end, "total_steps")
  testing.raises(function() train.schedule.wall_clock_warmdown{warmdown_steps = 5}({step = 1, elapsed = 1}) end,
    "seconds")
end)

testing.test("wall_clock_warmdown follows the pace", function()
  local schedule = train.schedule.wall_clock_warmdown{warmdown_steps = 100, seconds = 600}
  -- 0.5 s a step: the last 50 s are the warm-down.
  testing.equal(schedule{step = 1000, elapsed = 500}, 1.0)
  testing.close(schedule{step = 1150, elapsed = 575}, 0.5, 1e-9)
  testing.equal(schedule{step = 1200, elapsed = 600}, 0.0)
end)

testing.test("the guard names the first parameter that is not finite", function()
  gamut.manual_seed(1)
  local model = nn.Linear(3, 2)
  local judge = guard.new()
  testing.equal(judge:judge(model, 1.0, 1.0), nil)
  model:named_parameters()[2][2].grad = gamut.full({2}, 0 / 0)
  local complaint = judge:judge(model, 1.0, 0 / 0)
  assert(complaint:find("the gradient of `bias`", 1, true), complaint)
end)

testing.test("the guard sees a spike, and only upwards", function()
  local judge = guard.new{warmup_steps = 20, spike = 6}
  local model = nn.Linear(1, 1)
  for i = 1, 50 do testing.equal(judge:judge(model, 2.0 + 0.01 * (i % 3), 1.0), nil) end
  assert(judge:judge(model, 3.0, 1.0):find "spike")
  testing.equal(judge:judge(model, 1.5, 1.0), nil)
end)

testing.test("a guard restored judges as the one that was saved", function()
  local first, model = guard.new(), nn.Linear(1, 1)
  for i = 1, 60 do first:judge(model, 3.0 - 0.01 * i + 0.02 * (i % 2), 1.0) end
  local second = guard.new()
  second:load_state(first:state())
  for key, value in pairs(first:state()) do testing.equal(second[key], value) end
end)

testing.test("guard options are checked", function()
  testing.raises(function() guard.new{spikes = 3} end, "no option `spikes`")
  testing.raises(function() guard.new{action = "pray"} end, "skip")
end)

testing.test("clip_grad_norm scales to the norm and returns the one before", function()
  local model = nn.Linear(2, 1, {bias = false})
  model.weight.grad = gamut.tensor{{3.0, 4.0}}
  testing.close(train.clip_grad_norm(model, 1.0), 5.0, 1e-6)
  testing.close(model.weight.grad, gamut.tensor{{0.6, 0.8}}, 1e-5)
  testing.close(train.clip_grad_norm(model, 10.0), 1.0, 1e-5)
  testing.close(model.weight.grad, gamut.tensor{{0.6, 0.8}}, 1e-5)
end)

testing.test("clip_grad_norm without gradients is an error", function()
  testing.raises(function() train.clip_grad_norm(nn.Linear(2, 1), 1.0) end, "no gradients")
end)

testing.test("EMA averages from the initial weights and swaps back, also after an error", function()
  local model = nn.Linear(2, 1, {bias = false})
  gamut.no_grad(function() model.weight:fill_(1.0) end)
  local ema = train.ema(model, 0.9)
  gamut.no_grad(function() model.weight:fill_(2.0) end)
  ema:update()
  ema:swapped(function() testing.close(model.weight, gamut.full({1, 2}, 1.1), 1e-6) end)
  testing.close(model.weight, gamut.full({1, 2}, 2.0), 0)
  testing.raises(function() ema:swapped(function() error "inside" end) end, "inside")
  testing.close(model.weight, gamut.full({1, 2}, 2.0), 0)
  testing.close(ema:state()[1][2], gamut.full({1, 2}, 1.1), 1e-6)
  testing.raises(function() train.ema(model, 1.5) end, "between 0 and 1")
end)

testing.test("misspelt names and options are refused", function()
  testing.raises(function() return train.schedule.cosin end, "no `cosin`; did you mean `cosine`%?")
  testing.raises(function() train.schedule.cosine{warmup = 3} end, "schedule.cosine has no option `warmup`")
  testing.raises(function() train.schedule.linear_warmdown{} end, "schedule.linear_warmdown needs `warmdown_steps`")
  testing.raises(function() train.clip_grad_norm(nil, 1) end, "takes a model or a list of tensors, got a nil")
end)

testing.finish()
