-- Probes: how long a step of each model takes on the machine at hand, and the schedules that follow for its runs.
--
-- A probe is a short run of train.lua at the study's probe settings, in <study>/probes. What was measured is kept in
-- <study>/probes.json and used again as long as machine, program and settings are the same.
local gamut = require "gamut"
local check = require "gamut.options"
local checkpoint = require "gamut.native.checkpoint"
local context = require "gamut.train.context"
local json = require "gamut.native.json"
local list_directory = require("gamut.native.report").list_directory
local machine = require "gamut.train.machine"
local maps = require "gamut.maps"
local rescaling = require "golf.rescaling"
local run_config = require "golf.run_config"
local settings_of = require "golf.settings"
local step_time = require "golf.step_time"
local store = require "golf.probe_store"
local system = require "gamut.native.system"
local words_of = require("gamut.study.settings").words

local probe = {}

-- The study probed for 100 s at the batch and the rates of its scripts; of those steps it used 6 to 10 only, so ten
-- do. The time does not depend on rates and schedule, but then nothing has to be known of them.
local DEFAULTS = { seconds = 100.0, steps = 10, train_batch_tokens = 524288 }
local AS_PROBED = {
  embed_lr = 0.05, matrix_lr = 0.04, scalar_lr = 0.04, momentum = { start = 0.85, final = 0.95, warmup_steps = 500 },
  warmdown_steps = 250, val_every = 0, checkpoint_every = 0, artifact = false,
}

local function options_of(given)
  check("probe", given, {
    seconds = "number?", steps = "integer?", train_batch_tokens = "integer?", time_factor = "number?",
    accumulate = "integer?",
  })
  return maps.over(DEFAULTS, given)
end

---@class golf.ProbedRun what is to be timed: runs that differ in their seed only are one
---@field context integer
---@field architecture string what tables call the model
---@field settings table of train.lua, as the runs have them, model.architecture and all
---@field tokens? integer a step, in place of the probes' common number
---@field accumulate? integer micro-batches a step, likewise

-- The settings of the probe of a run.
local function settings_for(run, options)
  local settings = maps.over(run.settings, AS_PROBED)
  settings.seed, settings.context, settings.val_tokens = nil, run.context, run.context
  settings.train_batch_tokens = run.tokens or options.train_batch_tokens
  settings.accumulate = run.accumulate or options.accumulate or settings.accumulate
  settings.iterations, settings.max_seconds = options.steps, options.seconds
  return settings
end

-- What a time of a step depends on, beside the settings.
local function conditions(device)
  local here = machine(device)
  here.host = nil -- nodes of a kind share their probes
  return { machine = here, program = { gamut = gamut.version, libtorch = gamut.libtorch_version } }
end

-- 32 bits of a text, for the names of folders (FNV-1a).
local function digest(text)
  local hash = 0x811c9dc5
  for i = 1, #text do hash = ((hash ~ text:byte(i)) * 0x01000193) & 0xffffffff end
  return ("%08x"):format(hash)
end

local function train_script() return context.settings().script_dir .. "/train.lua" end

-- The entry that the probe of a run will make, all but its figures. Other conditions give it another folder.
local function wanted(run, options)
  local settings = settings_for(run, options)
  local words = words_of(settings)
  local entry = conditions(gamut.train.device(run_config(settings).device))
  entry.context, entry.architecture, entry.settings = run.context, run.architecture, words
  entry.tokens_per_step = settings.train_batch_tokens
  local key = digest(json.encode { entry.machine, entry.program, words })
  entry.name = ("%d_%s_%s"):format(run.context, run.architecture:gsub("[^%w]+", "_"), key)
  return entry, settings
end

-- Nothing goes on from a probe, and the weights and moments of a large model are hundreds of megabytes.
local function remove_weights(dir)
  for _, saved in ipairs(checkpoint.list(dir .. "/checkpoints")) do
    for _, name in ipairs(list_directory(saved.path)) do os.remove(saved.path .. "/" .. name) end
    os.remove(saved.path)
  end
end

-- Fills in the figures of a probe that was run; nil and why where it gave none.
local function finish_entry(entry, cell)
  if cell.status ~= "finished" then return nil, cell.error end
  local timed, reason = step_time.of_run(cell.dir, entry.tokens_per_step)
  if not timed then return nil, reason end
  entry.step_ms, entry.first_step, entry.last_step = timed.step_ms, timed.first, timed.last
  entry.measured = os.date "!%Y-%m-%dT%H:%M:%SZ"
  remove_weights(cell.dir)
  return entry
end

