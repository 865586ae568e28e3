-- What a study says of itself on the terminal: the plan, the time it will take, and how it stands.

local format = require "gamut.report.format"
local text_table = require "gamut.report.text_table"

local listing = {}

-- Seconds that cells like this one took: those that differ in their seed only.
local function seconds_of_alike(plan, cell)
  local total, count = 0, 0
  for _, other in ipairs(plan.list) do
    if other.status == "finished" and other.seconds and other.script == cell.script then
      local alike = true
      for name, value in pairs(cell.labels) do alike = alike and (name == "seed" or other.labels[name] == value) end
      if alike then total, count = total + other.seconds, count + 1 end
    end
  end
  return count > 0 and total / count or nil
end

-- Seconds that a cell still needs, where its author said how long it takes or others like it were run.
function listing.estimate(plan, cell)
  if cell.status == "finished" then return 0 end
  local whole = seconds_of_alike(plan, cell) or cell.estimate
  return whole and math.max(0, whole - (cell.seconds or 0))
end

local function progress_of(cell)
  local record = cell.record
  if cell.status == "running" then return "running, held by " .. cell.holder end
  if cell.status == "interrupted" and record then return ("cut off at step %d"):format(record.steps or 0) end
  if cell.status == "failed" then return "failed: " .. (cell.error or "its report tells why") end
  return cell.status == "planned" and "to do" or cell.status
end

-- Cells to do and the seconds they need; nil where one's are not known.
local function left_to_do(plan)
  local count, seconds = 0, 0
  for _, cell in ipairs(plan.list) do
    if cell.status ~= "finished" and cell.status ~= "running" then
      local estimate = listing.estimate(plan, cell)
      count, seconds = count + 1, seconds and estimate and seconds + estimate
    end
  end
  return count, seconds
end

local function to_do(plan)
  local count, seconds = left_to_do(plan)
  local time = count > 0 and seconds and (", about %s"):format(format.duration(seconds)) or ""
  return ("%d of %d cells to do%s"):format(count, #plan.list, time)
end

-- The lines of --dry-run: every cell, how it stands, its time, and its settings.
function listing.show(plan)
  local rows = {}
  for i, cell in ipairs(plan.list) do
    local left = listing.estimate(plan, cell)
    local time = cell.status == "finished" and cell.seconds and "took " .. format.duration(cell.seconds)
      or left and "about " .. format.duration(left) or ""
    rows[i] = {("[%d of %d]"):format(i, #plan.list), cell.title, progress_of(cell), time, table.concat(cell.words, " ")}
  end
  print(plan.folder)
  for _, line in ipairs(text_table(rows)) do print(line) end
  print(to_do(plan))
end

function listing.opening(plan)
  print(("%s: %s"):format(plan.folder, to_do(plan)))
end

-- Says what is not finished; returns how many cells failed.
function listing.summary(plan)
  local count, rows = {failed = 0, finished = 0}, {}
  for _, cell in ipairs(plan:cells()) do
    count[cell.status] = (count[cell.status] or 0) + 1
    if cell.status ~= "finished" then rows[#rows + 1] = {"  " .. cell.title, progress_of(cell)} end
  end
  print(("\n%d of %d cells finished"):format(count.finished, #plan.list))
  for _, line in ipairs(text_table(rows)) do print(line) end
  if count.failed > 0 then print "The same command tries again those that failed; their output is in output.log." end
  print(("Study folder: %s"):format(plan.folder))
  return count.failed
end

return listing
