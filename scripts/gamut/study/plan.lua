-- The plan of a study: its cells in order, what is done of them, and study.json.

local check = require "gamut.options"
local cells = require "gamut.study.cell"
local context = require "gamut.train.context"
local json = require "gamut.native.json"
local listing = require "gamut.study.listing"
local process = require "gamut.native.process"
local runner = require "gamut.study.runner"
local settings = require "gamut.study.settings"
local system = require "gamut.native.system"

---@class gamut.study.Plan
---@field folder string
---@field dry_run boolean whether the command asks only what would be done (--dry-run)
local Plan = {}
Plan.__index = Plan

-- A file's name without folder and ending.
local function stem(path) return path:match "([^/]+)%.%w+$" or path:match "([^/]+)/*$" end

-- Where a study's cells go: --run-dir, or runs/<the experiment's folder>/<the script's name>, with the names of
-- --config files behind it: another script is another grid, and so is another configuration file.
local function folder()
  local given = context.settings()
  if given.run_dir then return given.run_dir end
  local names = {stem(given.script)}
  for _, file in ipairs(given.config_files) do names[#names + 1] = stem(file) end
  return ("%s/%s/%s"):format(given.runs_root, given.script_dir:match "([^/]+)/*$", table.concat(names, "_"))
end

-- Whether the command asks only what would be done: --dry-run.
local function is_dry_run() return context.settings().dry_run end

local function read_rows(path)
  if not system.exists(path) then return {} end
  local ok, saved = pcall(function() return json.decode(system.read_file(path)) end)
  return ok and type(saved) == "table" and type(saved.cells) == "table" and saved.cells or {}
end

-- What `--accept` names beside settings, for the runs that go on to judge.
local function is_for_runs(name)
  return name == "data" or name == "run.json" or name == "all" or name:match "^plugin:" ~= nil
end

-- The user's --accept, by name: true, and "needed" once a difference of that name was found.
local function accepted_names(list)
  local accepted = {}
  for _, name in ipairs(list) do accepted[name] = is_for_runs(name) and "needed" or true end
  return accepted
end

-- The differences of a cell that were not accepted, as lines for the user; the others are the cell's to accept.
local function differences(cell, accepted)
  local ok, changes = pcall(settings.changes, cell.script, cell.words, cell.dir)
  if not ok then context.refuse(("cell %s: %s"):format(cell.name, (changes:gsub("^%S+%.lua:%d+: ", "")))) end
  local lines = {}
  for _, change in ipairs(changes) do
    local name = accepted[change.key] and change.key or accepted.all and "all"
    if name then
      accepted[name] = "needed"
      table.insert(cell.accept, change.key)
    else
      lines[#lines + 1] = ("  %s, %s: %s was %s and is now %s (--accept %s)")
        :format(cell.name, cell.status, change.key, change.old, change.new, change.key)
    end
  end
  return lines
end

-- Cells that were begun with other settings than they have now would stand beside the others under a false name.
local function refuse_changes(self)
  local accepted, lines = accepted_names(self.settings.accept), {}
  for _, cell in ipairs(self.list) do
    cell.accept = {}
    for _, name in ipairs(self.settings.accept) do
      if is_for_runs(name) then table.insert(cell.accept, name) end
    end
    for _, line in ipairs(differences(cell, accepted)) do lines[#lines + 1] = line end
  end
  if #lines > 0 then
    context.refuse(("%s holds cells that were run with other settings than these:\n%s\nchoose another --run-dir, move "
      .. "those folders away, or accept the difference by name"):format(self.folder, table.concat(lines, "\n")))
  end
  for _, name in ipairs(self.settings.accept) do
    if accepted[name] ~= "needed" then
      io.stderr:write(("gamut: --accept %s was not needed: nothing of that name differs\n"):format(name))
    end
  end
end

local OPTIONS = {cells = "table", folder = "string?"}

-- Reads what the folder holds; writes nothing yet. A cell that was begun with another configuration ends the process
-- in words (exit code 3).
---@param options {cells: table[], folder?: string}
---@return gamut.study.Plan
local function new(options)
  check("study.plan", options, OPTIONS)
  if #options.cells == 0 then error("there are no cells in this study; what was asked for leaves none", 2) end
  local self = setmetatable({settings = context.settings(), folder = options.folder or folder(), list = {}}, Plan)
  self.dry_run = is_dry_run()
  local script_dir = self.settings.script:match "^(.*)/[^/]*$" or "."
  self.by_name = {}
  for i, given in ipairs(options.cells) do
    local cell = cells.new(given, self.folder, script_dir)
    if self.by_name[cell.name] then error(("two cells of this study are called %s"):format(cell.name), 2) end
    self.list[i], self.by_name[cell.name] = cell, cell
  end
  for _, row in ipairs(read_rows(self:path "study.json")) do
    local cell = self.by_name[row.name]
    if cell then cell.error = row.error end
  end
  for _, cell in ipairs(self.list) do cell:refresh() end
  refuse_changes(self)
  return self
end

function Plan:path(name) return self.folder .. "/" .. name end

-- The cells of this command, in its order, as their folders are now.
---@return gamut.study.Cell[]
function Plan:cells()
  for _, cell in ipairs(self.list) do cell:refresh() end
  return self.list
end

-- Those, and before them the cells of earlier commands in this folder that this one leaves out.
---@return gamut.study.Cell[]
function Plan:all_cells()
  local all = {}
  for _, row in ipairs(read_rows(self:path "study.json")) do
    if not self.by_name[row.name] then all[#all + 1] = cells.recall(row, self.folder):refresh() end
  end
  return table.move(self:cells(), 1, #self.list, #all + 1, all)
end

-- study.json: every cell that was ever planned here. Another process may write it at the same moment.
function Plan:save()
  local _ <close> = process.claim(self:path ".lock", {wait = true})
  local rows, at = json.array{}, {}
  for _, row in ipairs(read_rows(self:path "study.json")) do
    rows[#rows + 1] = row
    at[row.name] = #rows
  end
  for _, cell in ipairs(self.list) do
    local row = rows[at[cell.name]]
    if row and not cell.was_run then cell.error = row.error end -- another study may have run it since
    rows[at[cell.name] or #rows + 1] = cell:refresh():row()
  end
  system.write_file(self:path "study.json", json.encode({
    format = 1, script = self.settings.script, command = self.settings.command,
    written = os.date "!%Y-%m-%dT%H:%M:%SZ", cells = rows,
  }, {indent = 2}))
end

-- Runs the cells that are not done, one at a time, in order. Returns whether all are finished now; ends the process
-- with 130 or 143 when it was told to stop. With --dry-run lists them instead and runs nothing.
---@param options? {after?: fun(plan: gamut.study.Plan, cell?: gamut.study.Cell)} called first, and after every cell
---@return boolean
function Plan:run(options)
  options = check("plan:run", options, {after = "function?"})
  if self.dry_run then
    listing.show(self)
    return false
  end
  system.make_directories(self.folder)
  self:save()
  return runner.run(self, options.after or function() end)
end

-- Says how the study stands and ends the process: 0 when nothing failed, else 1.
function Plan:finish()
  if self.dry_run then os.exit(0, true) end
  local failed = listing.summary(self)
  os.exit(failed == 0 and 0 or 1, true)
end

return {new = new, folder = folder, is_dry_run = is_dry_run}
