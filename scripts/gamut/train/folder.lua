-- The run folder: run.json, config.yaml, metrics.jsonl, events.*, samples/, checkpoints/, report.html.

local gamut = require "gamut"
local json = require "gamut.native.json"
local maps = require "gamut.maps"
local provenance = require "gamut.train.provenance"
local resume = require "gamut.train.resume"
local system = require "gamut.native.system"
local telemetry = require "gamut.native.telemetry"

local Folder = {}
Folder.__index = Folder

-- A new folder for a new run, or the folder of the run that is resumed. Nothing is written yet.
local function open(run)
  local settings = run.settings
  local self = setmetatable({accepted = {}, settings = settings}, Folder)
  for _, name in ipairs(settings.accept) do self.accepted[name] = true end
  self.root = settings.resume or settings.run_dir or self:default_root(run)
  if settings.resume then
    self:lock()
    self.record = resume.record(self)
    self.notes = resume.check(self, self.record, run.config, settings.script)
  elseif not settings.dry_run and (system.exists(self:path("run.json")) or system.exists(self:path("checkpoints"))) then
    error(("%s already holds a run; resume it with `--resume %s`, or choose another --run-dir")
      :format(self.root, self.root), 0)
  end
  return self
end

-- Two processes in one run would set each other's checkpoints aside.
function Folder:lock()
  if self.settings.dry_run or self.held then return end
  self.held = system.lock_folder(self.root)
  if not self.held then
    error(("another process is working in %s; wait for it, or give this run a --run-dir of its own")
      :format(self.root), 0)
  end
end

-- runs/<study>/<time>_seed<seed>, with a counter should two start within a second.
function Folder:default_root(run)
  local seed = run.config:get("seed")
  local stem = ("%s/%s/%s%s"):format(self.settings.runs_root, self.settings.study, os.date("%Y-%m-%dT%H-%M-%S"),
    seed and "_seed" .. seed or "")
  local root, n = stem, 1
  while system.exists(root) do
    n = n + 1
    root = ("%s_%d"):format(stem, n)
  end
  return root
end

function Folder:path(...)
  return table.concat({self.root, ...}, "/")
end

-- Whether the user waived a check on resume by naming it (--accept NAME).
function Folder:accepts(name)
  if self.accepted[name] then self.accepted[name] = "needed" end
  return self.accepted[name] or self.accepted.all
end

-- Says which --accept nothing came of: a slip of the pen, or a change that was accepted before.
function Folder:remark_unneeded()
  for _, name in ipairs(self.settings.accept) do
    if name ~= "all" and self.accepted[name] ~= "needed" then
      io.stderr:write(("gamut: --accept %s was not needed: nothing of that name differs\n"):format(name))
    end
  end
end

-- Called once everything is built and, where asked for, restored: from here on there is a folder.
function Folder:begin(run)
  self:remark_unneeded()
  if run.dry_run then return end
  system.make_directories(self:path("samples"))
  self:lock()
  self:write("config.yaml", run.config:dump())
  self.began = system.monotonic()
  self.time_before = run.seconds_before or self.record and self.record.seconds or 0
  self.record = provenance.record(run, self.record)
  -- A run without a checkpoint begins again, and so do its metrics.
  local resumed = {resume_step = self.settings.resume and (run.saved_step or -1)}
  self.metrics = telemetry.metrics(self:path("metrics.jsonl"), resumed)
  self.events = telemetry.events(self.root, resumed)
  self.progress = telemetry.progress{
    total_steps = run.total_steps, first_step = run.step, budget_seconds = run.budget_seconds,
    spent_seconds = run.elapsed,
  }
  self:write_record("running", run)
  if self.settings.resume then
    for _, note in ipairs(run.restore_notes or {}) do self:event(run, "checkpoint", note) end
    for _, note in ipairs(self.notes) do self:event(run, "changed", note) end
    self:event(run, "resumed", ("resumed at step %d in %s%s"):format(run.step, self.root,
      run.over and ", which is its end; a longer budget goes on, such as steps=N --accept steps" or ""))
  end
end

-- Writes a text file of the run as a whole or not at all.
function Folder:write(name, text)
  system.write_file(self:path(name), text)
end

-- Bytes, the most since this program began: of the process, and on a device in all and by tensors.
local function peak_memory()
  local use = telemetry.memory()
  local on_device = use.device_peak > 0
  return {
    process = use.resident_peak, device = on_device and use.device_peak or nil,
    device_tensors = on_device and use.device_allocated_peak or nil,
  }
end

