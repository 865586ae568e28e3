-- train.warm_up puts back, bit for bit, all that throwaway steps change, and says so where it cannot. The run is a
-- stand-in with the fields of a real one; tests/end_to_end/golf_train.py warms real runs up.
local gamut = require "gamut"
local testing = require "gamut.testing"
local guard = require "gamut.train.guard"
local nn, optim, train = gamut.nn, gamut.optim, gamut.train

local function stream()
  local data = { at = 0 }
  function data:state() return { at = self.at } end
  function data:load_state(state) self.at = state.at end
  function data:next() self.at = self.at + 1 return gamut.randn { 4, 3 } end
  return data
end

local function new_run()
  gamut.manual_seed(3)
  local model = nn.list { nn.Linear(3, 5), nn.Linear(5, 1) }
  model[1].mean = nn.buffer(gamut.zeros { 5 })
  local matrices = { { "0.weight", model[1].weight } }
  local others = { { "0.bias", model[1].bias }, { "1.weight", model[2].weight }, { "1.bias", model[2].bias } }
  local run = {
    model = model, data = stream(), guard = guard.new(), ema = train.ema(model, 0.5), step = 4, tokens = 40,
    over = false,
    optimizers = { optim.muon { { params = matrices } }, optim.adamw { { params = others } } },
  }
  function run:wait_for_device() self.waited = true end
  return run
end

-- What a step of a script's loop does, by hand.
local function step_of(run)
  local hidden = run.model[1](run.data:next())
  gamut.no_grad(function() run.model[1].mean:copy_(hidden:mean(0)) end)
  local loss = run.model[2](hidden):square():mean()
  loss:backward()
  run.guard:judge(run.model, loss:item(), 1.0)
  for _, optimizer in ipairs(run.optimizers) do
    optimizer.groups[1].lr = 0.5
    optimizer:step()
    optimizer:zero_grad()
  end
  run.optimizers[1].groups[1].momentum = 0.1
  run.ema:update()
  run.step, run.tokens, run.rate_factor, run.over = run.step + 1, run.tokens + 10, 0.25, true
end

-- Everything of a run that a next step depends on, as text or tensors by name.
local function everything(run)
  local all = { data = run.data.at, step = run.step, tokens = run.tokens, over = run.over, rng = gamut.rng_state() }
  all.factor, all.current = run.rate_factor or "none", run.current or "none"
  for key, value in pairs(run.guard:state()) do all["guard " .. key] = value end
  local function add(prefix, entries)
    for _, entry in ipairs(entries) do all[prefix .. entry[1]] = entry[2]:clone() end
  end
  add("model ", run.model:state_dict())
  add("ema ", run.ema:state())
  for i, optimizer in ipairs(run.optimizers) do
    add(("optimizer %d "):format(i), optimizer:state())
    all["lr " .. i] = optimizer.groups[1].lr
  end
  all.momentum = run.optimizers[1].groups[1].momentum
  for _, entry in ipairs(run.model:named_parameters()) do all["grad " .. entry.name] = entry.tensor.grad or "none" end
  return all
end

-- The names of what differs, to the last bit.
local function differences(a, b)
  local names = {}
  for name, value in pairs(a) do
    local same = value == b[name]
    if type(value) == "userdata" then same = type(b[name]) == "userdata" and value:equal(b[name]) end
    if not same then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

testing.test("after the warm-up everything is as before, at the beginning and in the middle of a run", function()
  local run = new_run()
  for _ = 1, 2 do
    local before, count = everything(run), 0
    train.warm_up(run, 3, function(i)
      count = count + 1
      testing.equal({ i, run.step }, { count, before.step + count - 1 })
      step_of(run)
    end)
    testing.equal(differences(before, everything(run)), {})
    testing.equal({ count, run.waited, run.warming_up }, { 3, true })
    -- The comparison sees each of these, so the restoring is what undid them.
    step_of(run)
    testing.is_true(#differences(before, everything(run)) > 25, "a step changes nearly all")
    run.over = false
  end
end)

testing.test("an error inside leaves the run as it was", function()
  local run = new_run()
  local before = everything(run)
  testing.raises(function()
    train.warm_up(run, 2, function(i)
      step_of(run)
      if i == 2 then error "no kernel" end
    end)
  end, "no kernel")
  testing.equal(differences(before, everything(run)), {})
end)

testing.test("nothing runs with no steps, in a dry run, or when the run is over", function()
  local run = new_run()
  local function never() error "ran" end
  train.warm_up(run, 0, never)
  run.dry_run = true
  train.warm_up(run, 5, never)
  run.dry_run, run.over = nil, true
  train.warm_up(run, 5, never)
end)

testing.test("misuse is told in words", function()
  local run = new_run()
  testing.raises(function() train.warm_up(run, 1, function() end) end, "ended without run:update")
  testing.raises(function() train.warm_up(run, -1, print) end, "takes a run, how many steps")
  testing.raises(function() train.warm_up(run, 1) end, "got 1 and a nil")
  run.current = 5
  testing.raises(function() train.warm_up(run, 1, print) end, "belongs before the loop")
end)

testing.test("an optimizer whose new state cannot be taken back is named", function()
  local run = new_run()
  local entries = {}
  run.optimizers[3] = {
    name = "adamw", groups = {}, step = function() entries[1] = { "late/0.bias", gamut.ones { 1 } } end,
    state = function() return entries end, load_state = function() end, zero_grad = function() end,
  }
  testing.raises(function() train.warm_up(run, 1, function()
    run.optimizers[3].step()
    run.step = run.step + 1
  end) end, "optimizer adamw had 0 tensors of state before the warm%-up and has 1")
end)

testing.finish()
