-- The Gamut side of a comparison: runs the cases that driver.py asks for on its standard input. The
-- commands and answers are those of worker.py.
local gamut = require "gamut"
local runtime = require "gamut.native.runtime"
local system = require "gamut.native.system"

local here = arg[0]:match "^(.*)/" or "."
gamut.set_num_threads(2)
gamut.manual_seed(1)

local cases = {}
for _, file in ipairs { "operators", "attention", "floors", "muon", "speech", "memory_cache", "codecs", "golf" } do
  for name, make in pairs(dofile(here .. "/" .. file .. ".lua")) do cases[name] = make end
end

local function parse(words)
  local arguments = {}
  for key, value in words:gmatch "(%S-)=(%S+)" do arguments[key] = math.tointeger(value) or value end
  return arguments
end

local function answer(...)
  print(...)
  io.stdout:flush()
end

local function timed(call, calls)
  local figures = {}
  for i = 1, calls do
    local began = system.monotonic()
    gamut.scope(call)
    figures[i] = ("%.6f"):format((system.monotonic() - began) * 1e3)
  end
  return table.concat(figures, " ")
end

local function first_line(message) return tostring(message):match "^[^\n]*" end

local call, about
local commands = {}

function commands.begin(words)
  local name, rest = words:match "^(%S+)%s*(.*)$"
  local ok, result, facts = pcall(cases[name], parse(rest))
  if not ok then return answer("missing " .. first_line(result)) end
  call, about = result, facts or {}
  answer "ready"
end

commands["time"] = function(words)
  local ok, result = pcall(timed, call, math.tointeger(words))
  answer(ok and "ms " .. result or "missing " .. first_line(result))
end

function commands.ask()
  local facts = {}
  for key, value in pairs(about) do facts[#facts + 1] = key .. "=" .. tostring(value) end
  answer("answer " .. table.concat(facts, " "))
end

-- Gives back what is kept for the next tensors, so that memory counts from what is in use.
function commands.trim()
  collectgarbage()
  collectgarbage()
  runtime.release_memory()
  answer "ended"
end

commands["end"] = function()
  call, about = nil, nil
  commands.trim()
end

answer "ready"
for line in io.lines() do
  local command, words = line:match "^(%S+)%s*(.*)$"
  commands[command](words)
end
