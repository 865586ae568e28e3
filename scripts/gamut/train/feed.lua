-- Where the batches of a step come from. Stands between the run's data and the script's calls of `data:next()`, so that
-- a recorded step finds its batches where they were when it was recorded: in tensors that stay, filled anew each step.

local gamut = require "gamut"

local Feed = {}
Feed.__index = Feed

-- Stands for what a loader gives beside tensors: true of the batch that was recorded, and of no other.
local absent = setmetatable({}, {__index = function(_, name)
  error(("`%s` of what data:next() gives beside tensors is not there in a recorded step"):format(tostring(name)), 0)
end})

-- One call's results, as table.pack gives them, as text: the types and shapes of its tensors.
local function signature_of(batch)
  local parts = {}
  for i = 1, batch.n do
    local value = batch[i]
    parts[i] = gamut.is_tensor(value) and ("%s[%s]"):format(value.dtype, table.concat(value.shape, ","))
      or type(value)
  end
  return table.concat(parts, " ")
end

---@param data table the run's, with `next`, `state` and `load_state`; its `next` is replaced
local function new(data)
  local self = setmetatable({data = data, fetch_next = data.next, waiting = {}, taken = 0}, Feed)
  data.next = function() return self:next() end
  return self
end

-- What the script's `data:next()` gives.
function Feed:next()
  self.taken = self.taken + 1
  if self.still then
    local batch = self.still[self.taken]
    if not batch then error("the step takes more batches than when it was not yet recorded", 0) end
    return table.unpack(batch, 1, batch.n)
  end
  local batch = table.remove(self.waiting, 1)
  if batch then return table.unpack(batch, 1, batch.n) end
  return self.fetch_next(self.data)
end

---Calls fn(...), and counts the batches that it takes.
---@return integer taken
---@return any ... of fn
function Feed:counted(fn, ...)
  self.taken = 0
  local results = table.pack(fn(...))
  return self.taken, table.unpack(results, 1, results.n)
end

---Fetches the next `count` batches.
---@return {signature: string, position: table} batches lists of what next gave
function Feed:fetch(count)
  local batches, parts = {position = self.data:state()}, {}
  for i = 1, count do
    batches[i] = table.pack(self.fetch_next(self.data))
    parts[i] = signature_of(batches[i])
  end
  batches.signature = table.concat(parts, "; ")
  return batches
end

---Calls fn(...) with these batches first. What it leaves goes back to the data.
---@return boolean as_expected whether it took all of them and no more
---@return any ... of fn
function Feed:with(batches, fn, ...)
  self.waiting = table.move(batches, 1, #batches, 1, {})
  local results = table.pack(self:counted(fn, ...))
  if #self.waiting > 0 then
    self.waiting = {}
    self.data:load_state(batches.position)
    for _ = 1, self.taken do self.fetch_next(self.data) end
  end
  return self.taken == #batches, table.unpack(results, 2, results.n)
end

---Calls fn(...) with batches that stay where they are, from Feed:copies; taking another number of them is an error.
---@return any ... of fn
function Feed:with_still(still, fn, ...)
  self.still = still
  local ok, results = pcall(function(...) return table.pack(self:counted(fn, ...)) end, ...)
  self.still = nil
  if not ok then error(results, 0) end
  if self.taken ~= #still then error("the step takes fewer batches than when it was not yet recorded", 0) end
  return table.unpack(results, 2, results.n)
end

---Tensors like those of the batches, which stay; everything else is taken out.
function Feed:copies(batches) -- luacheck: ignore 212
  local copies = {}
  for i, batch in ipairs(batches) do
    copies[i] = {n = batch.n}
    for j = 1, batch.n do
      if gamut.is_tensor(batch[j]) then
        copies[i][j] = batch[j]:clone()
      elseif batch[j] ~= nil then
        copies[i][j] = absent
      end
    end
  end
  return gamut.keep(copies)
end

---Writes batches of the same signature into such copies.
function Feed:fill(copies, batches) -- luacheck: ignore 212
  for i, batch in ipairs(batches) do
    for j = 1, batch.n do
      if gamut.is_tensor(batch[j]) then copies[i][j]:copy_(batch[j]) end
    end
  end
end

return {new = new}
