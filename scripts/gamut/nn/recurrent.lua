-- Mixers in Lua that open their recurrence, as gamut/recurrent.h of the SDK asks of those in C++: others
-- may then start it from any memory, keep memories and read from those kept, as memory_cache does.
--
--     M:memory_names()                     -- the tensors of its state that are the memory: {"memory"}
--     M:project(x, context)                -- -> features by name, each [batch, time, ...]: all before the
--                                          --    recurrence; updates what the state has besides the memory
--     M:scan(features, memory, cu_seqlens) -- -> reads [rows, time, ...], memory after; memory is by name, a
--                                          --    row for each row, or for each document of cu_seqlens
--     M:read(features, memories)           -- frozen memories [rows, n, ...] -> [rows, time, n, ...]
--     M:queries(features), M:keys(features)   -- [rows, time, width]
--     M:finish(read, features, context)    -- -> y [batch, time, d_model]
--     M:normalize(read)                    -- optional: of the last dimensions of a read
--     M:reads_linearly()                   -- optional: whether read is linear in the memory (default: it is)
--
-- Such a class needs no forward: it is the four parts in a row. mixers/linear_attention.lua is an example.
local gamut = require "gamut"
local plugins = require "gamut.native.plugins"

local recurrent = {}

local PARTS = { "memory_names", "project", "scan", "read", "queries", "keys", "finish" }

-- Indices of the documents for which wanted(document) holds, counted from 0.
local function indices(documents, wanted)
  local list = {}
  for position, document in ipairs(documents) do
    if wanted(document) then list[#list + 1] = position - 1 end
  end
  return gamut.tensor(list, { dtype = "int64" })
end

-- The memory that each document begins with: the first of a row goes on from the state.
local function memory_before(self, state, documents, rows)
  local empty, memory = self:new_state(documents and #documents or rows), {}
  local first = documents and state and indices(documents, function(d) return d.starts_row end)
  for _, name in ipairs(self:memory_names()) do
    memory[name] = state and state[name] or empty[name]
    if first then memory[name] = empty[name]:index_copy(0, first, state[name]) end
  end
  return memory
end

local function keep(self, state, memory, documents, time)
  local last = documents and indices(documents, function(d) return d.ends_row end)
  for _, name in ipairs(self:memory_names()) do
    state[name] = last and memory[name]:index_select(0, last) or memory[name]
  end
  state.position = state.position + time
end

local function forward(self, x, context)
  local features, state = self:project(x, context), context.state
  local documents = plugins.documents(context.cu_seqlens, x.shape[1], x.shape[2])
  local memory = memory_before(self, state, documents, x.shape[1])
  local read, after = self:scan(features, memory, context.cu_seqlens)
  if state then keep(self, state, after, documents, x.shape[2]) end
  if self.normalize then read = self:normalize(read) end
  return self:finish(read, features, context)
end

---The forward of a class that has the parts; nil for one that has no `scan`.
---@param name string the mixer's, for messages
---@param class gamut.nn.Class
function recurrent.complete(name, class)
  if class.scan == nil then return nil end
  for _, part in ipairs(PARTS) do
    if class[part] == nil then
      error(("mixer `%s` has a scan but no `%s`; see gamut.nn.recurrent"):format(name, part), 3)
    end
  end
  return forward
end

return recurrent
