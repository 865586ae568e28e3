-- probes.json of a study: the step times that were measured, each with what it depends on, and the schedules derived.
local json = require "gamut.native.json"
local maps = require "gamut.maps"
local system = require "gamut.native.system"

local probe_store = {}

local function same(a, b) return json.encode(a) == json.encode(b) end

local function is_of_model(a, b) return a.context == b.context and a.architecture == b.architecture end

local function flat(map, prefix, into)
  for name, value in pairs(map) do
    if type(value) == "table" then
      flat(value, prefix .. name .. ".", into)
    else
      into[prefix .. name] = tostring(value)
    end
  end
  return into
end

---"machine.threads was 4 and is 2": what a step time depends on and is no longer the same.
---@return string
local function difference(was, is)
  local function facts(entry)
    local into = flat({ machine = entry.machine, program = entry.program }, "", {})
    for _, word in ipairs(entry.settings) do into[word:match "^[^=]+"] = word:match "=(.*)" end
    return into
  end
  local before, now, parts = facts(was), facts(is), {}
  local changed = maps.keys(maps.over(before, now), function(name) return before[name] ~= now[name] end)
  for i, name in ipairs(changed) do
    parts[i] = ("%s was %s and is %s"):format(name, before[name] or "left out", now[name] or "left out")
  end
  return table.concat(parts, "; ")
end

---The file's content; empty lists where there is none that can be read.
---@param path string
---@return {probes: table[], schedules: table[]}
function probe_store.read(path)
  local ok, saved = pcall(function() return json.decode(system.read_file(path)) end)
  saved = ok and type(saved) == "table" and saved or {}
  return { format = 1, probes = json.array(saved.probes), schedules = json.array(saved.schedules) }
end

---Adds entries to one of its lists.
---@param path string
---@param list "probes"|"schedules"
---@param entries table[]
---@param replace? boolean in the place of those of the same model and context
function probe_store.add(path, list, entries, replace)
  local saved = probe_store.read(path)
  for _, entry in ipairs(entries) do
    for i = replace and #saved[list] or 0, 1, -1 do
      if is_of_model(saved[list][i], entry) then table.remove(saved[list], i) end
    end
    table.insert(saved[list], entry)
  end
  system.write_file(path, json.encode(saved, { indent = 2 }))
end

---The measurement that holds for `entry`: same context and model, machine, program and settings.
---@param probes table[]
---@param entry table
---@return table? kept
---@return string? changed where there is one of the same context and model: what is not the same any more
function probe_store.find(probes, entry)
  local stale
  for _, other in ipairs(probes) do
    if is_of_model(other, entry) then
      local fits = same(other.machine, entry.machine) and same(other.program, entry.program)
        and same(other.settings, entry.settings)
      if fits then return other end
      stale = other
    end
  end
  return nil, stale and difference(stale, entry)
end

return probe_store
