-- What `gamut run` tells the script that it runs: configuration, run folder, what to resume.

local gamut = require "gamut"
local system = require "gamut.native.system"

local context = {}

-- Set by the run verb before the script starts; absent under `gamut exec` and in the REPL.
local settings = package.loaded["gamut.native.run"]

-- The table of the run verb, or an error that says how to start the script.
function context.settings()
  if not settings then
    error("this script trains, so start it with `gamut run`, not `gamut exec`", 3)
  end
  return settings
end

-- Ends the process over a configuration that cannot be used: the user has to act, not the script.
local CONFIGURATION_ERROR = 3
function context.refuse(message)
  io.stderr:write("gamut: ", message, "\n")
  os.exit(CONFIGURATION_ERROR, true)
end

local config, config_name

-- The resolved configuration: the file `name` beside the script (config.yaml unless it says another, as the
-- second script of a folder does), then --config files, then key=value.
-- Reading a key that is not there is an error that names the nearest one.
---@param name? string
function context.config(name)
  if config and name and name ~= config_name then
    error(("the configuration was read from %s already, so it cannot be %s"):format(config_name, name), 2)
  end
  if not config then
    local given = context.settings()
    config_name = name or "config.yaml"
    local path = given.script_dir .. "/" .. config_name
    if not system.exists(path) then
      error(("there is no %s beside %s; put one there: it declares the keys that can be set")
        :format(config_name, given.script), 2)
    end
    local ok, loaded = pcall(require("gamut.native.config").load, path,
      {files = given.config_files, overrides = given.overrides})
    if not ok then context.refuse(loaded) end
    config = loaded
  end
  return config
end

-- "auto" is CUDA where a device answers, else the CPU; "cpu" and "cuda" are taken at their word.
---@param wanted? "auto"|"cpu"|"cuda"|string
function context.device(wanted)
  wanted = wanted or "auto"
  local available = gamut.cuda_available()
  if wanted == "auto" then return available and "cuda" or "cpu" end
  if wanted:match("^cuda") and not available then
    error(("device `%s` was asked for, but no CUDA device answers here; `gamut --version` says what this program found")
      :format(wanted), 2)
  end
  return wanted
end

return context
