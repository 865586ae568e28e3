-- What the verbs of `gamut bench` are told on the command line: names first, then key=value; and their help.
local native = require "gamut.native.prepare"

local settings = {}

---Splits the words of a verb, and checks those that set something.
---@param declared table[] as `gamut data` declares settings: {name, type, default =, doc =, choices =, min =}
---@param words string[]
---@param who string what the settings belong to, for messages
---@return table settings by name, defaults put in
---@return string[] names the words that set nothing
function settings.parse(declared, words, who)
  local names, given = {}, {}
  for _, word in ipairs(words) do
    local into = word:find("=", 2, true) and given or names
    into[#into + 1] = word
  end
  return native.settings(declared, given, who), names
end

---A line of help for each setting.
---@param declared table[]
function settings.describe(declared)
  for _, option in ipairs(declared) do
    local default = option.default == "" and "none" or tostring(option.default)
    local choices = option.choices and (" (" .. table.concat(option.choices, ", ") .. ")") or ""
    print(("  %-14s %-10s %s%s"):format(option[1], default, option.doc, choices))
  end
end

return settings
