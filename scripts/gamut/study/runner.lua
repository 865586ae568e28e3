-- Runs the cells of a plan as child processes, one at a time.

local gamut = require "gamut"
local listing = require "gamut.study.listing"
local process = require "gamut.native.process"
local system = require "gamut.native.system"

local runner = {}

local EXIT_CODE = {SIGINT = 130, SIGTERM = 143}

local function say(...)
  io.stdout:write(...)
  io.stdout:write("\n")
  io.stdout:flush() -- before the child writes
end

-- The command line of a cell: as a user would start it, or go on with it.
local function command_of(plan, cell)
  local words = {plan.settings.command[1]}
  local function add(...)
    for _, word in ipairs{...} do words[#words + 1] = word end
  end
  add(table.unpack(plan.settings.program_options))
  add("run", cell.script, "--run-dir", cell.dir)
  if cell:is_begun() then
    add "--resume"
    for _, name in ipairs(cell.accept) do add("--accept", name) end
  end
  add(table.unpack(cell.words))
  return words
end

-- The last thing that a failed cell said, for who reads only the summary.
local function last_words(log)
  local file = io.open(log, "rb")
  if not file then return nil end
  file:seek("set", math.max(0, file:seek "end" - 4096))
  local said, last
  for line in file:lines() do
    said = line:match "^gamut: (.+)" or said
    last = line:match "%S" and line or last
  end
  file:close()
  return said or last
end

-- Why a child that did not finish its run ended: a signal's exit code, or words.
local function verdict(cell, ended)
  local signal = ended.signal
  if ended.exit_code == 130 or ended.exit_code == 143 then return ended.exit_code end
  if signal == 2 or signal == 15 then return 128 + signal end
  if signal == 9 then return nil, "it was killed (SIGKILL); the memory may have run out" end
  if signal then return nil, ("it was ended by signal %d"):format(signal) end
  return nil, last_words(cell.dir .. "/output.log") or ("it ended with exit code %d"):format(ended.exit_code)
end

local function heading(plan, index, cell)
  local left = listing.estimate(plan, cell)
  local parts = {("[%d of %d] %s"):format(index, #plan.list, cell.title)}
  if cell:is_begun() and cell.record then parts[#parts + 1] = ("goes on at step %d"):format(cell.record.steps or 0) end
  if left then parts[#parts + 1] = listing.about(left) end
  return table.concat(parts, ", ")
end

-- Runs one cell under its claim. Returns the exit code of a signal that ended it, else nothing.
local function run_cell(plan, index, cell, claim)
  say("\n", heading(plan, index, cell))
  local words = command_of(plan, cell)
  local ended = process.run_self(words, {log = cell.dir .. "/output.log", claim = claim})
  cell.error, cell.was_run = nil, true
  claim:release()
  cell:refresh()
  if cell.status == "finished" then return nil end
  local code, reason = verdict(cell, ended)
  if reason then
    cell.error, cell.status = reason, "failed"
    io.stderr:write(("gamut: cell %s failed: %s\n"):format(cell.name, reason))
  end
  return code
end

-- Ends the process after a signal; what was cut off goes on when the same command is given again.
local function stop(code)
  say "\nThe same command goes on where this one stopped."
  os.exit(code, true)
end

-- The author's function must not cost the cells that are still to run.
local function call_after(self, cell)
  local ok, message = pcall(self.after, self.plan, cell)
  self.complaint = not ok and message or nil
  if not ok then io.stderr:write(("gamut: after cell %s: %s\n"):format(cell.name, tostring(message))) end
end

-- The claim on a cell that is not done; nil where it is, or where another process has it, which is said once.
local function take(self, index, cell)
  cell:refresh()
  if cell.status == "finished" then return nil end
  local claim, holder = nil, cell.holder
  if not holder then
    system.make_directories(cell.dir)
    claim, holder = process.claim(cell:lock_path())
  end
  if holder and not self.said[cell] then
    say(("\n[%d of %d] %s: %s works on it"):format(index, #self.plan.list, cell.title, holder))
    self.said[cell] = true
  end
  if not claim then return nil end
  -- Its holder may have finished it between the look and the claim.
  if cell:refresh().status ~= "finished" then return claim end
  claim:release()
end

-- Runs a cell that can be taken. Returns whether it was run.
local function attempt(self, index, cell)
  local claim = take(self, index, cell)
  if not claim then return false end
  local code = run_cell(self.plan, index, cell, claim)
  self.tried[cell] = true
  self.plan:save()
  call_after(self, cell)
  code = code or EXIT_CODE[gamut.interrupted()]
  if code then stop(code) end
  return true
end

-- Goes over the cells, and again as long as one was run: what others held may be free by then, and not done.
function runner.run(plan, after)
  local self = {plan = plan, after = after, tried = {}, said = {}}
  after(plan)
  listing.opening(plan)
  repeat
    local ran = false
    for index, cell in ipairs(plan.list) do
      if gamut.interrupted() then stop(EXIT_CODE[gamut.interrupted()]) end
      if not self.tried[cell] then ran = attempt(self, index, cell) or ran end
    end
  until not ran
  if self.complaint then error(self.complaint, 0) end
  local complete = true
  for _, cell in ipairs(plan:cells()) do complete = complete and cell.status == "finished" end
  return complete
end

return runner
