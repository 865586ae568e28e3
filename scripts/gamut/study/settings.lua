-- A cell's settings as the words of a command line, and what of them a folder holds otherwise.

local config = require "gamut.native.config"
local json = require "gamut.native.json"
local maps = require "gamut.maps"
local system = require "gamut.native.system"

local settings = {}

-- Words that YAML reads as something else than a string.
local NOT_STRINGS = {["true"] = true, ["false"] = true, null = true, ["~"] = true}

-- The shortest text that reads back as the same number, with a point where it is a float.
local function number_in_words(value)
  if math.type(value) == "integer" then return tostring(value) end
  local text = ("%.15g"):format(value)
  if tonumber(text) ~= value then text = ("%.17g"):format(value) end
  return text:find "[.en]" and text or text .. ".0"
end

-- A value as it stands after `key=`: as a person would write it, in quotes where that would be read otherwise.
local function in_words(value)
  if value == json.null then return "null" end
  if type(value) == "number" then return number_in_words(value) end
  if type(value) == "string" and value:match "^[%a_./][%w_./ -]*$" and not NOT_STRINGS[value] then return value end
  if type(value) == "table" and next(value) == nil then return "[]" end -- an empty map would change nothing
  return json.encode(value)
end

local function is_map(value)
  return type(value) == "table" and type(next(value)) == "string"
end

local function append(words, prefix, map)
  for _, key in ipairs(maps.keys(map)) do
    local value = map[key]
    if is_map(value) then
      append(words, prefix .. key .. ".", value)
    else
      words[#words + 1] = prefix .. key .. "=" .. in_words(value)
    end
  end
end

-- {seed = 1, model = {d_model = 64}} -> {"model.d_model=64", "seed=1"}: maps by dotted keys, all in order.
-- json.null stands for null.
---@param map table<string, any>
---@return string[]
function settings.words(map)
  local words = {}
  append(words, "", map)
  return words
end

-- What the configuration in a run folder has otherwise than these settings of the script would: {{key =, old =,
-- new =}, …}. A script without a config.yaml beside it takes none, so nothing differs. Unknown keys and wrong types are
-- errors in words.
function settings.changes(script, words, dir)
  local template = (script:match "^(.*)/[^/]*$" or ".") .. "/config.yaml"
  if not system.exists(template) then return {} end
  local now = config.load(template, {overrides = words})
  local saved = dir .. "/config.yaml"
  return system.exists(saved) and config.diff(saved, now) or {}
end

return settings
