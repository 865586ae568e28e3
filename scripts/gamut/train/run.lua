-- One training run: its folder, its loop, its checkpoints and its end.
--
-- The script owns the loop; this object gives it steps, counts tokens and time, and sees to it that
-- a run stopped at any moment goes on where it was. `run.step` counts finished updates.

local gamut = require "gamut"
local check = require "gamut.options"
local checkpoints = require "gamut.train.checkpoints"
local context = require "gamut.train.context"
local finally = require "gamut.finally"
local folder = require "gamut.train.folder"
local graphs = require "gamut.train.graphs"
local guard = require "gamut.train.guard"
local system = require "gamut.native.system"

local Run = {}
Run.__index = Run

local OPTIONS = {
  model = "object", optimizers = "object", data = "object", steps = "number?", seconds = "number?",
  tokens_per_step = "number", ema = "table?", autocast = "string?", guard = "table?", keep_checkpoints = "number?",
  graph = "any?",
}

-- What goes beyond types.
local function check_values(options)
  if type(options.optimizers) ~= "table" then
    error("train.start: `optimizers` must be a list, such as {adamw}", 3)
  end
  if options.autocast and options.autocast ~= "bfloat16" and options.autocast ~= "float16" then
    error(("train.start: `autocast` is \"bfloat16\", \"float16\" or nil, not \"%s\""):format(options.autocast), 3)
  end
  if not options.steps and not options.seconds then
    error("train.start needs an end: `steps`, `seconds` of training, or both", 3)
  end
end

