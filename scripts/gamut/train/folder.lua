-- The run folder: run.json, config.yaml, metrics.jsonl, events.*, samples/, checkpoints/, report.html.

local gamut = require "gamut"
local json = require "gamut.native.json"
local provenance = require "gamut.train.provenance"
local system = require "gamut.native.system"
local telemetry = require "gamut.native.telemetry"

local Folder = {}
Folder.__index = Folder

local function read_json(path)
  return json.decode(system.read_file(path))
end

-- A new folder for a new run, or the folder of the run that is resumed. Nothing is written yet.
local function open(run)
  local settings = run.settings
  local self = setmetatable({accepted = {}, settings = settings}, Folder)
  for _, name in ipairs(settings.accept) do self.accepted[name] = true end
  self.root = settings.resume or settings.run_dir or self:default_root(run)
  if settings.resume then
    self.record = read_json(self:path("run.json"))
    self:check_config(run)
  elseif not settings.dry_run and system.exists(self:path("run.json")) then
    error(("%s already holds a run; resume it with `--resume %s`, or choose another --run-dir")
      :format(self.root, self.root), 0)
  end
  return self
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
  return self.accepted[name] or self.accepted.all
end

-- A resumed run keeps its configuration; every change must be accepted by name.
function Folder:check_config(run)
  local changes = {}
  for _, change in ipairs(run.config:changes(self:path("config.yaml"))) do
    if not self:accepts(change.key) then
      changes[#changes + 1] = ("%s was %s and is now %s (--accept %s)"):format(change.key, change.old, change.new, change.key)
    end
  end
  if #changes > 0 then
    error(("%s was started with another configuration: %s"):format(self.root, table.concat(changes, "; ")), 0)
  end
end

-- Called once everything is built and, where asked for, restored: from here on there is a folder.
function Folder:begin(run)
  if run.dry_run then return end
  system.make_directories(self:path("samples"))
  self:write("config.yaml", run.config:dump())
  self.began = system.monotonic()
  self.time_before = self.record and self.record.seconds or 0
  self.record = provenance.record(run, self.record)
  self.metrics = telemetry.metrics(self:path("metrics.jsonl"), {resume_step = self.settings.resume and run.step})
  self.events = telemetry.events(self.root, {resume_step = self.settings.resume and run.step})
  self.progress = telemetry.progress{total = run.total_steps, start = run.step, seconds = run.budget_seconds}
  self:write_record("running", run)
  if self.settings.resume then
    self:event(run, "resumed", ("resumed at step %d from %s"):format(run.step, self.root))
  end
end

-- Writes a text file of the run as a whole or not at all.
function Folder:write(name, text)
  system.write_file(self:path(name), text)
end

function Folder:write_record(status, run)
  self.record.status = status
  self.record.steps, self.record.tokens = run.step, run.tokens
  self.record.training_seconds = run.elapsed
  self.record.seconds = self:seconds()
  self:write("run.json", json.encode(self.record, {indent = 2}))
end

-- Wall-clock seconds since the run first began, pauses between its sessions left out.
function Folder:seconds()
  return self.time_before + system.monotonic() - self.began
end

function Folder:log(run, metrics)
  local line = {step = run.step, tokens = run.tokens, time = self:seconds()}
  if metrics.train_loss then
    metrics.lr = run.base_rates[1][1] * (run.rate_factor or 1.0)
    metrics.tokens_per_second = run:pace()
  end
  for name, value in pairs(metrics) do line[name] = value end
  self.metrics:write(line)
  for name, value in pairs(metrics) do self.events:scalar(name, value, run.step) end
  self.progress:update(run.step, metrics, run.elapsed)
end

-- Something worth knowing that is no number: said on the terminal, kept, and shown in the report.
function Folder:event(run, kind, message)
  if self.metrics then
    self.metrics:write{step = run.step, time = self:seconds(), event = kind, message = message}
    self.progress:message(message)
  else
    io.stderr:write(message, "\n")
  end
end

function Folder:sample(run, text)
  self:write(("samples/step_%06d.txt"):format(run.step), text)
end

function Folder:close(run, status)
  self.progress:finish()
  self.metrics:close()
  self.events:close()
  self:write_record(status, run)
  gamut.report.write(self.root)
end

function Folder:stopped(run, reason)
  if run.dry_run then return end
  self:event(run, "stopped", ("%s after step %d"):format(reason, run.step))
  self:close(run, "stopped")
  io.stderr:write(("Go on with: gamut run %s --resume %s\n"):format(self.settings.script, self.root))
end

function Folder:finish(run)
  self:close(run, "finished")
  print(("Run folder: %s"):format(self.root))
  print(("Report:     %s"):format(self:path("report.html")))
end

-- What --dry-run prints instead of training on: everything was built and two steps were done.
function Folder:finish_dry_run(run)
  local _, peak = system.memory()
  print(run.model:describe())
  print(("tokens a step   %d"):format(run.tokens_per_step))
  print(("one step        %.3f s (the second of two)"):format(run.step_seconds))
  print(("tokens/s        %.0f"):format(run.tokens_per_step / run.step_seconds))
  print(("peak memory     %.0f MB"):format(peak / 2 ^ 20))
  if run.total_steps then
    print(("whole run       about %s for %d steps, evaluation and checkpoints not counted")
      :format(telemetry.duration(run.step_seconds * run.total_steps), run.total_steps))
  end
  os.exit(0, true)
end

return {open = open}