-- Completes the entries of the cells that were run and keeps them. Those that gave no time become false.
local function take_up(found, cells, path)
  local done, reasons = {}, {}
  for i, cell in ipairs(cells) do
    local at = found.planned[i]
    local entry, reason = finish_entry(found.entries[at], cell)
    found.entries[at] = entry or false
    if entry then done[#done + 1] = entry else reasons[#reasons + 1] = reason end
  end
  store.add(path, "probes", done)
  return reasons
end

local function cell_of(run, entry, settings)
  return {
    name = entry.name, script = train_script(), settings = settings, labels = { probe = entry.name },
    title = ("step time of %s at %d"):format(run.architecture, run.context), seconds = settings.max_seconds,
  }
end

-- The entries of all runs, those that are kept from before complete; the cells of the others and whose they are.
local function look_up(runs, options, path)
  local probes, found = store.read(path).probes, { entries = {}, cells = {}, planned = {}, notes = {} }
  for i, run in ipairs(runs) do
    local entry, settings = wanted(run, options)
    local kept, changed = store.find(probes, entry)
    found.entries[i] = kept or entry
    if not kept then
      table.insert(found.cells, cell_of(run, entry, settings))
      table.insert(found.planned, i)
    end
    if changed then
      table.insert(found.notes, ("The step time of %s at %d is measured again: %s")
        :format(run.architecture, run.context, changed))
    end
  end
  return found
end

-- One process measures at a time: two would slow each other, and what one finds the others use.
local function claimed(folder)
  system.make_directories(folder)
  return gamut.study.claim(folder .. "/.measuring", "measures step times in " .. folder)
end

-- Whether every cell has been tried; all must have finished, unless they may fail.
local function is_done(plan, complete, may_fail)
  if complete or plan.dry_run or not may_fail then return complete end
  for _, cell in ipairs(plan:cells()) do
    if cell.status ~= "finished" and not cell.error then return false end
  end
  return true
end

local function run_probes(folder, cells, may_fail)
  local plan = gamut.study.plan { folder = folder, cells = cells }
  if is_done(plan, plan:run(), may_fail) then return plan:cells() end
  print "What follows needs all of these."
  plan:finish()
end

---The step time of every run: kept from before, or measured now, one probe after another. Ends the process where they
---cannot be had yet: with --dry-run, or when a probe failed.
---@param given {folder: string, runs: golf.ProbedRun[], options?: table, may_fail?: boolean} folder: of the study;
---  options: seconds, steps, train_batch_tokens, accumulate; may_fail: one that fails, for want of memory or time, has
---  false for its entry
---@return table[] entries {context, architecture, step_ms, tokens_per_step, ...} in the order of the runs
function probe.measure(given)
  check("probe.measure", given, { folder = "string", runs = "table", options = "table?", may_fail = "boolean?" })
  local options, path, folder = options_of(given.options), given.folder .. "/probes.json", given.folder .. "/probes"
  local found = look_up(given.runs, options, path)
  if #found.cells == 0 then return found.entries end
  local _ <close> = not gamut.study.is_dry_run() and claimed(folder) or nil
  found = look_up(given.runs, options, path) -- another process may have measured them in the meantime
  if #found.cells == 0 then return found.entries end
  for _, note in ipairs(found.notes) do print(note) end
  local reasons = take_up(found, run_probes(folder, found.cells, given.may_fail), path)
  if #reasons > 0 and not given.may_fail then error(reasons[1], 0) end
  return found.entries
end

-- The schedule of a run after its probe, with the defaults of train.lua and the tokens a step published for it.
local function schedule_of(run, entry, options)
  local plain = run_config(run.settings)
  local layers = plain.model.layers
  local published = not (layers and #layers > 0) and settings_of.published(run.context, plain.model.architecture)
  local tokens = plain.train_batch_tokens or published and published.train_batch_tokens
  if not tokens then
    error(("nothing was published for %s at %d, so say how many tokens a step has: run.train_batch_tokens")
      :format(run.architecture, run.context), 0)
  end
  local factor = options.time_factor or rescaling.time_factor(tokens, entry.tokens_per_step)
  return {
    context = run.context, architecture = run.architecture, step_ms = entry.step_ms, time_factor = factor,
    schedule = rescaling.derive {
      step_ms = entry.step_ms, time_factor = factor, seconds = plain.max_seconds, iterations = plain.iterations,
    },
  }
end

---The schedules of runs on this machine: measures what has to be measured, shows what follows beside the study's own
---derivation, and keeps both in probes.json.
---@param given {folder: string, runs: golf.ProbedRun[], options?: table} as for `measure`; options may have a
---  time_factor, by default the run's tokens a step over the probe's
---@return {momentum: {warmup_steps: integer}, warmdown_steps: integer}[] settings of train.lua in the order of the runs
function probe.schedules(given)
  local entries, options = probe.measure(given), options_of(given.options)
  local derived, result = {}, {}
  for i, run in ipairs(given.runs) do
    derived[i] = schedule_of(run, entries[i], options)
    local schedule = derived[i].schedule
    result[i] = { momentum = { warmup_steps = schedule.momentum_warmup }, warmdown_steps = schedule.warmdown }
  end
  print("\n" .. rescaling.table(derived) .. "\n")
  store.add(given.folder .. "/probes.json", "schedules", derived, true)
  return result
end

return probe