-- A setting that the script neither read nor names further down is a mistake in one of the two.
local function refuse_unused(config, script)
  local complaints = {}
  for _, unused in ipairs(config:unused(system.read_file(script))) do complaints[#complaints + 1] = unused.message end
  if #complaints > 0 then context.refuse(table.concat(complaints, "\n")) end
end

local function start(options)
  check("train.start", options, OPTIONS)
  check_values(options)
  local graph = graphs.check(options.model, options.graph)
  local settings = context.settings()
  local config = context.config()
  refuse_unused(config, settings.script)
  local run = setmetatable({
    settings = settings, config = config,
    model = options.model, optimizers = options.optimizers, data = options.data, ema = options.ema,
    total_steps = options.steps, budget_seconds = options.seconds,
    tokens_per_step = options.tokens_per_step, autocast = options.autocast,
    guard = guard.new(options.guard), keep_checkpoints = options.keep_checkpoints or 3,
    dry_run = settings.dry_run, step = 0, tokens = 0, elapsed = 0.0, current = nil,
  }, Run)
  run.base_rates = run:rates()
  run.folder = folder.open(run)
  if settings.resume then checkpoints.restore(run) end
  run.first_step = run.step
  run.over = run:is_over()
  run.folder:begin(run)
  if not run.dry_run then settings.failed = function(message) run.folder:failed(run, message) end end
  run.model:train()
  run.graphs = graphs.start(run, graph)
  return run
end

-- The learning rate of every group as the script set it; schedules multiply these.
function Run:rates()
  local rates = {}
  for i, optimizer in ipairs(self.optimizers) do
    rates[i] = {}
    for j, group in ipairs(optimizer.groups) do rates[i][j] = group.lr end
  end
  return rates
end

-- Whether `steps` or the time budget is reached. Asked once a step, when its update is done, so that
-- what is due at the last step knows that this is it.
function Run:is_over()
  return self.total_steps and self.step >= self.total_steps
    or self.budget_seconds and self:seconds() >= self.budget_seconds or false
end

local DRY_STEPS = 2

-- Iterates over the steps still to do: `for step in run:steps() do`. Ends at `steps`, at the time
-- budget, or, after a checkpoint, on SIGINT and SIGTERM.
function Run:steps()
  return function()
    self:close_step()
    if self.graphs then self.graphs:say_notes() end
    local signal = gamut.interrupted()
    if signal then self:stop("interrupted by " .. signal, signal == "SIGTERM" and 143 or 130) end
    if self.dry_run and (self.over or self.step >= self.first_step + DRY_STEPS) then
      self.folder:finish_dry_run(self)
    end
    if self.over then return nil end
    self.current = self.step + 1
    self.step_started, self.step_untimed = system.monotonic(), 0.0
    return self.current
  end
end

function Run:close_step()
  if not self.current then return end
  if self.step ~= self.current then
    error(("step %d ended without run:update, and run:healthy did not skip it"):format(self.current), 3)
  end
  self:stop_clock()
  self.current = nil
end

-- Seconds of the step in hand up to now, nil between steps. What runs inside run:untimed does not count.
function Run:seconds_in_step()
  return self.step_started and system.monotonic() - self.step_started - self.step_untimed
end

-- Seconds of training up to now; `run.elapsed` is those of the finished steps.
function Run:seconds()
  return self.elapsed + (self:seconds_in_step() or 0.0)
end

function Run:stop_clock()
  if not self.step_started then return end
  self.step_seconds = self:seconds_in_step()
  self.elapsed = self.elapsed + self.step_seconds
  self.step_started = nil
end

-- Waits until the device is done with what it was given, so that the clock bills it to the right part.
function Run:wait_for_device()
  local first = self.model:parameters()[1]
  if first and first.device ~= "cpu" then first:detach():flatten():select(0, 0):item() end
end

-- Runs `fn` outside of the training clock.
function Run:untimed(fn, ...)
  self:wait_for_device()
  local began = system.monotonic()
  local _ <close> = finally(function()
    if self.step_started then self.step_untimed = self.step_untimed + system.monotonic() - began end
  end)
  return fn(...)
end

-- The mean loss of `count` micro-batches, and the gradients of that mean if asked for. Each micro-step runs in a
-- scope, and under autocast where the run asks for it.
local function mean_loss(self, count, micro_step, backward)
  local total
  for i = 1, count do
    local loss = gamut.scope(function()
      local value = self.autocast and gamut.autocast(self.autocast, micro_step, i) or micro_step(i)
      if type(value) ~= "userdata" then
        error(("the function given to run:accumulate must return the loss, a tensor; it returned %s")
          :format(tostring(value)), 0)
      end
      local share = value / count
      if backward then share:backward() end
      return share:detach()
    end)
    total = total and total + loss or loss
  end
  return total
end

-- Forward and backward over `count` micro-batches: `micro_step` returns the mean loss of one. The
-- gradients are those of the mean over all; returns that mean. On CUDA equal steps are replayed as a
-- graph, see graphs.lua: `micro_step` is then called for a few of them only.
---@param count integer
---@param micro_step fun(index: integer): Tensor
---@return number loss
function Run:accumulate(count, micro_step)
  if math.type(count) ~= "integer" or count < 1 or type(micro_step) ~= "function" then
    error(("run:accumulate takes the number of micro-batches, 1 or more, then a function; got %s and a %s")
      :format(tostring(count), type(micro_step)), 2)
  end
  local function compute(backward) return mean_loss(self, count, micro_step, backward) end
  local total = self.graphs and self.graphs:accumulate(count, micro_step, compute) or compute(true)
  return total:item()
end

-- False when this step's loss or gradients are not fit for an update: the step is skipped, said and
-- recorded, or the run stops, as the guard is set. See guard.lua.
function Run:healthy(loss, norm)
  local complaint = self.guard:judge(self.model, loss, norm)
  if not complaint then
    self.guard.consecutive = 0
    return true
  end
  self.guard.skips, self.guard.consecutive = self.guard.skips + 1, self.guard.consecutive + 1
  self:advance()
  -- After advance: the line belongs to this step, so a resume from the step before drops it.
  self.folder:event(self, "skipped", ("step %d skipped: %s"):format(self.step, complaint))
  if self.guard.action == "stop" or self.guard.consecutive > self.guard.max_skips then
    local count = self.guard.consecutive
    self:stop(("stopped by the guard after %d bad step%s in a row"):format(count, count == 1 and "" or "s"), 1)
  end
  return false
end

-- One step of every optimizer, at its groups' rates times `factor`; clears the gradients and moves
-- the EMA.
function Run:update(factor)
  factor = factor or 1.0
  for i, optimizer in ipairs(self.optimizers) do
    for j, group in ipairs(optimizer.groups) do group.lr = self.base_rates[i][j] * factor end
  end
  if not (self.graphs and self.graphs:update()) then
    for _, optimizer in ipairs(self.optimizers) do optimizer:step() end
    if self.ema then self.ema:update() end
  end
  self.rate_factor = factor
  self:advance()
end

function Run:advance()
  for _, optimizer in ipairs(self.optimizers) do optimizer:zero_grad() end
  self.step = self.current
  self.tokens = self.tokens + self.tokens_per_step
  self.over = self:is_over()
end

-- Tokens a second of the step in hand, on the training clock.
function Run:pace()
  local seconds = self:seconds_in_step() or self.step_seconds
  return seconds and seconds > 0 and self.tokens_per_step / seconds or nil
end

-- Whether something done every `interval` steps is due now; also at the last step.
function Run:due(interval)
  if self.dry_run or not interval or interval <= 0 then return false end
  return self.step % interval == 0 or self.over
end

-- Records numbers under their names for this step: metrics.jsonl, TensorBoard, the progress line.
---@param metrics table<string, number>
function Run:log(metrics)
  if type(metrics) ~= "table" then
    error(("run:log takes a table of numbers by name, got %s"):format(tostring(metrics)), 2)
  end
  if not self.dry_run and not self.warming_up then self.folder:log(self, metrics) end
end

-- Keeps figures that sum the run up, under `results` of run.json, beside those given before.
---@param figures table<string, number|string|boolean>
function Run:result(figures)
  if type(figures) ~= "table" then
    error(("run:result takes a table of figures by name, got %s"):format(tostring(figures)), 2)
  end
  if not self.dry_run then self.folder:result(self, figures) end
end

-- Writes a checkpoint of this step; the run can be resumed from it bit for bit.
function Run:checkpoint()
  if self.warming_up then error("a checkpoint inside train.warm_up would save what is thrown away", 2) end
  if not self.dry_run then self:untimed(checkpoints.save, self) end
end

-- Keeps a text under samples/ and shows it in the report.
function Run:sample(text)
  if not self.dry_run then self.folder:sample(self, text) end
end

-- Checkpoints, says how to go on, and ends the process with `exit_code`.
function Run:stop(reason, exit_code)
  self:stop_clock()
  self:checkpoint()
  self.folder:stopped(self, reason)
  os.exit(exit_code, true)
end

-- The run's regular end: last checkpoint, report.html, and where they are.
function Run:finish()
  self:checkpoint()
  self.folder:finish(self)
end

return {start = start}
