-- What `gamut repl` does with a line: evaluate and show, complete, help. The program edits lines.

local gamut = require "gamut"
local maps = require "gamut.maps"
local native = require "gamut.native.tensor"

local repl = {}

local SHOWN = 40 -- entries of a table that are printed

local function sorted_keys(table_)
  local keys = {}
  for key in next, table_ do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
    return type(a) < type(b)
  end)
  return keys
end

local function show_table(value, depth)
  if depth == 2 then return "{...}" end
  local parts, position = {}, 1
  for _, key in ipairs(sorted_keys(value)) do
    if #parts == SHOWN then
      parts[#parts + 1] = "..."
      break
    end
    local item = value[key]
    local text = type(item) == "table" and not (getmetatable(item) or {}).__tostring
      and show_table(item, depth + 1) or type(item) == "string" and ("%q"):format(item) or tostring(item)
    if key == position then
      position = position + 1
      parts[#parts + 1] = text
    else
      parts[#parts + 1] = ("%s = %s"):format(type(key) == "string" and key or "[" .. tostring(key) .. "]", text)
    end
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function show(value)
  if type(value) ~= "table" then return tostring(value) end
  local meta = getmetatable(value)
  if meta and (meta.__tostring or meta.__name) then return tostring(value) end
  if value == gamut then return "the gamut library; help(gamut) lists it" end
  return show_table(value, 0)
end

-- Prints the results of an expression, each on a line.
function repl.print(...)
  for i = 1, select("#", ...) do print(show((select(i, ...)))) end
end

-- A function for the source, or nil and why not; `incomplete` when more lines may complete it.
function repl.load(source)
  local name = source:match "^%s*%?%s*(.-)%s*$"
  if name then return function() repl.help_name(name) end end
  local chunk = load("return " .. source, "=repl", "t")
  if chunk then return function() repl.print(chunk()) end end
  local problem
  chunk, problem = load(source, "=repl", "t")
  if chunk then return function() repl.print(chunk()) end end
  return nil, problem, problem:match "<eof>$" ~= nil
end

local function members_of(value)
  local names = {}
  local function add_keys(from)
    for key in next, from do
      if type(key) == "string" then names[key] = true end
    end
  end
  local function add_operators()
    for _, name in ipairs(native.operator_names "aten") do names[name] = true end
  end
  if native.is_tensor(value) then
    add_operators()
    add_keys(debug.getmetatable(value).members)
    return names
  end
  for _ = 1, 8 do -- along the chain of __index tables
    if type(value) == "table" then add_keys(value) end
    if value == gamut then
      add_operators()
      add_keys(gamut.submodules)
    end
    local meta = debug.getmetatable(value)
    if meta and rawget(meta, "parts") then add_keys(meta.parts) end
    value = meta and rawget(meta, "__index")
    if type(value) ~= "table" then break end
  end
  return names
end

-- The value of a field without running any code but the library's own lazy loading.
local function field(value, name)
  local lazy = type(value) == "table" and debug.getmetatable(value)
  local loads = lazy and type(rawget(lazy, "parts")) == "table" and lazy.parts[name]
  if value == gamut or loads or native.is_tensor(value) then
    local ok, found = pcall(function() return value[name] end)
    return ok and found or nil
  end
  for _ = 1, 8 do
    if type(value) == "table" and rawget(value, name) ~= nil then return rawget(value, name) end
    local meta = debug.getmetatable(value)
    value = meta and rawget(meta, "__index")
    if type(value) ~= "table" then return nil end
  end
end

local function resolve(path)
  local value = _G
  for name in path:gmatch "[^.:]+" do
    value = field(value, name)
    if value == nil then return nil end
  end
  return value
end

-- What the word at the cursor may become: "gamut.nn.Lin" gives {"gamut.nn.Linear"}.
function repl.complete(word)
  local path, separator, start = word:match "^(.*)([.:])([%w_]*)$"
  if not path then path, separator, start = "", "", word end
  local value = resolve(path)
  if value == nil then return {} end
  local candidates = {}
  for name in pairs(members_of(value)) do
    local hidden = name:sub(1, 1) == "_" and start == ""
    if name:sub(1, #start) == start and not hidden then
      candidates[#candidates + 1] = path .. separator .. name
    end
  end
  table.sort(candidates)
  return candidates
end

local function help_members(value)
  local names = maps.keys(members_of(value), function(name) return name:sub(1, 1) ~= "_" end)
  local line = " "
  for _, name in ipairs(names) do
    if #line + #name > 98 then
      print(line)
      line = " "
    end
    line = line .. " " .. name
  end
  print(line)
end

-- help(x): the signatures of an operator, the fields of a table, the properties of a tensor.
function repl.help(value)
  if value == nil or value == _G.help then
    print "help(value) or `? name` says what something is: an operator's signatures, a module's fields."
    print "Tab completes names; an expression prints its value; Ctrl-D leaves."
    return
  end
  local signatures = type(value) == "function" and native.signatures_of(value)
  if signatures then
    for _, signature in ipairs(signatures) do print("  " .. signature) end
  elseif type(value) == "function" then
    local info = debug.getinfo(value, "S")
    print(info.what == "C" and "  a function of the program"
      or ("  a function defined at %s:%d"):format(info.short_src, info.linedefined))
  elseif type(value) == "table" or native.is_tensor(value) then
    help_members(value)
  else
    print("  a " .. type(value) .. ": " .. tostring(value))
  end
end

-- `? name`, where the name may be a path or any operator.
function repl.help_name(name)
  if name == "" then return repl.help(nil) end
  local value = resolve(name)
  if value == nil then value = resolve("gamut." .. name) end -- as scripts name it: nn.Linear
  if value == nil then
    local signatures = native.signatures("aten", (name:match "([%w_]+)$" or name))
    if #signatures > 0 then
      for _, signature in ipairs(signatures) do print("  " .. signature) end
      return
    end
    local near = native.nearest(native.operator_names "aten", name)
    print(("  nothing is called `%s`%s")
      :format(name, #near > 0 and "; did you mean `" .. table.concat(near, "`, `") .. "`?" or ""))
    return
  end
  repl.help(value)
end

-- Globals of a session.
rawset(_G, "gamut", gamut)
-- `help` alone helps too, as in Python.
rawset(_G, "help", setmetatable({}, {
  __call = function(_, value) repl.help(value) end,
  __tostring = function() return "help(value) or `? name` says what something is; help() says more" end,
}))

return repl
