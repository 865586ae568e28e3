-- What a decoder carries from one call to the next: the state of each layer's mixer.

---@class gamut.nn.DecoderState
---@field layers gamut.State[]
---@field position integer how many tokens it has read
local DecoderState = {}

local metatable = {
  __name = "gamut.nn.DecoderState",
  __index = function(self, key)
    if key == "position" then return self.layers[1].position end
    return DecoderState[key]
  end,
}

function DecoderState.new(layers) return setmetatable({ layers = layers }, metatable) end

local function each(self, method, ...)
  local layers = {}
  for position, state in ipairs(self.layers) do layers[position] = state[method](state, ...) end
  return DecoderState.new(layers)
end

---A copy that shares nothing, to return to later.
function DecoderState:clone() return each(self, "clone") end

---The same values outside of the graph of gradients, for truncated backpropagation.
function DecoderState:detach() return each(self, "detach") end

---@param target {device?: string, dtype?: string}
function DecoderState:to(target) return each(self, "to", target) end

---Every tensor of every layer, named `LAYER.name`, layers from 0.
---@return gamut.nn.NamedTensor[]
function DecoderState:tensors()
  local list = {}
  for position, state in ipairs(self.layers) do
    for _, entry in ipairs(state.tensors) do
      local name = ("%d.%s"):format(position - 1, entry.name)
      list[#list + 1] = { name, entry.tensor, name = name, tensor = entry.tensor }
    end
  end
  return list
end

return DecoderState
