-- The state of a loader: its position, and the settings that give positions their meaning.

local position = {}

---A plain table of where the next batch begins; what lies ready in the queue does not count.
---@param loader table with `source`, and the settings as fields
---@param settings string[] that give positions their meaning
---@return table
function position.save(loader, settings)
  local state = {position = loader.source:position()}
  for _, key in ipairs(settings) do state[key] = loader[key] end
  return state
end

---Goes there. Settings that are not listed, such as the batch size, may differ from the saved loader's.
---@param loader table
---@param state table
---@param settings string[]
function position.load(loader, state, settings)
  for _, key in ipairs(settings) do
    if state[key] ~= loader[key] then
      error(("the saved data position belongs to %s %s, this loader has %s; resume with the %s it was saved with")
        :format(key, tostring(state[key]), tostring(loader[key]), key), 3)
    end
  end
  loader.source:seek(state.position)
end

return position
