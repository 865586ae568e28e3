-- The tables of the study, for the page, table.md and the terminal: what golf.results collected, in the words and
-- decimals of the published ones.
local format = require "gamut.report.format"
local published = require "golf.published"
local submission = require "golf.submission"

local tables = {}

local function decimals(pattern)
  return function(value) return value and pattern:format(value) end
end

local bpb, loss, difference, ratio = decimals "%.4f", decimals "%.4f", decimals "%+.4f", decimals "%.2fx"

local function count(value) return value and format.count(value) end

-- Milliseconds: whole ones as the study has them, more digits of short steps, and as many as `like` has.
local function ms(value, like)
  like = like or value
  return value and (like >= 99.95 and "%.0f" or like >= 9.995 and "%.1f" or "%.2f"):format(value)
end

-- "1.3999 ± 0.0042" of seeds that differ.
local function mean(stats, write)
  if not stats then return nil end
  local spread = stats.sd and stats.sd > 0 and " ± " .. write(stats.sd, stats.mean) or ""
  return write(stats.mean) .. spread
end

local function seeds_of(group)
  local done, all = #group.runs, #group.cells
  return done == all and tostring(done) or ("%d of %d"):format(done, all)
end

local function any_published(found)
  for _, group in ipairs(found.groups) do
    if #group.published > 0 then return true end
  end
  return false
end

