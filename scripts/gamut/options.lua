-- Options in a table, checked: unknown names, wrong types and missing ones are errors in words.

local maps = require "gamut.maps"
local nearest = require("gamut.native.tensor").nearest

-- "integer?" is an integer or nothing; "integer" must be given. An "object" is of the library's making: a Lua table or
-- a native one.
local function fits(value, kind)
  if kind == "integer" then return math.type(value) == "integer" end
  if kind == "any" then return true end
  if kind == "object" then return type(value) == "table" or type(value) == "userdata" end
  return type(value) == kind
end

---@param who string what the options belong to, for messages
---@param options table?
---@param known table<string, string> type by name; a `?` at its end makes it optional
---@return table options
local function check(who, options, known)
  if options == nil then options = {} end
  if type(options) ~= "table" then
    error(("%s takes its options as a table, got a %s"):format(who, type(options)), 3)
  end
  for name in pairs(options) do
    if not known[name] then
      local names = maps.keys(known)
      local near = nearest(names, tostring(name))
      local hint = #near > 0 and ("; did you mean `%s`?"):format(near[1])
        or ("; it has `%s`"):format(table.concat(names, "`, `"))
      error(("%s has no option `%s`%s"):format(who, tostring(name), hint), 3)
    end
  end
  for _, name in ipairs(maps.keys(known)) do
    local kind, optional = known[name]:match "^(%a+)(%??)$"
    local value = options[name]
    if value == nil and optional == "" then error(("%s needs `%s`"):format(who, name), 3) end
    if value ~= nil and not fits(value, kind) then
      local article = kind:match "^[aio]" and "an" or "a"
      error(("%s: `%s` must be %s %s, got %s (%s)")
        :format(who, name, article, kind, tostring(value), type(value)), 3)
    end
  end
  return options
end

return check
