-- One training step, timed: plainly, with its parts, and replayed as CUDA graphs.
--
-- What an experiment's bench.lua makes for it is a gamut.bench.Step. The plain step is timed one at a time, as a loop
-- does that reads each loss; what the host takes to name the kernels is part of it.
local gamut = require "gamut"
local measure = require "gamut.bench.measure"
local native = require "gamut.native.cuda"

local step_case = {}

---@class gamut.bench.Step
---@field model gamut.nn.Module on its device
---@field optimizers gamut.optim.Optimizer[]
---@field loss fun(micro_batch: integer): gamut.Tensor the mean loss of one, on inputs that stay where they are
---@field accumulate integer micro-batches a step
---@field tokens integer a step
---@field autocast? string
---@field clip? number norm that gradients are clipped to
---@field is_product fun(name: string, tensor: gamut.Tensor): boolean whether a parameter multiplies every token
---@field mixers {operator: string, layers: integer, shape: table}[] of a micro-batch, see bench/operators
---@field dtype string of products

local FORWARD, BACKWARD, UPDATE = 1, 2, 3

local function micro_batch(step, i, between)
  gamut.scope(function()
    local loss = step.autocast and gamut.autocast(step.autocast, step.loss, i) or step.loss(i)
    if between then between() end
    (loss / step.accumulate):backward()
  end)
end

local function clip(step)
  if step.clip then gamut.train.clip_grad_norm(step.model, step.clip) end
end

local function clear_gradients(step)
  for _, optimizer in ipairs(step.optimizers) do optimizer:zero_grad() end
end

-- Marks around forward and backward of each micro-batch, and the update.
local function plain_step(step, mark)
  local marks = { mark(), part = {} }
  local function ended(part)
    marks.part[#marks] = part
    marks[#marks + 1] = mark()
  end
  for i = 1, step.accumulate do
    micro_batch(step, i, function() ended(FORWARD) end)
    ended(BACKWARD)
  end
  clip(step)
  for _, optimizer in ipairs(step.optimizers) do optimizer:step() end
  clear_gradients(step)
  ended(UPDATE)
  return marks
end

-- A graph of `fn`, in the pool of those before it.
local function recorded(pool, clock, fn)
  collectgarbage()
  clock.wait()
  native.empty_cache()
  local graph = native.graph()
  graph:record(pool, fn)
  return graph
end

-- Two graphs, as train.start records them: all micro-batches; the update. Clipping looks at the norm between them.
local function graphs_of(step, clock)
  clear_gradients(step)
  local pool = native.pool()
  local gradients = recorded(pool, clock, function()
    for i = 1, step.accumulate do micro_batch(step, i) end
  end)
  for _, optimizer in ipairs(step.optimizers) do
    if not optimizer:live_options() then
      error(("optimizer %s has no step that can be recorded"):format(optimizer.name), 0)
    end
    optimizer:prepare_step()
  end
  local update = recorded(pool, clock, function()
    for _, optimizer in ipairs(step.optimizers) do optimizer:step_on_device() end
  end)
  return gradients, update
end

local function graph_step(step, gradients, update, mark)
  local marks = { mark() }
  gradients:replay()
  clip(step)
  for _, optimizer in ipairs(step.optimizers) do optimizer:prepare_step() end
  update:replay()
  marks[2] = mark()
  return marks
end

-- From here on the most memory in use counts anew.
local function reset_peak_memory(clock)
  if clock.is_cuda then return gamut.cuda.reset_peak_memory(clock.device) end
  local file <close> = io.open("/proc/self/clear_refs", "w")
  if file then file:write "5" end
end

-- The most memory that was in use, in bytes: tensors' on a GPU, the process's on the CPU.
local function peak_memory(clock)
  if clock.is_cuda then return gamut.cuda.memory(clock.device).allocated_peak end
  local file <close> = io.open "/proc/self/status"
  local kilobytes = file and file:read "a":match "VmHWM:%s*(%d+) kB"
  return kilobytes and 1024 * tonumber(kilobytes) or nil
end

---@class gamut.bench.StepTimes
---@field step gamut.bench.Figure plainly
---@field forward gamut.bench.Figure
---@field backward gamut.bench.Figure
---@field update gamut.bench.Figure clipping, optimizers, clearing gradients
---@field graph? gamut.bench.Figure replayed as graphs
---@field graph_failure? string why not
---@field peak_bytes? integer

---@param step gamut.bench.Step
---@param clock gamut.bench.Clock
---@param options {seconds: number, repeats: integer, graph: boolean}
---@return gamut.bench.StepTimes
function step_case.time(step, clock, options)
  local spent = { seconds = options.seconds, repeats = options.repeats, alone = true }
  reset_peak_memory(clock)
  step.model:train()
  local parts, whole = measure.parts(clock, function() return plain_step(step, clock.mark) end, spent)
  local times = {
    step = whole, forward = parts[FORWARD], backward = parts[BACKWARD], update = parts[UPDATE],
    peak_bytes = peak_memory(clock),
  }
  if not options.graph then return times end
  local ok, message = pcall(function()
    local gradients, update = graphs_of(step, clock)
    local function replay() return graph_step(step, gradients, update, clock.mark) end
    times.graph = select(2, measure.parts(clock, replay, spent))
  end)
  if not ok then times.graph_failure = tostring(message) end
  return times
end

return step_case
