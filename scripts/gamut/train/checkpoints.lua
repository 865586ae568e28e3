-- What a run saves and how it comes back: weights, EMA, optimizers, random numbers, data position.

local gamut = require "gamut"
local store = require "gamut.native.checkpoint"

local checkpoints = {}

-- Tensors of all optimizers in one file; `1/exp_avg/blocks.0.mlp.up.weight` is the first's.
local function optimizer_tensors(run)
  local tensors = {}
  for i, optimizer in ipairs(run.optimizers) do
    for _, entry in ipairs(optimizer:state()) do
      tensors[#tensors + 1] = {i .. "/" .. entry[1], entry[2]}
    end
  end
  return tensors
end

-- The device of a random state's name: "cuda" is the first, as a file from before there were several has it.
local function generators()
  local names = {{"cpu", "cpu"}}
  for i = 0, gamut.cuda.device_count() - 1 do
    names[#names + 1] = {i == 0 and "cuda" or "cuda:" .. i, "cuda:" .. i}
  end
  return names
end

local function random_tensors()
  local states = {}
  for i, entry in ipairs(generators()) do states[i] = {entry[1], gamut.rng_state(entry[2])} end
  return states
end

-- A file from a machine with other devices has the states of those that both have.
local function restore_random(states)
  for _, entry in ipairs(generators()) do
    if states[entry[1]] then gamut.set_rng_state(states[entry[1]], entry[2]) end
  end
end

function checkpoints.save(run)
  if run.saved_step == run.step then return end
  if run.ema and run.ema.is_swapped then
    error("a checkpoint inside ema:swapped would save the averaged weights as the trained ones; take it outside", 0)
  end
  local files = {
    model = run.model:state_dict(), optimizer = optimizer_tensors(run), rng = random_tensors(),
    ema = run.ema and run.ema:state() or nil,
  }
  local _, warnings = store.save{
    dir = run.folder:path("checkpoints"), step = run.step, keep = run.keep_checkpoints, files = files,
    state = {
      step = run.step, tokens = run.tokens, elapsed = run:seconds(), seconds = run.folder:seconds(),
      rate_factor = run.rate_factor, data = run.data:state(),
      data_fingerprint = run.data.fingerprint, guard = run.guard:state(),
    },
  }
  run.saved_step = run.step
  for _, warning in ipairs(warnings) do run.folder:event(run, "checkpoint", warning) end
end

-- The tensors of optimizer `index` from the joint file.
local function tensors_of(file, index)
  local prefix, list = index .. "/", {}
  for _, entry in ipairs(file) do
    if entry[1]:sub(1, #prefix) == prefix then list[#list + 1] = {entry[1]:sub(#prefix + 1), entry[2]} end
  end
  return list
end

local function check_data(run, state, path)
  if state.data_fingerprint ~= run.data.fingerprint and not run.folder:accepts("data") then
    error(("%s was trained on other data than this: fingerprint %s, now %s. Resume with the data it began with, or say "
      .. "--accept data"):format(path, tostring(state.data_fingerprint), tostring(run.data.fingerprint)), 0)
  end
end

-- Back to the newest good checkpoint, or to the one that was named: newer ones are then put aside.
-- A run that was cut off before its first checkpoint starts again.
function checkpoints.restore(run)
  local folder, step = run.folder:path("checkpoints"), run.settings.resume_step
  if not step and #store.list(folder) == 0 then return end
  local saved = store.load(folder, {step = step})
  run.restore_notes = saved.notes
  local state, files = saved.state, saved.files
  check_data(run, state, saved.path)
  run.model:load(files.model)
  if run.ema then run.ema:load_state(files.ema) end
  for i, optimizer in ipairs(run.optimizers) do optimizer:load_state(tensors_of(files.optimizer, i)) end
  run.data:load_state(state.data)
  run.guard:load_state(state.guard)
  run.step, run.tokens, run.elapsed = state.step, state.tokens, state.elapsed
  run.rate_factor, run.seconds_before, run.saved_step = state.rate_factor, state.seconds, run.step
  if not run.dry_run then store.supersede_after(folder, run.step) end
  restore_random(files.rng)
end

return checkpoints
