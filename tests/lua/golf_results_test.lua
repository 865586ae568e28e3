-- The study's results beside the published ones, from run folders that are made here: figures, tables, page.
package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local testing = require "gamut.testing"
local json = require "gamut.native.json"
local page = require "golf.page"
local published = require "golf.published"
local results = require "golf.results"
local submission = require "golf.submission"
local system = require "gamut.native.system"
local tables = require "golf.tables"
local telemetry = require "gamut.native.telemetry"

local root = os.tmpname()
os.remove(root)
root = root .. "_study"

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- As study.cell tells of a run's folder.
local function cell_of(name, status, labels)
  local cell = { name = name, dir = root .. "/" .. name, labels = labels, status = status, results = {} }
  local path = cell.dir .. "/run.json"
  cell.record = system.exists(path) and json.decode(system.read_file(path)) or nil
  cell.results = cell.record and cell.record.results or {}
  function cell:series()
    local metrics = self.dir .. "/metrics.jsonl"
    return system.exists(metrics) and telemetry.read_metrics(metrics).series or {}
  end
  return cell
end

-- A run's metrics: a validation every 50 steps, a training line a step, ms a step as given.
local function metrics_of(steps, ms, final)
  local lines = {}
  for step = 0, steps do
    local fall = final + 2.7 * math.exp(-step / 60)
    if step > 0 then
      lines[#lines + 1] = json.encode { step = step, train_loss = 1.65 * fall + 0.03 * math.sin(step ^ 2) }
    end
    if step % 50 == 0 or step == steps then
      local seconds = step * ms / 1000
      lines[#lines + 1] = json.encode { step = step, val_loss = 1.65 * fall, val_bpb = fall, train_seconds = seconds }
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- A folder as train.lua leaves one.
local function make_run(given)
  local name = ("%s_%d_seed%d"):format(given.model, given.context, given.seed)
  local dir = root .. "/" .. name
  system.make_directories(dir)
  local bpb = given.bpb
  write(dir .. "/metrics.jsonl", metrics_of(given.steps, given.ms, bpb))
  write(dir .. "/config.yaml", ([[
seed: %d
context: %d
max_seconds: !number %.1f
train_batch_tokens: !integer null
iterations: 20000
submission:
  author: !string "A. Person"
  github_id: !string person
  blurb: !string null
]]):format(given.seed, given.context, given.max_seconds or 600))
  write(dir .. "/run.json", json.encode {
    format = 1, status = given.status or "finished", steps = given.steps, parameters = given.parameters,
    device = { kind = "cpu", processor = "Test processor" },
    results = given.status ~= "running" and {
      steps = given.steps, step_average_ms = given.ms, pre_quant_bpb = bpb, pre_quant_loss = 1.65 * bpb,
      val_bpb = given.artifact ~= false and bpb + 0.0008 or nil,
      peak_mib = 8123.4,
      val_loss = given.artifact ~= false and 1.65 * (bpb + 0.0008) or nil,
      artifact_bytes = given.artifact ~= false and 15000000 or nil,
      submission_bytes = given.artifact ~= false and 15040000 or nil,
      code_bytes = given.artifact ~= false and 40000 or nil, eval_ms = given.artifact ~= false and 12345.6 or nil,
    } or nil,
  })
  return cell_of(name, given.status or "finished",
    { context = given.context, architecture = given.model, seed = given.seed })
end

local BASE, HYBRID = 17059912, 17424332

local function study()
  local function run(model, context, seed, bpb, ms, steps, more)
    local given = { model = model, context = context, seed = seed, bpb = bpb, ms = ms, steps = steps,
      parameters = model == "baseline" and BASE or HYBRID }
    for key, value in pairs(more or {}) do given[key] = value end
    return make_run(given)
  end
  return {
    run("hybrid", 8192, 1337, 1.3700, 700, 857), run("hybrid", 8192, 42, 1.3720, 720, 833),
    run("baseline", 8192, 1337, 1.3500, 594, 1010), run("baseline", 8192, 42, 1.3510, 600, 1000),
    run("attention_2_6", 8192, 1337, 1.3650, 705, 851, { artifact = false }),
    run("hybrid", 32768, 1342, 1.4690, 1300, 100, { status = "running", max_seconds = 60 }),
    cell_of("baseline_32768_seed1337", "planned", { context = 32768, architecture = "baseline", seed = 1337 }),
    run("baseline", 256, 1, 2.5, 40, 200, { parameters = 123456 }),
  }
end

local function group_of(found, context, model)
  for _, group in ipairs(found.groups) do
    if group.context == context and group.model == model then return group end
  end
end

testing.test("groups have means and spread over seeds, and the published counterpart", function()
  local found = results.collect(study())
  local order = {}
  for i, group in ipairs(found.groups) do order[i] = group.context .. " " .. group.model end
  testing.equal(order, {
    "256 baseline", "8192 baseline", "8192 hybrid", "8192 attention_2_6", "32768 baseline", "32768 hybrid",
  })
  local hybrid = group_of(found, 8192, "hybrid").figures
  testing.equal(hybrid.bpb.ours.n, 2)
  testing.close(hybrid.bpb.ours.mean, 1.3718, 1e-12)
  testing.close(hybrid.bpb.ours.sd, 0.002 / math.sqrt(2), 1e-12)
  testing.close(hybrid.bpb.difference, 1.3718 - 1.38097261, 1e-12)
  testing.close(hybrid.step_average_ms.ratio, 710 / 757, 1e-12)
  testing.equal(group_of(found, 32768, "hybrid").figures.bpb.published.n, 2)
  testing.equal(group_of(found, 32768, "hybrid").figures.bpb.ours, nil) -- it still runs
  testing.equal(group_of(found, 256, "baseline").published, {})
  testing.equal(group_of(found, 8192, "attention_2_6").published, {})
  testing.equal(found.counts, { all = 8, finished = 6, running = 1, planned = 1 })
end)

testing.test("a model of another size has no published counterpart", function()
  local found = results.collect { make_run {
    model = "hybrid", context = 16384, seed = 1337, bpb = 2, ms = 1, steps = 5, parameters = 99,
  } }
  testing.equal(found.groups[1].published, {})
end)

testing.test("models are held against the baseline of their context", function()
  local found = results.collect(study())
  testing.equal(#found.comparisons, 3)
  local hybrid = found.comparisons[1]
  testing.close(hybrid.difference, 0.0205, 1e-12)
  testing.equal(hybrid.welch.low < 0.0205 and hybrid.welch.high > 0.0205, true)
  testing.close(hybrid.speed, 597 / 710, 1e-12)
  testing.equal(hybrid.published.difference, 0.0303)
  testing.equal(found.comparisons[2].welch, nil) -- one seed
  testing.equal(found.comparisons[2].published, nil)
  testing.equal(found.comparisons[3].difference, nil) -- nothing finished at 32k
  testing.equal(found.comparisons[3].published.difference, -0.2350)
end)

local function row_of(one, first)
  for _, row in ipairs(one.rows) do
    local all = true
    for i, cell in ipairs(first) do all = all and row[i] == cell end
    if all then return row end
  end
end

testing.test("the table has the published figures in their decimals", function()
  local found = results.collect(study())
  testing.equal(row_of(tables.main(found), { "8,192", "hybrid" }), {
    "8,192", "hybrid", "2", "1.3718 ± 0.0014", "1.3810", "-0.0092", "710 ± 14", "757", "0.94x", "845 ± 17", "789",
    "15,040,000", "15,100,408",
  })
  local row = row_of(tables.main(found), { "32,768", "hybrid" })
  testing.equal({ row[3], row[4], row[5], row[8] }, { "0 of 1", nil, "1.4709 ± 0.0009", "1361" })
  row = row_of(tables.comparison(found), { "32,768", "hybrid", "baseline" })
  testing.equal({ row[8], row[9], row[10] }, { "1.4709", "1.7059", "-0.2350" })
  row = row_of(tables.comparison(found), { "8,192", "hybrid", "baseline" })
  testing.equal({ row[4], row[5], row[6], row[8], row[9], row[10] },
    { "1.3718 ± 0.0014", "1.3513 ± 0.0007", "+0.0205", "1.3810", "1.3507", "+0.0303" })
end)

testing.test("schedules: what a run was given, else what was published", function()
  local cells = study()
  local one = tables.schedules(results.collect(cells))
  testing.equal(row_of(one, { "8,192", "hybrid" }),
    { "8,192", "hybrid", "393,216", "393,216", "160", "160", "320", "320", "600" })
  testing.equal(row_of(one, { "32,768", "hybrid" }), nil) -- none has finished
  write(cells[1].dir .. "/config.yaml", "momentum: {warmup_steps: 99}\nwarmdown_steps: 198\nmax_seconds: 0.0\n")
  local row = row_of(tables.schedules(results.collect(cells)), { "8,192", "hybrid" })
  testing.equal({ row[5], row[6], row[7], row[8], row[9] }, { "99", "160", "198", "320", nil })
end)

testing.test("a failed run says why", function()
  local cells = study()
  cells[1].status, cells[1].error = "failed", "data/x is missing"
  local text = table.concat(tables.notes(results.collect(cells)), "\n")
  testing.is_true(text:find("hybrid_8192_seed1337 failed: data/x is missing", 1, true), text)
end)

testing.test("a verdict is given only where the seeds leave none open", function()
  local function verdict(first, second)
    local found = results.collect {
      make_run { model = "baseline", context = 256, seed = 1, bpb = 2.50, ms = 9, steps = 5, parameters = 1 },
      make_run { model = "baseline", context = 256, seed = 2, bpb = 2.51, ms = 9, steps = 5, parameters = 1 },
      make_run { model = "hybrid", context = 256, seed = 1, bpb = first, ms = 9, steps = 5, parameters = 1 },
      make_run { model = "hybrid", context = 256, seed = 2, bpb = second, ms = 9, steps = 5, parameters = 1 },
    }
    local one = tables.comparison(found)
    for k, column in ipairs(one.columns) do
      if column[1] == "better" then return one.rows[1][k] end -- alone in its group: its title
    end
  end
  testing.equal(verdict(2.30, 2.31), "yes")
  testing.equal(verdict(2.70, 2.71), "no")
  testing.equal(verdict(2.495, 2.515), "open")
end)

testing.test("without a published counterpart there are no published columns", function()
  local found = results.collect { make_run {
    model = "baseline", context = 256, seed = 1, bpb = 2.5, ms = 40, steps = 200, parameters = 123456,
  } }
  testing.equal(row_of(tables.main(found), { "256" }),
    { "256", "baseline", "1", "2.5008", "40.0", "200", "15,040,000" })
  testing.equal(tables.comparison(found), nil)
  testing.equal(tables.first_losses(found), nil)
  testing.is_true(not page.text(found):find("published", 1, true))
end)

testing.test("notes say what ran otherwise and where the published text slips", function()
  local cells = study()
  cells[6].status = "finished"
  local text = table.concat(tables.notes(results.collect(cells)), "\n")
  testing.is_true(text:find("hybrid at 32,768 ran otherwise than the study: max_seconds 60 (published 600).", 1, true))
  testing.is_true(text:find("logged as seed 1342", 1, true))
  testing.is_true(text:find("Runs without an artifact", 1, true))
  testing.is_true(not text:find("baseline at 8,192 ran", 1, true))
end)

testing.test("the first ten losses stand beside those of the published run of the seed", function()
  local one = tables.first_losses(results.collect(study()))
  testing.equal(#one.rows, 9)
  testing.equal({ one.rows[1][1], one.rows[1][2] }, { "baseline_8192_seed1337", "ours" })
  testing.equal(one.rows[2][4], "12.1737")
  for step = 1, 10 do
    local ours, theirs, gap = one.rows[1][step + 2], one.rows[2][step + 2], one.rows[3][step + 2]
    testing.close(tonumber(ours) - tonumber(theirs), tonumber(gap), 1.1e-4)
  end
end)

testing.test("the page has tables and curves, and asks no network", function()
  page.write(root, study(), "A study")
  local text = system.read_file(root .. "/index.html")
  for _, part in ipairs {
    "<title>A study · Gamut</title>", "1.3718 ± 0.0014", "+0.0303", "Context 8,192", "Context 32,768", "Context 256",
    'aria-label="Validation bits per byte by step"', 'aria-label="Training loss by time"', "hybrid published",
    "dashed", "baseline_32768_seed1337", 'href="hybrid_8192_seed42/report.html"', "Test processor",
    "prefers-color-scheme: dark",
  } do
    testing.is_true(text:find(part, 1, true), "the page lacks " .. part)
  end
  for _, part in ipairs { "http:", "https:", "<link", "@import", "src=", "url(//" } do
    testing.is_true(not text:gsub("http://www%.w3%.org/2000/svg", ""):find(part, 1, true), "the page has " .. part)
  end
end)

testing.test("Markdown, JSON and terminal say the same", function()
  local found = page.write(root, study(), "A study")
  local markdown = system.read_file(root .. "/table.md")
  testing.is_true(markdown:find("| 8,192 | hybrid | 2 | 1.3718 ± 0.0014 | 1.3810 | -0.0092 |", 1, true))
  testing.is_true(markdown:find("| context | model | seeds | bits per byte, ours | bits per byte, published", 1, true))
  testing.is_true(page.text(found):find "\n *8,192 +hybrid +2 +1%.3718 ± 0%.0014 +1%.3810 +%-0%.0092 ")
  local figures = json.decode(system.read_file(root .. "/table.json"))
  testing.equal(#figures.groups, 6)
  testing.close(figures.groups[3].figures.bpb.ours.mean, 1.3718, 1e-12)
  testing.close(figures.groups[3].figures.bpb.published.mean, published.cell(8192, "hybrid")[1].post_quant.bpb, 1e-12)
  testing.equal(figures.groups[3].runs[1].seed, 1337)
end)

testing.test("submissions: of a run, and of each context and model over its seeds", function()
  page.write(root, study())
  local hybrid = json.decode(system.read_file(root .. "/submissions/hybrid_8192.json"))
  testing.equal(hybrid.seeds, { 1337, 42 })
  testing.close(hybrid.val_bpb, 1.3718, 1e-12)
  testing.close(hybrid.seed_results["42"].val_loss, 1.65 * 1.3728, 1e-12)
  testing.equal({ hybrid.context_length, hybrid.bytes_total, hybrid.bytes_code }, { 8192, 15040000, 40000 })
  testing.equal({ hybrid.author, hybrid.github_id, hybrid.blurb }, { "A. Person", "person", json.null })
  testing.is_true(hybrid.date:match "^%d%d%d%d%-%d%d%-%d%d$")
  local keys = {}
  for key in pairs(hybrid) do keys[#keys + 1] = key end
  table.sort(keys)
  testing.equal(table.concat(keys, " "), "author blurb bytes_code bytes_total context_length date github_id name notes "
    .. "seed_results seeds track val_bpb val_loss")
  testing.is_true(not system.exists(root .. "/submissions/attention_2_6_8192.json")) -- it wrote no artifact

  local folder = { record = { results = { val_loss = 2.5, val_bpb = 1.5, submission_bytes = 15, code_bytes = 5 } } }
  function folder:path(name) return root .. "/" .. name end
  submission.write_run({ folder = folder }, { context = 256, seed = 7 })
  local one = json.decode(system.read_file(root .. "/submission.json"))
  testing.equal({ one.val_bpb, one.seeds, one.author }, { 1.5, { 7 }, json.null })
  local function write_by(identity)
    submission.write_run({ folder = folder }, { context = 1, seed = 1, submission = identity })
  end
  testing.raises(function() write_by { autor = "x" } end, "submission has no option `autor`; did you mean `author`")
  folder.record.results = nil
  testing.raises(function() write_by {} end, "after the score")
end)

testing.test("a submission over the limit is told", function()
  local cells = study()
  cells[1].results.submission_bytes = 16000001
  local text = table.concat(tables.notes(results.collect(cells)), "\n")
  testing.is_true(text:find("hybrid at 8,192 is larger than the 16,000,000 bytes", 1, true), text)
end)

testing.test("a study where nothing has run yet has a page too", function()
  local cells = { cell_of("nothing_8192_seed1", "planned", { context = 8192, architecture = "hybrid", seed = 1 }) }
  local found = page.write(root, cells)
  testing.equal(found.counts, { all = 1, planned = 1 })
  testing.is_true(system.read_file(root .. "/index.html"):find("0 of 1 runs finished", 1, true))
end)

if os.getenv "GAMUT_KEEP_PAGE" then
  page.write(root, study())
  print(root)
else
  os.execute("rm -r '" .. root .. "'")
end
testing.finish()
