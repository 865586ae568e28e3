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

-- A time that is not known to the second: "about 40 s", "about 10 min", "about 2 h 10 min".
function listing.about(seconds)
  local rounded = seconds < 90 and seconds or (seconds + 30) // 60 * 60
  return ("about " .. format.duration(rounded)):gsub("min 0 s$", "min")
end

-- "2 of 6 cells to do, about 20 min; 1 run by other processes".
local function to_do(plan)
  local count, held, seconds = 0, 0, 0
  for _, cell in ipairs(plan.list) do
    if cell.status == "running" then
      held = held + 1
    elseif cell.status ~= "finished" then
      local estimate = listing.estimate(plan, cell)
      count, seconds = count + 1, seconds and estimate and seconds + estimate
    end
  end
  local time = count > 0 and seconds and ", " .. listing.about(seconds) or ""
  local others = held > 0 and ("; %d run by other processes"):format(held) or ""
  return ("%d of %d cells to do%s%s"):format(count, #plan.list, time, others)
end

-- The settings that all cells have in common, and a set of them.
local function shared_words(plan)
  local count, shared, is_shared = {}, {}, {}
  for _, cell in ipairs(plan.list) do
    for _, word in ipairs(cell.words) do count[word] = (count[word] or 0) + 1 end
  end
  for _, word in ipairs(plan.list[1] and plan.list[1].words or {}) do
    if count[word] == #plan.list and #plan.list > 1 then shared[#shared + 1], is_shared[word] = word, true end
  end
  return shared, is_shared
end

local function own_words(cell, is_shared)
  local own = {}
  for _, word in ipairs(cell.words) do
    if not is_shared[word] then own[#own + 1] = word end
  end
  return table.concat(own, " ")
end

-- The lines of --dry-run: every cell, how it stands, its time, and its settings; then those that all have.
function listing.show(plan)
  local rows, shared, is_shared = {}, shared_words(plan)
  for i, cell in ipairs(plan.list) do
    local left = listing.estimate(plan, cell)
    local time = cell.status == "finished" and cell.seconds and "took " .. format.duration(cell.seconds)
      or left and listing.about(left) or ""
    rows[i] = {("[%d of %d]"):format(i, #plan.list), cell.title, progress_of(cell), time, own_words(cell, is_shared)}
  end
  print(plan.folder)
  for _, line in ipairs(text_table(rows)) do print(line) end
  if #shared > 0 then print("all: " .. table.concat(shared, " ")) end
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
