-- Runs the forward of every module. It keeps the chain of modules that are active, so that an error
-- says where in the model it happened: `in blocks.3.mixer (gdn): train.lua:12: ...`.
local fields = require "gamut.nn.fields"
local native = require "gamut.native.nn"

local call = {}

-- One chain a coroutine, outermost module first.
local chains = setmetatable({}, { __mode = "k" })

local function current_chain()
  local thread = coroutine.running()
  local chain = chains[thread]
  if not chain then
    chain = { depth = 0 }
    chains[thread] = chain
  end
  return chain
end

-- The path of `wanted` below `module`, or nil.
local function path_within(module, wanted)
  local own = module[fields.KEY]
  for _, name in ipairs(own.order) do
    if own.kinds[name] == "module" then
      local child = own.values[name]
      local below = child ~= wanted and path_within(child, wanted)
      if child == wanted or below then
        local label = module:child_name(name)
        return below and label .. "." .. below or label
      end
    end
  end
end

local function describe_place(chain)
  local innermost = chain[chain.depth]
  for position = 1, chain.depth - 1 do
    local path = path_within(chain[position], innermost)
    if path then return ("%s (%s)"):format(path, innermost:label()) end
  end
  return innermost:label()
end

-- The message handler of the outermost call: runs before the stack unwinds.
local function explain(message)
  local chain = current_chain()
  if type(message) ~= "string" or chain.depth == 0 then return message end
  message = ("in %s: %s"):format(describe_place(chain), message)
  native.remember_origin(message)
  return message
end

local function leave(chain, depth, ...)
  for position = chain.depth, depth + 1, -1 do chain[position] = nil end
  chain.depth = depth
  return ...
end

local function leave_outermost(chain, succeeded, ...)
  leave(chain, 0)
  if succeeded then return ... end
  error((...), 0)
end

---Wraps a class's forward.
---@param forward fun(self: gamut.nn.Module, ...): any
function call.tracked(forward)
  return function(self, ...)
    local chain = current_chain()
    local depth = chain.depth
    chain.depth = depth + 1
    chain[depth + 1] = self
    -- Only the outermost call is protected; inner ones cost two table writes.
    if depth == 0 then return leave_outermost(chain, xpcall(forward, explain, self, ...)) end
    return leave(chain, depth, forward(self, ...))
  end
end

return call
