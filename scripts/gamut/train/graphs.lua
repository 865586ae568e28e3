-- Training steps as CUDA graphs: the device repeats a recorded step without waiting for this program to name its
-- kernels one by one. The script's loop stays as it is.
--
-- A step is two graphs: what run:accumulate computes (forward and backward of all micro-batches), and what run:update
-- does (optimizers, EMA). Between them the script reads the loss, clips, and decides by the guard whether there is an
-- update at all. Each kind of step (micro-batches, shapes, places of the weights) runs plainly a few times, is recorded,
-- and then replayed with
--   - its batches copied into tensors that stay where they are (feed.lua),
--   - learning rates, and whatever else a schedule changes, in tensors of the optimizers (gamut/capturable.h),
--   - random numbers that go on as they would, for LibTorch counts those of a graph.
--
-- A recorded step is not Lua any more: what its function computes from numbers of Lua stays as it was. So the result of
-- a replay is compared with that of the function itself, gradients included the first time, then the loss at replays 2,
-- 4, 8, ... of each graph. Where they differ, or where a step cannot be recorded, steps are plain from there on, and
-- one sentence in the run's log says why.

local gamut = require "gamut"
local comparison = require "gamut.train.comparison"
local feed = require "gamut.train.feed"
local gradients = require "gamut.train.gradients"

local Graphs = {}
Graphs.__index = Graphs

local PLAIN_STEPS = 3  -- before a kind of step is recorded: kernels are chosen and memory is found in them
local MAX_KINDS = 8    -- of steps; each has memory of its own
local MAX_UPDATES = 4  -- recordings of the update of one kind of step

local graphs = {
  device = require "gamut.native.cuda", -- what records and replays; a test puts a stand-in here
  serves = function(device) return device:match "^cuda" ~= nil end,
}

