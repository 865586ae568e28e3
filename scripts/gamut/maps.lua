-- Tables that map names to values: their keys in order, and one put on top of another.
local maps = {}

---The keys, in order: what is made of a map must not depend on how it happens to lie in memory.
---@param map table<string, any>
---@param keep? fun(key: string, value: any): any only those for which it is true
---@return string[]
function maps.keys(map, keep)
  local keys = {}
  for key, value in pairs(map) do
    if not keep or keep(key, value) then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

---A new map: `over` on top of `base`, key by key; nil counts as empty.
---@param base? table
---@param over? table
---@return table
function maps.over(base, over)
  local all = {}
  for key, value in pairs(base or {}) do all[key] = value end
  for key, value in pairs(over or {}) do all[key] = value end
  return all
end

-- An empty table counts as one: on top of a map it changes nothing.
local function is_map(value) return type(value) == "table" and #value == 0 end

---`over` on top of `base`, maps inside by their keys too, lists as a whole; neither is changed.
---@param base table
---@param over? table
---@return table
function maps.merged(base, over)
  local all = maps.over(base)
  for key, value in pairs(over or {}) do
    all[key] = is_map(value) and is_map(all[key]) and maps.merged(all[key], value) or value
  end
  return all
end

return maps
