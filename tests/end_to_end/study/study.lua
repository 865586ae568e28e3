-- A grid of small runs, as study.py plans, kills and resumes it. The page is the list of what is done.

local gamut = require "gamut"
local system = require "gamut.native.system"
local study = gamut.study

local config = gamut.train.config "study.yaml"

local plan = study.plan{cells = study.grid({{"width", config.widths}, {"seed", config.seeds}}, function(at)
  local name = ("w%d_seed%d"):format(at.width, at.seed)
  return {
    name = name, title = ("width %d, seed %d"):format(at.width, at.seed), script = "train.lua", labels = at,
    settings = {
      seed = at.seed, d_model = at.width, steps = config.steps, data = config.work .. "/text.txt",
      cache = config.work .. "/cache", hold = config.work .. "/hold_" .. name,
      broken = config.work .. "/broken_" .. name,
    },
  }
end)}

plan:run{after = function()
  local lines = {}
  for i, cell in ipairs(plan:all_cells()) do lines[i] = cell.name .. " " .. cell.status .. "\n" end
  system.write_file(plan:path "page.txt", table.concat(lines))
  study.page(plan, {figures = {"final_loss", "train_loss"}, title = "Two widths"})
end}
study.print(study.summarize(plan:cells(), {figures = {"final_loss", "train_loss"}}), {"final_loss", "train_loss"})
plan:finish()
