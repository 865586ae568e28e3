-- The whole study: contexts x architectures x seeds. Runs what is not done, goes on with what was cut off, and rewrites
-- the page after every run. `gamut run experiments/golf_long_context/study.lua`; study.yaml lists what can be set.

local gamut = require "gamut"
local cells = require "golf.cells"
local maps = require "gamut.maps"
local page = require "golf.page"
local probe = require "golf.probe"
local published = require "golf.published"
local read_log = require "golf.read_log"
local text = require "golf.text"
local study, train = gamut.study, gamut.train

local config = train.config "study.yaml":plain()
local folder = study.folder()

-- The shards and the tokenizer, made from raw text where that is given.
local function data_of_runs()
  if not config.text then return text.named(config) end
  if study.is_dry_run() then return text.paths(folder .. "/text") end
  return text.prepare(config.text, folder .. "/text", config.prepare)
end

local grid = {
  contexts = config.contexts, architectures = config.architectures, seeds = config.seeds,
  settings = maps.merged(config.run, data_of_runs()),
}

if config.schedule == "probe" then
  grid.schedules = probe.schedules { folder = folder, runs = cells.models(grid), options = config.probe }
elseif config.schedule ~= "published" then
  error(("schedule is `published` or `probe`, not %s"):format(config.schedule), 0)
end

-- The study's own logs, where they are at hand, have more than its tables.
for _, path in ipairs(config.published_logs) do published.lay(read_log.file(path, { last = true })) end

local plan = study.plan { folder = folder, cells = cells.checked(cells.grid(grid)) }
local found
plan:run { after = function() found = page.write(folder, plan:all_cells(), config.title) end }
if found then print("\n" .. page.text(found) .. "Page: " .. plan:path "index.html") end
plan:finish()