-- The columns that are shown: without a published counterpart none of its own, and groups of one are none.
local function choose(columns, with_published)
  local used, members = {}, {}
  for _, column in ipairs(columns) do
    if with_published or not column.published then
      used[#used + 1] = column
      if column.group then members[column.group] = (members[column.group] or 0) + 1 end
    end
  end
  local shown = {}
  for i, column in ipairs(used) do
    local alone = column.group and members[column.group] == 1
    shown[i] = {
      alone and column.group or column[1], group = not alone and column.group or nil, number = column.number ~= false,
    }
  end
  return used, shown
end

-- Columns are {title, what makes a cell of a source, group =, published = true where only a counterpart fills it}.
local function build(columns, sources, with_published)
  local used, shown = choose(columns, with_published)
  local one = { columns = shown, rows = {} }
  for i, source in ipairs(sources) do
    one.rows[i] = {}
    for k, column in ipairs(used) do one.rows[i][k] = column[2](source) end
  end
  return one
end

local function figure(name) return function(group) return group.figures[name] end end

local function ours(name, write)
  return function(group) return mean(figure(name)(group).ours, write) end
end

local function theirs(name, write)
  return function(group) return mean(figure(name)(group).published, write) end
end

-- Bytes of the largest submission of a group: the limit holds for each.
local function largest(whose)
  return function(group)
    local stats = group.figures.submission_bytes[whose]
    return stats and count(stats.max)
  end
end

local MAIN = {
  { "context", function(group) return count(group.context) end },
  { "model", function(group) return group.model end, number = false },
  { "seeds", seeds_of },
  { "ours", ours("bpb", bpb), group = "bits per byte" },
  { "published", theirs("bpb", bpb), group = "bits per byte", published = true },
  { "difference", function(group) return difference(group.figures.bpb.difference) end, group = "bits per byte",
    published = true },
  { "ours", ours("step_average_ms", ms), group = "ms a step" },
  { "published", theirs("step_average_ms", ms), group = "ms a step", published = true },
  { "ratio", function(group) return ratio(group.figures.step_average_ms.ratio) end, group = "ms a step",
    published = true },
  { "ours", ours("steps", count), group = "steps" },
  { "published", theirs("steps", count), group = "steps", published = true },
  { "ours", largest "ours", group = "largest submission, bytes" },
  { "published", largest "published", group = "largest submission, bytes", published = true },
}

---By context and model: means and spread over the seeds, ours beside the published ones.
function tables.main(found)
  local one = build(MAIN, found.groups, any_published(found))
  for i = 2, #one.rows do
    if found.groups[i].context ~= found.groups[i - 1].context then one.rows[i].class = "first" end
  end
  return one
end

local function interval(one)
  return one.welch and ("%+.4f to %+.4f"):format(one.welch.low, one.welch.high)
end

local function better(value)
  return value and (value < 0 and "yes" or value > 0 and "no" or "alike")
end

-- Where the seeds leave it open, no verdict.
local function verdict(one)
  local open = one.welch and one.welch.low <= 0 and one.welch.high >= 0
  return open and "open" or better(one.difference)
end

local function of_published(key, write)
  return function(one) return one.published and write(one.published[key]) end
end

local COMPARISON = {
  { "context", function(one) return count(one.context) end },
  { "model", function(one) return one.model end, number = false },
  { "reference", function(one) return one.reference end, number = false },
  { "model", function(one) return mean(one.group.figures.bpb.ours, bpb) end, group = "bits per byte" },
  { "reference", function(one) return mean(one.base.figures.bpb.ours, bpb) end, group = "bits per byte" },
  { "difference", function(one) return difference(one.difference) end, group = "bits per byte" },
  { "95 % interval", interval, group = "bits per byte", interval = true },
  { "model", of_published("hybrid", bpb), group = "published", published = true },
  { "reference", of_published("baseline", bpb), group = "published", published = true },
  { "difference", of_published("difference", difference), group = "published", published = true },
  { "ours", verdict, group = "better" },
  { "published", of_published("difference", better), group = "better", published = true },
  { "ours", function(one) return ratio(one.speed) end, group = "speed" },
  { "published", of_published("speed", ratio), group = "speed", published = true },
}

---Every other model against the reference of its context, as the study sums itself up; nil where there is no such pair.
---Speed is the reference's time a step over the model's. Whether a model is better is open where the interval holds 0.
function tables.comparison(found)
  if #found.comparisons == 0 then return nil end
  local with_published, with_interval, columns = false, false, {}
  for _, one in ipairs(found.comparisons) do
    with_published, with_interval = with_published or one.published ~= nil, with_interval or one.welch ~= nil
  end
  for _, column in ipairs(COMPARISON) do
    if with_interval or not column.interval then columns[#columns + 1] = column end
  end
  return build(columns, found.comparisons, with_published)
end

local function of_schedule(whose, key)
  return function(group) return count(group.schedule[whose][key]) end
end

local SCHEDULES = {
  { "context", function(group) return count(group.context) end },
  { "model", function(group) return group.model end, number = false },
  { "ours", of_schedule("ours", "train_batch_tokens"), group = "tokens a step" },
  { "published", of_schedule("published", "train_batch_tokens"), group = "tokens a step", published = true },
  { "ours", of_schedule("ours", "momentum_warmup_steps"), group = "momentum warm-up, steps" },
  { "published", of_schedule("published", "momentum_warmup_steps"), group = "momentum warm-up, steps",
    published = true },
  { "ours", of_schedule("ours", "warmdown_steps"), group = "warm-down, steps" },
  { "published", of_schedule("published", "warmdown_steps"), group = "warm-down, steps", published = true },
  { "seconds of training", function(group)
    local seconds = group.schedule.max_seconds
    return seconds and seconds > 0 and ("%g"):format(seconds) or nil
  end },
}

---The schedules that the runs had, published or derived from step times here; nil before a run has finished.
function tables.schedules(found)
  local groups = {}
  for _, group in ipairs(found.groups) do
    if group.schedule then groups[#groups + 1] = group end
  end
  return #groups > 0 and build(SCHEDULES, groups, any_published(found)) or nil
end

-- The published run of the same seed.
local function twin(group, run)
  for _, other in ipairs(group.published) do
    if other.seed == run.seed then return other end
  end
end

local function of_run(key, inner, write)
  return function(row) return row.run[key] and write(row.run[key][inner]) end
end

local RUNS = {
  { "run", function(row) return row.run.name end, number = false },
  { "state", function(row) return row.run.status end, number = false },
  { "steps", function(row) return count(row.run.steps) end },
  { "ms a step", function(row) return ms(row.run.step_average_ms) end },
  { "loss", of_run("pre_quant", "loss", loss), group = "before quantisation" },
  { "bits per byte", of_run("pre_quant", "bpb", bpb), group = "before quantisation" },
  { "loss", of_run("post_quant", "loss", loss), group = "artifact" },
  { "bits per byte", of_run("post_quant", "bpb", bpb), group = "artifact" },
  { "published", function(row) return row.twin and bpb(row.twin.post_quant.bpb) end, group = "artifact",
    published = true },
  { "bytes", function(row) return count(row.run.artifact_bytes) end, group = "artifact" },
  { "with code", function(row) return count(row.run.submission_bytes) end, group = "artifact" },
  { "parameters", function(row) return count(row.run.parameters) end },
  { "peak MiB", function(row) return row.run.peak_mib and count(row.run.peak_mib.allocated) end },
  { "evaluation ms", function(row) return count(row.run.eval_ms) end },
}

---Every cell, with a link to its report where it was begun.
function tables.runs(found)
  local rows, with_published = {}, false
  for _, group in ipairs(found.groups) do
    for _, run in ipairs(group.all_runs) do
      local same = twin(group, run)
      rows[#rows + 1], with_published = { run = run, twin = same }, with_published or same ~= nil
    end
  end
  local one = build(RUNS, rows, with_published)
  for i, row in ipairs(rows) do
    one.rows[i].class = row.run.status
    if row.run.steps then one.rows[i].links = { row.run.name .. "/report.html" } end
  end
  return one
end

-- Losses of the first ten steps, by step.
local function first_ten(curve)
  local of = {}
  for i, step in ipairs(curve.step) do
    if step <= 10 then of[step] = curve.loss[i] end
  end
  return of
end

-- Three rows: ours, published, and the difference, step by step.
local function add_first_losses(rows, run, same)
  local here, there = first_ten(run.train), first_ten(same.train)
  local own, other, gap = { run.name, "ours", class = "first" }, { "", "published" }, { "", "difference" }
  for step = 1, 10 do
    local is, was = here[step], there[step]
    own[step + 2], other[step + 2], gap[step + 2] = loss(is), loss(was), is and was and difference(is - was)
  end
  table.move({ own, other, gap }, 1, 3, #rows + 1, rows)
end

---Training losses of the first ten steps beside those of the published run of the same seed: a fingerprint of initial
---weights, order of the data and optimizers. nil where no run has such a counterpart.
function tables.first_losses(found)
  local one = { columns = { { "run" }, { "step" } }, rows = {} }
  for step = 1, 10 do one.columns[step + 2] = { tostring(step), number = true } end
  for _, group in ipairs(found.groups) do
    for _, run in ipairs(group.all_runs) do
      local same = twin(group, run)
      if run.train and same and same.train then add_first_losses(one.rows, run, same) end
    end
  end
  return #one.rows > 0 and one or nil
end

-- A value of a configuration as a person writes it.
local function word(value)
  if value == nil then return "not set" end
  return math.type(value) == "float" and ("%g"):format(value) or tostring(value)
end

---What a reader must know beside the tables, a sentence each.
---@return string[]
function tables.notes(found)
  local notes, contexts, unquantised = {}, {}, false
  for _, group in ipairs(found.groups) do
    if #group.published > 0 then contexts[group.context] = true end
    for _, run in ipairs(group.runs) do unquantised = unquantised or run.pre_quant ~= nil and not run.post_quant end
    local parts = {}
    for i, one in ipairs(group.departures) do
      parts[i] = ("%s %s (published %s)"):format(one.key, word(one.ours), word(one.published))
    end
    if #parts > 0 then
      notes[#notes + 1] = ("%s at %s ran otherwise than the study: %s.")
        :format(group.model, count(group.context), table.concat(parts, ", "))
    end
  end
  for _, group in ipairs(found.groups) do
    for _, run in ipairs(group.all_runs) do
      if run.status == "failed" then
        notes[#notes + 1] = ("%s failed: %s"):format(run.name, run.error or "its report tells why")
      end
    end
    local bytes = group.figures.submission_bytes.ours
    if bytes and bytes.max > submission.LIMIT then
      notes[#notes + 1] = ("%s at %s is larger than the %s bytes that the challenge allows: %s.")
        :format(group.model, count(group.context), count(submission.LIMIT), count(bytes.max))
    end
  end
  if unquantised then
    notes[#notes + 1] = "Runs without an artifact stand with their score before quantisation."
  end
  for _, correction in ipairs(published.corrections) do
    if contexts[correction.context] then notes[#notes + 1] = correction.text end
  end
  return notes
end

return tables