-- The names of the options that a recorded step of the optimizer does not follow; nil where it cannot be recorded.
local function fixed_options(optimizer)
  local live = optimizer.live_options and optimizer:live_options()
  if not live then return nil end
  local is_live, fixed = {}, {}
  for _, name in ipairs(live) do is_live[name] = true end
  for _, option in ipairs(gamut.plugins.options("optimizer", optimizer.name)) do
    if not is_live[option.name] then fixed[#fixed + 1] = option.name end
  end
  return fixed
end

local function new(run, insist)
  local self = setmetatable({
    run = run, insist = insist, kinds = {}, kind_count = 0, notes = {}, parameters = run.model:parameters(),
    fixed = {}, pool = graphs.device.pool(), feed = feed.new(run.data),
  }, Graphs)
  for i, optimizer in ipairs(run.optimizers) do
    self.fixed[i] = fixed_options(optimizer)
    if not self.fixed[i] then
      self:without_update(("optimizer %s does not offer a step that can be recorded"):format(optimizer.name or i))
      break
    end
  end
  graphs.device.use_own_stream(self.parameters[1].device)
  return self
end

---What is asked for, before anything is written.
---@param model table
---@param wanted boolean|"auto"|nil true: an error where steps cannot be replayed; "auto" or nil: plain steps then
---@return boolean|"auto" wanted false where there is no device
function graphs.check(model, wanted)
  if wanted == nil then wanted = "auto" end
  if wanted ~= "auto" and type(wanted) ~= "boolean" then
    error(("train.start: `graph` is \"auto\", true or false, not %s"):format(tostring(wanted)), 4)
  end
  local first = model.parameters and model:parameters()[1]
  if wanted and first and graphs.serves(first.device) then return wanted end
  if wanted == true then
    error(("train.start: graph = true needs a CUDA device, and the model is on `%s`; \"auto\" uses graphs where there "
      .. "is one"):format(first and first.device or "none"), 4)
  end
  return false
end

---The graphs of a run; nil where its steps are plain from the beginning.
---@param run table with model, optimizers, data, ema, autocast and folder
---@param wanted boolean|"auto" what graphs.check gave
function graphs.start(run, wanted)
  if not wanted then return nil end
  local why = type(run.data.next) ~= "function" and "the run's `data` has no function `next`"
  local ok, made = pcall(new, run, wanted == true)
  if ok and not why then return made end
  why = why or made
  if wanted == true then error(("train.start: graph = true, but %s"):format(why), 0) end
  run.folder:event(run, "graphs", "steps are plain, not CUDA graphs: " .. why)
end

-- A sentence for the run's log. Throwaway steps write nothing, so it waits for the first that counts.
function Graphs:note(text) self.notes[#self.notes + 1] = text end

function Graphs:say_notes()
  if self.run.warming_up then return end
  for _, text in ipairs(self.notes) do self.run.folder:event(self.run, "graphs", text) end
  self.notes = {}
end

-- From here on steps are plain.
function Graphs:give_up(why)
  if self.insist then error(("train.start: graph = true, but steps cannot be replayed as CUDA graphs: %s")
    :format(why), 0) end
  self.reason, self.kinds, self.fresh = why, {}, nil
  self:note(("steps are plain, not CUDA graphs: %s"):format(why))
end

function Graphs:without_update(why)
  if self.insist then error(("train.start: graph = true, but updates cannot be replayed as CUDA graphs: %s")
    :format(why), 0) end
  self.update_reason = why
  self:note(("updates are plain, not part of the CUDA graphs: %s"):format(why))
end

---What became of the steps, for run.json.
---@return {gradients: string, update: string}
function Graphs:describe()
  local recorded = self.recorded and "recorded" or "no kind of step was repeated often enough"
  return {
    gradients = self.reason and "plain: " .. self.reason or recorded,
    update = (self.reason or self.update_reason) and "plain: " .. (self.reason or self.update_reason)
      or self.recorded_update and "recorded" or recorded,
  }
end

-- Numbers, strings and booleans that a function closes over: they are part of what it computes.
local function values_of(fn)
  local parts, i = {}, 1
  while true do
    local name, value = debug.getupvalue(fn, i)
    if not name then return table.concat(parts, " ") end
    local kind = type(value)
    if kind == "number" or kind == "string" or kind == "boolean" then
      parts[#parts + 1] = ("%s=%s"):format(name, tostring(value))
    end
    i = i + 1
  end
end

-- All that decides what a step computes, but for its batches.
function Graphs:kind(count, micro_step)
  local info = debug.getinfo(micro_step, "S")
  local key = table.concat({
    count, tostring(self.run.model.training), self.run.autocast or "", info.source, info.linedefined,
    values_of(micro_step), graphs.device.addresses(self.parameters),
  }, "\n")
  local kind = self.kinds[key]
  if not kind then
    kind = {by_signature = {}}
    self.kinds[key] = kind
    self:count_kind()
  end
  return kind
end

function Graphs:count_kind()
  self.kind_count = self.kind_count + 1
  if self.kind_count > MAX_KINDS then
    self:give_up(("there are more than %d kinds of step: the number of micro-batches, the batches' shapes, a value "
      .. "that the step's function closes over, or the places of the weights change again and again"):format(MAX_KINDS))
  end
end

-- A replay sets gradients where the step itself would add to those that are there: gives up.
function Graphs:finds_gradients()
  for i, gradient in ipairs(gradients.of(self.parameters)) do
    if gradient then
      self:give_up(("parameter `%s` has a gradient already when run:accumulate begins: it is called once a step, and "
        .. "every parameter that needs a gradient belongs to an optimizer")
        :format(self.run.model:named_parameters()[i][1]))
      return true
    end
  end
end

---What run:accumulate computes, by a graph where there is one.
---@param count integer micro-batches
---@param micro_step function the script's
---@param compute fun(backward: boolean): gamut.Tensor calls it `count` times; the mean loss, and gradients if asked for
---@return gamut.Tensor loss
function Graphs:accumulate(count, micro_step, compute)
  self.fresh = nil
  local kind = not self.reason and not self:finds_gradients() and self:kind(count, micro_step)
  if self.reason then return compute(true) end
  if not kind.takes then
    local taken, loss = self.feed:counted(compute, true)
    kind.takes = taken
    return loss
  end
  return gamut.scope(function()
    local batches = self.feed:fetch(kind.takes)
    local step = self:step_for(kind, batches.signature)
    local is_new = not self.reason and step.plain_steps >= PLAIN_STEPS and not step.graph
    if is_new then self:record(step, batches, compute) end
    if not step.graph then
      step.plain_steps = step.plain_steps + 1
      return self:plain(batches, compute)
    end
    return self:replay(step, batches, compute)
  end)
end

-- The step of this kind for batches of these types and shapes.
function Graphs:step_for(kind, signature)
  local step = kind.by_signature[signature]
  if not step then
    local is_first = not next(kind.by_signature) -- one was done to count its batches
    step = {plain_steps = is_first and 1 or 0}
    if not is_first then self:count_kind() end
    kind.by_signature[signature] = step
  end
  return step
end

function Graphs:plain(batches, compute)
  local as_expected, loss = self.feed:with(batches, compute, true)
  if not as_expected and not self.reason then
    self:give_up("equal calls of run:accumulate take different numbers of batches from the run's data")
  end
  return loss
end

-- Records forward and backward, or gives up.
function Graphs:record(step, batches, compute)
  local inputs = self.feed:copies(batches)
  local graph, loss = self:recorded_graph(function() return self.feed:with_still(inputs, compute, true) end)
  if not graph then
    gradients.clear(self.parameters)
    return self:give_up(loss)
  end
  step.graph, step.inputs, step.loss, step.replays = graph, inputs, gamut.keep(loss), 0
  step.gradients = gamut.keep(gradients.of(self.parameters))
  if not self.recorded then self:note("steps are replayed as CUDA graphs from here on") end
  self.recorded = true
end

-- A graph of `fn` and what fn gave, or nil and why not.
function Graphs:recorded_graph(fn)
  -- What is garbage now would be freed while recording, and what is kept for later is of no use to a graph.
  collectgarbage()
  graphs.device.synchronize()
  graphs.device.empty_cache()
  local graph = graphs.device.graph()
  local ok, result = pcall(function() return graph:record(self.pool, fn) end)
  if ok then return graph, result end
  return nil, tostring(result):match "^[^\n]*" -- what follows is LibTorch's advice on debugging
end

local function is_power_of_two(n) return n & (n - 1) == 0 end

function Graphs:replay(step, batches, compute)
  self.feed:fill(step.inputs, batches)
  step.replays = step.replays + 1
  local before = is_power_of_two(step.replays) and comparison.surroundings(self.run.model)
  step.graph:replay()
  gradients.set(self.parameters, step.gradients)
  local complaint = before and comparison.complaint(self, step, before, compute)
  if complaint then return self:undo_replay(step, before, complaint, compute) end
  self.fresh = step
  return step.loss
end

-- Does a step again whose replay went wrong, plainly and with all the memory there is.
function Graphs:undo_replay(step, before, complaint, compute)
  comparison.restore(before)
  gradients.clear(self.parameters)
  self:give_up(complaint)
  step.graph, step.update, step.gradients, step.loss = nil, nil, nil, nil
  collectgarbage()
  graphs.device.empty_cache()
  return self.feed:with_still(step.inputs, compute, true)
end

-- The options that a recorded update does not follow, with their values, and where everything lies.
function Graphs:update_key()
  local parts = {graphs.device.addresses(self.parameters), graphs.device.addresses(gradients.of(self.parameters))}
  for i, optimizer in ipairs(self.run.optimizers) do
    for _, group in ipairs(optimizer.groups) do
      for _, name in ipairs(self.fixed[i]) do
        local value = group[name]
        parts[#parts + 1] = type(value) == "table" and table.concat(value, ",") or tostring(value)
      end
    end
  end
  parts[#parts + 1] = self.run.ema and self.run.ema.decay
  return table.concat(parts, "\n")
end

---One step of every optimizer and of the EMA, by a graph where there is one; the rates are set already.
---@return boolean done false: it is left to the caller
function Graphs:update()
  local step = self.fresh
  self.fresh = nil
  if self.reason or self.update_reason then return false end
  for _, optimizer in ipairs(self.run.optimizers) do optimizer:prepare_step() end
  local function on_device()
    for _, optimizer in ipairs(self.run.optimizers) do optimizer:step_on_device() end
    if self.run.ema then self.run.ema:update() end
  end
  local graph = step and self:update_graph(step, on_device)
  if graph then graph:replay() else on_device() end
  return true
end

-- The graph of the update that follows this kind of step; nil where there is none.
function Graphs:update_graph(step, on_device)
  local key = self:update_key()
  if step.update_key == key then return step.update end
  step.updates = (step.updates or 0) + 1
  if step.updates > MAX_UPDATES then
    self:without_update("an option of an optimizer that is part of the recording, or the places of gradients or "
      .. "weights, change again and again")
    return nil
  end
  local graph, why = self:recorded_graph(on_device)
  if not graph then
    self:without_update(why)
    return nil
  end
  step.update, step.update_key, self.recorded_update = graph, key, true
  return graph
end

return graphs
