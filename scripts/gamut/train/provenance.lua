-- What run.json says about where a run came from: enough to repeat it.

local gamut = require "gamut"
local json = require "gamut.native.json"
local machine = require "gamut.train.machine"
local plugins = require "gamut.native.plugins"
local system = require "gamut.native.system"

local provenance = {}

-- A shell word that means exactly `text`.
local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function output_of(command)
  local pipe = io.popen(command .. " 2>/dev/null")
  local text = pipe and pipe:read("a") or ""
  if pipe then pipe:close() end
  return (text:gsub("%s+$", ""))
end

-- The commit of the script's checkout and whether files differ from it; nil outside of git.
function provenance.git(directory)
  local git = "git -C " .. quoted(directory)
  local revision = output_of(git .. " rev-parse HEAD")
  if revision == "" then return nil end
  return {revision = revision, modified = output_of(git .. " status --porcelain") ~= ""}
end

-- The plugins that this run uses: what they call themselves and the hash of the file.
function provenance.used_plugins()
  local used = json.array{}
  for _, plugin in ipairs(plugins.list()) do
    if plugin.is_open then
      used[#used + 1] = {
        kind = plugin.kind, name = plugin.name, version = plugin.version, path = plugin.path,
        sha256 = plugin.path ~= "" and system.sha256(plugin.path) or nil,
      }
    end
  end
  return used
end

local function device_of(model)
  local first = model:parameters()[1]
  return first and first.device or "cpu"
end

-- The record of a run; `earlier` is the one of the run that is resumed, whose start it keeps.
function provenance.record(run, earlier)
  local settings = run.settings
  local now = os.date("!%Y-%m-%dT%H:%M:%SZ")
  local record = {
    format = 1, study = settings.study, script = settings.script, command = settings.command,
    script_sha256 = system.sha256(settings.script),
    started = earlier and earlier.started or now, resumed = earlier and earlier.resumed or json.array{},
    git = provenance.git(settings.script_dir),
    gamut = gamut.version, libtorch = gamut.libtorch_version, plugins = provenance.used_plugins(),
    device = machine(device_of(run.model)),
    data = run.data.fingerprint, parameters = run.model:parameter_count(), describe = run.model:describe(),
    seconds = earlier and earlier.seconds or 0, results = earlier and earlier.results,
  }
  if settings.resume then record.resumed[#record.resumed + 1] = {time = now, step = run.step} end
  return record
end

return provenance
