-- Throwaway steps before a run begins: real updates, so that kernels are compiled, memory is found and graphs are
-- captured outside of the clock, and then everything is put back bit for bit.

local gamut = require "gamut"
local finally = require "gamut.finally"

-- Copies on the CPU, for the device's memory is the run's: a list, and by name too, as a checkpoint's file is read.
local function copies(entries)
  local list = {}
  for i, entry in ipairs(entries) do
    local copy = entry[2]:detach():to{device = "cpu", copy = true}
    list[i], list[entry[1]] = {entry[1], copy}, copy
  end
  return list
end

-- All options of all groups: schedules set rates, and scripts set momentum.
local function group_values(optimizer)
  local values = {}
  for i, group in ipairs(optimizer.groups) do
    values[i] = {}
    for _, option in ipairs(gamut.plugins.options("optimizer", optimizer.name)) do
      values[i][option.name] = group[option.name]
    end
  end
  return values
end

local function restore_groups(optimizer, values)
  for i, group in ipairs(optimizer.groups) do
    for name, value in pairs(values[i]) do group[name] = value end
  end
end

-- State that came into being since `saved` was taken would survive its loading.
local function restore_state(optimizer, saved)
  optimizer:load_state(saved)
  local now = optimizer:state()
  if #now ~= #saved then
    error(("optimizer %s had %d tensors of state before the warm-up and has %d after it was restored; "
      .. "it cannot go back to its beginning, so set the warm-up steps to 0"):format(optimizer.name, #saved, #now), 0)
  end
end

local FIELDS = {"step", "tokens", "over", "rate_factor", "current"}

local function snapshot(run)
  local saved = {
    model = copies(run.model:state_dict()), ema = run.ema and copies(run.ema:state()), optimizers = {}, groups = {},
    data = run.data:state(), guard = run.guard:state(), fields = {},
    rng = gamut.rng_state(), cuda = gamut.cuda_available() and gamut.rng_state("cuda") or nil,
  }
  for i, optimizer in ipairs(run.optimizers) do
    saved.optimizers[i], saved.groups[i] = copies(optimizer:state()), group_values(optimizer)
  end
  for _, name in ipairs(FIELDS) do saved.fields[name] = run[name] end
  return saved
end

local function restore(run, saved)
  run.model:load(saved.model)
  if run.ema then run.ema:load_state(saved.ema) end
  for i, optimizer in ipairs(run.optimizers) do
    optimizer:zero_grad()
    restore_state(optimizer, saved.optimizers[i])
    restore_groups(optimizer, saved.groups[i])
  end
  run.data:load_state(saved.data)
  run.guard:load_state(saved.guard)
  for _, name in ipairs(FIELDS) do run[name] = saved.fields[name] end
  gamut.set_rng_state(saved.rng)
  if saved.cuda then gamut.set_rng_state(saved.cuda, "cuda") end
end

-- Calls `step(i)` for i = 1 .. `steps`, each of which does what a step of the loop does, run:update included, then
-- puts back weights, averaged weights, optimizers, random numbers, data position, guard and counters. Takes no time
-- of the run's and writes nothing. Between train.start and run:steps; a resumed run may warm up too. A signal ends it.
---@param run table what train.start returned
---@param steps integer 0: none
---@param step fun(i: integer)
return function(run, steps, step)
  if math.type(steps) ~= "integer" or steps < 0 or type(step) ~= "function" then
    error(("train.warm_up takes a run, how many steps, and the function of one; got %s and a %s")
      :format(tostring(steps), type(step)), 2)
  end
  if run.current then error("train.warm_up belongs before the loop over run:steps()", 2) end
  if steps == 0 or run.dry_run or run.over then return end
  local saved = snapshot(run)
  run.warming_up = true
  local _ <close> = finally(function()
    run.warming_up = nil
    restore(run, saved)
    run:wait_for_device()
  end)
  for i = 1, steps do
    if gamut.interrupted() then break end
    run.current = run.step + 1
    step(i)
    if run.step ~= run.current then error("a step of the warm-up ended without run:update", 2) end
  end
end