function Folder:write_record(status, run)
  self.record.status = status
  self.record.steps, self.record.tokens = run.step, run.tokens
  self.record.training_seconds = run.elapsed
  self.record.seconds = self:seconds()
  self.record.peak_memory = peak_memory()
  self.record.graphs = run.graphs and run.graphs:describe() or nil
  self:write("run.json", json.encode(self.record, {indent = 2}))
end

function Folder:result(run, figures)
  self.record.results = self.record.results or {}
  for name, value in pairs(figures) do self.record.results[name] = value end
  self:write_record("running", run)
end

-- Wall-clock seconds since the run first began, pauses between its sessions left out.
function Folder:seconds()
  return self.time_before + system.monotonic() - self.began
end

-- Whatever has a train_loss is a step's own line: it gets rate and pace, and moves the progress line.
function Folder:log(run, metrics)
  local line = {tokens = run.tokens, time = self:seconds()}
  if metrics.train_loss then
    line.lr = run.base_rates[1][1] * (run.rate_factor or 1.0)
    line.tokens_per_second = run:pace()
  end
  for name, value in pairs(metrics) do line[name] = value end
  self.metrics:write(run.step, line)
  for name, value in pairs(line) do
    if name ~= "time" and name ~= "tokens" then self.events:scalar(name, run.step, value) end
  end
  if metrics.train_loss then
    self.progress:update(run.step, {loss = line.train_loss, tokens_per_second = line.tokens_per_second,
      extras = self.extras})
  else
    self:note_results(run, metrics)
  end
end

-- Validation results stand on a line of their own and stay in the progress line.
function Folder:note_results(run, metrics)
  local parts = {}
  self.extras = {}
  for _, name in ipairs(maps.keys(metrics)) do
    parts[#parts + 1] = ("%s %.4f"):format(name, metrics[name])
    self.extras[#self.extras + 1] = {name, metrics[name]}
  end
  self.progress:note(("step %d  %s"):format(run.step, table.concat(parts, "  ")))
end

-- Something worth knowing that is no number: said on the terminal, kept, and shown in the report.
function Folder:event(run, kind, message)
  if run.dry_run then return io.stderr:write(message, "\n") end
  self.metrics:write(run.step, {time = self:seconds(), event = kind, message = message})
  self.progress:note(message)
end

function Folder:sample(run, text)
  self:write(("samples/step_%06d.txt"):format(run.step), text)
  self.events:text("sample", run.step, text)
end

function Folder:close(run, status)
  self.progress:finish()
  self.metrics:sync()
  self.events:sync()
  self:write_record(status, run)
  gamut.report.write(self.root)
end

function Folder:stopped(run, reason)
  self:event(run, "stopped", ("%s after step %d"):format(reason, run.step))
  if run.dry_run then return end
  self:close(run, "stopped")
  io.stderr:write(("Go on with: gamut run %s --resume %s\n"):format(self.settings.script, self.root))
end

-- Called by the run verb, which has told the user already, when an error ends the script.
function Folder:failed(run, message)
  self.metrics:write(run.step, {time = self:seconds(), event = "failed", message = message})
  self:close(run, "failed")
end

function Folder:finish(run)
  self:close(run, "finished")
  print(("Run folder: %s"):format(self.root))
  print(("Report:     %s"):format(self:path("report.html")))
end

-- "1 h 20 min", "3 min 5 s", "12 s".
local function duration(seconds)
  local s = math.floor(seconds + 0.5)
  if s >= 3600 then return ("%d h %d min"):format(s // 3600, s % 3600 // 60) end
  if s >= 60 then return ("%d min %d s"):format(s // 60, s % 60) end
  return s .. " s"
end

-- What --dry-run prints instead of training on: everything was built and two steps were done.
function Folder:finish_dry_run(run)
  local peak = peak_memory()
  print(run.model:describe())
  print(("tokens a step   %d"):format(run.tokens_per_step))
  print(("peak memory     %.0f MB"):format(peak.process / 2 ^ 20))
  if peak.device then print(("on the device   %.0f MB"):format(peak.device / 2 ^ 20)) end
  if not run.step_seconds then
    print(("one step        there is none left: the run is over at step %d"):format(run.step))
    os.exit(0, true)
  end
  print(("one step        %.3f s (the last of %d)"):format(run.step_seconds, run.step - run.first_step))
  print(("tokens/s        %.0f"):format(run.tokens_per_step / run.step_seconds))
  if run.total_steps then
    local left = run.total_steps - run.first_step
    print(("whole run       about %s for %d steps, evaluation and checkpoints not counted")
      :format(duration(run.step_seconds * left), left))
  end
  os.exit(0, true)
end

return {open = open}
