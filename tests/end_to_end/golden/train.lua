-- Runs the script of the experiment that GAMUT_EXPERIMENT names, as it is, and prints the gradient norm of
-- every tensor at its first step, in double precision: one line `golden {"name": norm, ...}`.

local gamut = require "gamut"
local json = require "gamut.native.json"

-- The run verb has noted this script; the experiment is to see itself and the config.yaml beside it.
local settings = package.loaded["gamut.native.run"]
local folder = os.getenv "GAMUT_EXPERIMENT"
settings.script, settings.script_dir = folder .. "/train.lua", folder

-- By default the dtype of Muon's products depends on the processor.
local muon = gamut.optim.muon
function gamut.optim.muon(options)
  options.ns_dtype = "float32"
  return muon(options)
end

local train = gamut.train
local clip, start, model = train.clip_grad_norm, train.start, nil

function train.start(options)
  model = options.model
  return start(options)
end

function train.clip_grad_norm(...)
  if model then
    local norms = {}
    for _, entry in ipairs(model:named_parameters()) do
      norms[entry[1]] = entry[2].grad and entry[2].grad:to{dtype = "float64"}:norm():item() or -1.0
    end
    print("golden " .. json.encode(norms))
    model = nil
  end
  return clip(...)
end

dofile(settings.script)
