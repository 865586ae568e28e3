-- What a run that goes on is held against: its record, its configuration, its plugins and its program.
-- A difference that would change the study is refused unless the user accepts it by name; one that can
-- only change last bits is a line in metrics.jsonl.

local gamut = require "gamut"
local config = require "gamut.native.config"
local context = require "gamut.train.context"
local json = require "gamut.native.json"
local provenance = require "gamut.train.provenance"
local system = require "gamut.native.system"

local resume = {}

local function decode_record(path)
  local record = json.decode(system.read_file(path))
  if type(record) ~= "table" or record.format ~= 1 then error("it is no record of a run", 0) end
  return record
end

-- run.json of the run that goes on; an empty record where the user goes on without it.
function resume.record(folder)
  local path = folder:path("run.json")
  local ok, result = pcall(decode_record, path)
  if ok then return result end
  if folder:accepts("run.json") then return {} end
  local reason = system.exists(path) and "is damaged (" .. tostring(result) .. ")" or "is missing"
  context.refuse(("%s %s, so what the run was started with cannot be compared; --accept run.json goes on and writes a "
    .. "new one"):format(path, reason))
end

local function check_config(folder, now)
  local path = folder:path("config.yaml")
  if not system.exists(path) then
    context.refuse(("%s is missing, so the run's configuration is not known; put it back, or begin a new run")
      :format(path))
  end
  local changes = {}
  for _, change in ipairs(config.diff(path, now)) do
    if not folder:accepts(change.key) then
      changes[#changes + 1] = ("%s was %s and is now %s (--accept %s)")
        :format(change.key, change.old, change.new, change.key)
    end
  end
  if #changes > 0 then
    context.refuse(("%s was started with another configuration: %s"):format(folder.root, table.concat(changes, "; ")))
  end
end

-- A plugin of another version may compute something else; another build of the same version should not.
local function check_plugins(folder, record, notes)
  local now, changes = {}, {}
  for _, plugin in ipairs(provenance.used_plugins()) do now[plugin.kind .. plugin.name] = plugin end
  for _, was in ipairs(record.plugins or {}) do
    local is = now[was.kind .. was.name]
    local who = ("%s `%s`"):format(was.kind, was.name)
    if is and is.version ~= was.version then
      local accepted = "plugin:" .. was.name
      local list = folder:accepts(accepted) and notes or changes
      list[#list + 1] = ("%s was version %s and is now %s%s"):format(who, was.version, is.version,
        list == changes and (" (--accept %s)"):format(accepted) or "")
    elseif is and is.sha256 ~= was.sha256 then
      notes[#notes + 1] = ("%s is another build of version %s than before; last bits may differ")
        :format(who, is.version)
    end
  end
  if #changes > 0 then
    context.refuse(("%s was started with other plugins: %s"):format(folder.root, table.concat(changes, "; ")))
  end
end

local function compare_program(record, script, notes)
  local function compare(what, was, is)
    if was and was ~= is then notes[#notes + 1] = ("%s is now %s, was %s"):format(what, is, was) end
  end
  compare("LibTorch", record.libtorch, gamut.libtorch_version)
  compare("gamut", record.gamut, gamut.version)
  if record.script_sha256 and record.script_sha256 ~= system.sha256(script) then
    notes[#notes + 1] = ("%s has changed since the run was started"):format(script)
  end
end

-- Ends the process over a change that was not accepted; returns what to write down of the others.
function resume.check(folder, record, now, script)
  local notes = {}
  if not next(record) then notes[1] = "run.json was missing or damaged, and is made anew" end
  check_config(folder, now)
  check_plugins(folder, record, notes)
  compare_program(record, script, notes)
  return notes
end

return resume
