-- Studies of many runs: a grid of cells, each a run of a training script in a folder of its own.
--
--   local study = require("gamut").study
--   local plan = study.plan{cells = study.grid({{"width", {64, 128}}, {"seed", {1, 2, 3}}}, function(at)
--     return {
--       name = ("w%d_seed%d"):format(at.width, at.seed), script = "train.lua", labels = at,
--       settings = {seed = at.seed, model = {d_model = at.width}},
--     }
--   end)}
--   plan:run{after = function() study.page(plan, {figures = {"val_bpb"}}) end}
--   plan:finish()

local plan = require "gamut.study.plan"
local strict = require "gamut.strict"
local summary = require "gamut.study.summary"

return strict("gamut.study", {
  plan = plan.new,
  folder = plan.folder,
  is_dry_run = plan.is_dry_run,
  grid = require "gamut.study.grid",
  claim = require "gamut.study.claim",
  summarize = summary.summarize,
  table = summary.table,
  print = summary.print,
  page = require "gamut.study.page",
})
